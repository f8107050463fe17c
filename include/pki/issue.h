/* Writes and signs certificates and CRLs (RFC 5280): all that decides one is in its struct. Borrows
 * everything for the length of a call. */
#ifndef PKI_ISSUE_H
#define PKI_ISSUE_H

#include "base/attr.h"
#include "base/reader.h"
#include "pki/signing.h"

#include <stdbool.h>
#include <time.h>

enum { ISSUE_LIMIT = 8192, ISSUE_SERIAL = 16, ISSUE_KEY_ID = 20 };

/* A certificate. NULL and empty spans: left out. */
struct issue {
    struct span issuer;        /* Name in DER; n = 0: self-signed */
    struct span issuer_key_id; /* n = 0: self-signed */
    struct span spki;          /* the subject's key */
    const char *common_name, *organization;
    time_t not_before, not_after;
    const char *crl_url, *issuer_url; /* CRL distribution point, CA issuers */

    /* A CA's: its pathLenConstraint (-1: none), and the content of a NameConstraints extension. */
    bool is_ca;
    int path_length;
    struct span constraints;

    /* A leaf's: its identity, and a further DNS name beside an address. */
    const char *identity, *also;
    bool is_ip;
    bool serves_tls; /* extendedKeyUsage serverAuth; of a CA, too */
};

/* Into out, with a random serial number of 128 bits. Returns the size of the DER, 0 when it
 * failed. */
WARN_UNUSED size_t issue_certificate(const struct issue *t, struct signing_key *signer,
                                     uint8_t out[ISSUE_LIMIT]);

/* A CRL without entries, with its number (section 5.2.3). As above. */
struct issue_crl {
    struct span issuer, issuer_key_id;
    uint64_t number;
    time_t this_update, next_update;
};
WARN_UNUSED size_t issue_crl(const struct issue_crl *t, struct signing_key *signer,
                             uint8_t out[ISSUE_LIMIT]);

/* The GeneralNames content of a subjectAltName. False when it does not fit. */
WARN_UNUSED bool issue_names(const char *identity, bool is_ip, const char *also, uint8_t *buffer,
                             size_t size, struct span *out);
/* The key identifier: the leading 160 bits of SHA-256 over the public key's BIT STRING (RFC 7093
 * section 2, method 1). */
WARN_UNUSED bool issue_key_id(struct span spki, uint8_t out[ISSUE_KEY_ID]);

#endif
