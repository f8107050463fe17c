/* Read-only view of one X.509 certificate (RFC 5280 section 4.1): its fields and the extensions
 * that decide whether it may be part of a path (pki/path.h).
 * A struct cert points into DER bytes that the caller keeps. Pure: no library, no files. */
#ifndef PKI_CERT_H
#define PKI_CERT_H

#include "base/addr.h"
#include "base/attr.h"
#include "base/reader.h"
#include "base/text.h"
#include "pki/der.h"

#include <stdbool.h>
#include <time.h>

enum cert_key { CERT_KEY_RSA, CERT_KEY_EC, CERT_KEY_OTHER };
enum cert_signature { CERT_SIGNATURE_STRONG, CERT_SIGNATURE_WEAK, CERT_SIGNATURE_OTHER };

enum { CERT_ABSENT = -1, CERT_NUMBER_LIMIT = 0xffff };

/* A serial number in hexadecimal, of up to 32 bytes. RFC 5280 section 4.1.2.2 allows 20. */
enum { CERT_SERIAL_LIMIT = 32, CERT_SERIAL_TEXT = 2 * CERT_SERIAL_LIMIT + 1 };

struct cert {
    struct span der;                                      /* all of it */
    struct span tbs, signature_algorithm, signature_bits; /* for signature_valid() */
    struct span serial;                 /* INTEGER's content without a leading zero */
    struct span issuer;                 /* Name with its header */
    struct span subject;                /* likewise */
    uint32_t issuer_hash, subject_hash; /* name_hash() */
    struct span spki;                   /* SubjectPublicKeyInfo with its header */
    struct span key_bits;               /* the BIT STRING's content, for key identifiers */
    time_t not_before, not_after;
    unsigned version; /* 1 to 3 */
    enum cert_key key;
    unsigned bits;                 /* RSA modulus, or the EC field's size */
    struct span modulus, exponent; /* of an RSA key: INTEGERs' content */
    bool pss_only;                 /* an id-RSASSA-PSS key (RFC 4055 section 1.2) */
    struct span pss_parameters;    /* the parameters it is limited to; n = 0: any */
    unsigned exponent_bits;
    uint16_t group; /* supported_groups id of an EC key, 0: not an allowed one */
    enum cert_signature signature;

    /* Extensions (RFC 5280 section 4.2). Spans are n = 0 and numbers CERT_ABSENT when absent;
     * larger numbers become CERT_NUMBER_LIMIT. */
    struct span san;                              /* GeneralNames content */
    struct span subject_key_id, authority_key_id; /* key identifiers */
    struct span name_constraints;                 /* NameConstraints content */
    struct span policies, policy_mappings;        /* content of the SEQUENCE OF */
    int path_length;
    int require_explicit_policy, inhibit_policy_mapping, inhibit_any_policy;
    bool is_ca;
    bool can_sign_data, can_sign_certs, can_sign_crls; /* true without keyUsage */
    bool serves_tls,
        uses_tls; /* extendedKeyUsage has serverAuth, clientAuth, or any; or is absent */
    bool has_unknown_critical; /* a critical extension that is not processed here */
};

/* False unless it is a certificate in DER by RFC 5280: false also for an extension twice or
 * malformed, or two different signature algorithms. */
WARN_UNUSED bool cert_parse(struct span der, struct cert *out);
/* Has it the outermost elements of a Certificate, whatever is in them? */
WARN_UNUSED bool cert_has_shape(struct span der);

static inline bool span_equal(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || __builtin_memcmp(a.p, b.p, a.n) == 0);
}

/* Does it name that issuer, by name and key identifier (RFC 5280 section 4.2.1.1)? */
bool cert_issued_by(const struct cert *c, const struct cert *issuer);
/* Its subject equals its issuer (RFC 5280 section 3.2); says nothing about the signature. */
bool cert_is_self_issued(const struct cert *c);

/* RFC 9525 section 6: does a subjectAltName present this identity? The subject's common
 * name never counts. Wildcards only as the whole left-most label. */
bool cert_matches_name(const struct cert *c, const char *name);
bool cert_matches_ip(const struct cert *c, const struct addr *ip);

/* Each DNS name and IP address of its subjectAltName, as text; unchecked input from a peer. */
void cert_each_name(const struct cert *c, void (*each)(void *arg, const char *name), void *arg);
/* "RSA with SHA-256" and the like; static. */
const char *cert_signature_name(const struct cert *c);

enum cert_signature der_signature_strength(struct span algorithm);
/* RSASSA-PSS-params (RFC 8017 appendix A.2.3) with their defaults. */
struct der_pss {
    unsigned digest_bits; /* of a SHA-2 hash: 256, 384, 512; 0 for any other hash */
    unsigned salt;        /* bytes */
};
struct der_pss der_pss_parameters(struct reader parameters);

#endif
