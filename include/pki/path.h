/* Path validation (RFC 5280 section 6.1) of one candidate path, by the certificates' own contents.
 * The caller (pki/trust.h) checks signatures and revocation. Pure: no clock, no files, no library;
 * owns nothing. */
#ifndef PKI_PATH_H
#define PKI_PATH_H

#include "pki/cert.h"
#include "policy/reasons.h"

enum { PATH_LIMIT = 16 }; /* certificates, the leaf and the anchor included */

struct path {
    const struct cert *certs[PATH_LIMIT]; /* leaf first, anchor last */
    size_t n;                             /* 1: the leaf is itself an anchor */
};

/* What the leaf is for (extendedKeyUsage). */
enum path_purpose { PATH_SERVER, PATH_CLIENT };

struct path_rules {
    time_t now;
    unsigned minimum_rsa_bits;
    enum path_purpose purpose;
};

/* REASON_OK, or the first fault: dates, then weak keys and signatures, then everything else, as
 * REASON_UPSTREAM_CERTIFICATE_INVALID with a static sentence in *fault (else NULL). */
enum reason path_validate(const struct path *path, const struct path_rules *rules,
                          const char **fault);

/* May it issue certificates at all, as an anchor or below one? Ignores its dates. */
bool path_may_issue(const struct cert *c, bool is_anchor);
/* False for an RSA key whose exponent is 1 or longer than 64 bits: verifying with it may cost too
 * much. */
bool path_key_is_usable(const struct cert *c);
/* RSA below the minimum, or an EC key below POLICY_EC_BITS_FLOOR. */
bool path_key_is_weak(const struct cert *c, const struct path_rules *rules);

#endif
