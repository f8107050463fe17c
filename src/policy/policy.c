#include "policy/policy.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const struct suite suites[] = {
#define IN(profile) (1u << PROFILE_##profile)
#define SUITE(id, iana, openssl, key, mode, profiles, source) \
    {id, iana, openssl, key, mode, profiles, source},
#include "policy/suites.def"
#undef SUITE
#undef IN
};

static const char *const profile_names[] = {
#define PROFILE(name, text) text,
#include "policy/profiles.def"
#undef PROFILE
};

struct id_name {
    uint16_t id;
    const char *name;
};

static const struct id_name cipher_names[] = {
#define CIPHER_NAME(id, name) {id, name},
#include "policy/cipher_names.def"
#undef CIPHER_NAME
};

static const struct id_name groups[] = {
#define GROUP(id, name, openssl, source) {id, name},
#include "policy/groups.def"
#undef GROUP
};

/* Groups that are not allowed (IANA TLS Supported Groups): names for the record, and for asking
 * what a server accepts. */
static const struct id_name other_groups[] = {
    {0x0001, "sect163k1"},
    {0x0002, "sect163r1"},
    {0x0003, "sect163r2"},
    {0x0004, "sect193r1"},
    {0x0005, "sect193r2"},
    {0x0006, "sect233k1"},
    {0x0007, "sect233r1"},
    {0x0008, "sect239k1"},
    {0x0009, "sect283k1"},
    {0x000a, "sect283r1"},
    {0x000b, "sect409k1"},
    {0x000c, "sect409r1"},
    {0x000d, "sect571k1"},
    {0x000e, "sect571r1"},
    {0x000f, "secp160k1"},
    {0x0010, "secp160r1"},
    {0x0011, "secp160r2"},
    {0x0012, "secp192k1"},
    {0x0013, "secp192r1"},
    {0x0014, "secp224k1"},
    {0x0015, "secp224r1"},
    {0x0016, "secp256k1"},
    {0x001a, "brainpoolP256r1"},
    {0x001b, "brainpoolP384r1"},
    {0x001c, "brainpoolP512r1"},
    {0x001e, "x448"},
    {0x0100, "ffdhe2048"},
    {0x0101, "ffdhe3072"},
    {0x0102, "ffdhe4096"},
    {0x0103, "ffdhe6144"},
    {0x0104, "ffdhe8192"},
    {0x0200, "MLKEM512"},
    {0x0201, "MLKEM768"},
    {0x0202, "MLKEM1024"},
    {0x11eb, "SecP256r1MLKEM768"},
    {0x11ec, "X25519MLKEM768"},
    {0x6399, "X25519Kyber768Draft00"},
};

static const struct scheme schemes[] = {
#define SCHEME(id, name, key, verdict) {id, name, key, verdict},
#include "policy/schemes.def"
#undef SCHEME
};

const char *policy_profile_name(enum policy_profile profile)
{
    return profile_names[profile];
}

suite_set policy_profile_suites(enum policy_profile profile)
{
    suite_set set = 0;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (suites[i].profiles & (1u << profile)) set |= suite_bit(&suites[i]);
    return set;
}

const struct suite *suite_by_name(const char *name)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (strcasecmp(name, suites[i].iana) == 0 || strcasecmp(name, suites[i].openssl) == 0)
            return &suites[i];
    return NULL;
}

const struct suite *suite_by_id(uint16_t id)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (suites[i].id == id) return &suites[i];
    return NULL;
}

suite_set suite_set_of_key(enum key_type key)
{
    suite_set set = 0;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (suites[i].key == key) set |= suite_bit(&suites[i]);
    return set;
}

void suite_set_names(suite_set set, struct text *out)
{
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (!(set & suite_bit(&suites[i]))) continue;
        if (out->size) text_add(out, ":");
        text_add(out, suites[i].openssl);
    }
}

void policy_describe(const struct policy *p, struct text *out)
{
    text_printf(out, "profile %s\nversion TLS 1.2\n", policy_profile_name(p->profile));
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (p->allowed & suite_bit(&suites[i])) text_printf(out, "suite %s\n", suites[i].iana);
    for (size_t i = 0; i < COUNT_OF(groups); i++) text_printf(out, "group %s\n", groups[i].name);
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (schemes[i].verdict == SCHEME_ALLOWED) text_printf(out, "scheme %s\n", schemes[i].name);
    text_printf(out, "minimum_rsa_bits %u\nminimum_ecdsa_bits %d\nserver_name_mismatch %s\n",
                p->minimum_rsa_bits, POLICY_EC_BITS_FLOOR,
                p->allow_server_name_mismatch ? "allow" : "refuse");
}

static const char *name_in(const struct id_name *table, size_t n, uint16_t id)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].id == id) return table[i].name;
    return NULL;
}

const char *cipher_name(uint16_t id)
{
    const struct suite *s = suite_by_id(id);
    if (s) return s->iana;
    size_t low = 0, high = COUNT_OF(cipher_names); /* the table is sorted */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cipher_names[middle].id == id) return cipher_names[middle].name;
        if (cipher_names[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *group_name(uint16_t id)
{
    const char *name = name_in(groups, COUNT_OF(groups), id);
    return name ? name : name_in(other_groups, COUNT_OF(other_groups), id);
}

bool group_allowed(uint16_t id)
{
    return name_in(groups, COUNT_OF(groups), id) != NULL;
}

bool group_weak(uint16_t id)
{
    static const uint16_t weak[] = {
        /* sect163 and sect193 */ 0x0001, 0x0002, 0x0003, 0x0004, 0x0005,
        /* secp160 and secp192 */ 0x000f, 0x0010, 0x0011, 0x0012, 0x0013};
    for (size_t i = 0; i < COUNT_OF(weak); i++)
        if (weak[i] == id) return true;
    return false;
}

uint16_t group_at(size_t i)
{
    return groups[i].id;
}

/* Ids from here on are finite fields and post-quantum schemes, not elliptic curves. */
enum { CURVES_END = 0x0100 };

size_t other_curves(uint16_t *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(other_groups) && n < room; i++)
        if (other_groups[i].id < CURVES_END) out[n++] = other_groups[i].id;
    return n;
}

size_t weak_schemes(uint16_t *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(schemes) && n < room; i++)
        if (schemes[i].verdict == SCHEME_WEAK) out[n++] = schemes[i].id;
    return n;
}

size_t other_ciphers(uint16_t *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(cipher_names) && n < room; i++)
        if (!cipher_is_tls13(cipher_names[i].id) && !cipher_is_signal(cipher_names[i].id))
            out[n++] = cipher_names[i].id;
    return n;
}

bool cipher_has_curve(uint16_t id)
{
    const char *name = cipher_name(id);
    return name && (strstr(name, "_ECDHE_RSA_") || strstr(name, "_ECDHE_ECDSA_") ||
                    strstr(name, "_ECDH_anon_"));
}

bool cipher_has_cbc(uint16_t id)
{
    const char *name = cipher_name(id);
    return name && strstr(name, "_CBC_") != NULL;
}

const struct scheme *scheme_by_id(uint16_t id)
{
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (schemes[i].id == id) return &schemes[i];
    return NULL;
}

const char *version_name(uint16_t version, char scratch[VERSION_TEXT_SIZE])
{
    static const struct id_name names[] = {{0x0002, "SSL 2.0"}, {0x0300, "SSL 3.0"},
                                           {0x0301, "TLS 1.0"}, {0x0302, "TLS 1.1"},
                                           {0x0303, "TLS 1.2"}, {0x0304, "TLS 1.3"}};
    const char *name = name_in(names, COUNT_OF(names), version);
    if (name) return name;
    snprintf(scratch, VERSION_TEXT_SIZE, "0x%04x", version);
    return scratch;
}

const char *key_type_name(enum key_type key)
{
    static const char *const names[] = {"ecdsa", "rsa", "none"};
    return names[key];
}
