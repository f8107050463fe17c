/* What is allowed: suites, groups, signature schemes, key sizes. Constant tables and one
 * small struct that narrows them; pure functions, no state, no TLS library. */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/attr.h"
#include "base/text.h"
#include "policy/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum key_type { KEY_ECDSA, KEY_RSA, KEY_TYPES, KEY_NONE = KEY_TYPES };
enum suite_mode { SUITE_GCM, SUITE_CBC };
enum policy_profile {
#define PROFILE(name, text) PROFILE_##name,
#include "policy/profiles.def"
#undef PROFILE
    PROFILES
};

struct suite {
    uint16_t id;
    const char *iana;    /* RFC name */
    const char *openssl; /* the name OpenSSL and wolfSSL use */
    enum key_type key;
    enum suite_mode mode;
    unsigned profiles; /* one bit per profile that has it */
    const char *source;
};

#define SUITE(...) +1
enum {
    SUITE_COUNT = 0
#include "policy/suites.def"
};
#undef SUITE
_Static_assert(SUITE_COUNT == 8, "the policy is exactly eight suites");
#define GROUP(...) +1
enum {
    GROUP_COUNT = 0
#include "policy/groups.def"
};
#undef GROUP
/* In the server's order of preference. */
extern const struct suite suites[SUITE_COUNT];

/* One bit per row of suites[]. */
typedef uint16_t suite_set;
_Static_assert(SUITE_COUNT <= 16, "a suite_set has a bit for each suite");

struct policy {
    enum policy_profile profile;
    suite_set allowed;
    unsigned minimum_rsa_bits;
    bool allow_server_name_mismatch;
};

enum { POLICY_RSA_BITS_FLOOR = 2048, POLICY_RSA_BITS_CEILING = 4096, POLICY_EC_BITS_FLOOR = 256 };

const char *policy_profile_name(enum policy_profile profile);
/* The suites a profile allows before any narrowing. */
suite_set policy_profile_suites(enum policy_profile profile);
/* By IANA or OpenSSL name; NULL when it is not one of the eight. */
const struct suite *suite_by_name(const char *name);
const struct suite *suite_by_id(uint16_t id);
static inline suite_set suite_bit(const struct suite *s)
{
    return (suite_set)(1u << (s - suites));
}
/* The suites of one key type. */
suite_set suite_set_of_key(enum key_type key);
/* OpenSSL names of a set, colon-separated, in order of preference. */
void suite_set_names(suite_set set, struct text *out);
/* Writes everything that decides a verdict, in a fixed form: the input of the policy digest. */
void policy_describe(const struct policy *p, struct text *out);

/* IANA name of any suite; NULL when unknown. */
const char *cipher_name(uint16_t id);
const char *group_name(uint16_t id); /* NULL when unknown */
bool group_allowed(uint16_t id);
/* Below 112 bits of security: a curve of less than 224 bits (NIST SP 800-57 part 1, table 2). */
bool group_weak(uint16_t id);
uint16_t group_at(size_t i); /* of GROUP_COUNT allowed ones, in order */

enum scheme_verdict { SCHEME_ALLOWED, SCHEME_WEAK, SCHEME_OTHER };
struct scheme {
    uint16_t id;
    const char *name;
    enum key_type key;
    enum scheme_verdict verdict;
};
const struct scheme *scheme_by_id(uint16_t id); /* NULL when unknown */

/* To ask a server what it accepts outside the policy: suites of TLS 1.2 and below, elliptic curves,
 * signature schemes with SHA-224 or worse. Each fills `out` and returns the count. */
enum { OTHER_CIPHERS = 512, OTHER_CURVES = 64, WEAK_SCHEMES = 32 };
size_t other_ciphers(uint16_t *out, size_t room);
size_t other_curves(uint16_t *out, size_t room);
size_t weak_schemes(uint16_t *out, size_t room);
/* Does its ServerKeyExchange begin with a curve (RFC 8422 section 5.4)? Is it a CBC suite? */
bool cipher_has_curve(uint16_t id);
bool cipher_has_cbc(uint16_t id);

/* "TLS 1.2" for 0x0303; "0x7f1c" for a version without a name. Static or in `scratch`. */
enum { VERSION_TEXT_SIZE = 16 };
const char *version_name(uint16_t version, char scratch[VERSION_TEXT_SIZE]);

/* Reserved values, which only test the peer's tolerance (RFC 8701 section 2). */
static inline bool is_grease(uint16_t v)
{
    return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

/* TLS 1.3's suites name no key exchange (RFC 8446 appendix B.4, RFC 8998). */
static inline bool cipher_is_tls13(uint16_t id)
{
    return id >> 8 == 0x13 || id == 0x00c6 || id == 0x00c7;
}
/* Signals, not suites (RFC 5746 section 3.3, RFC 7507). */
static inline bool cipher_is_signal(uint16_t id)
{
    return id == SCSV_RENEGOTIATION || id == SCSV_FALLBACK;
}

const char *key_type_name(enum key_type key);

#endif
