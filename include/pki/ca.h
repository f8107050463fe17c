/* The local CA: made once by ca_create(), loaded from PEM by ca_new(), mints leaves.
 * A struct ca belongs to one thread. Leaves: RFC 5280 version 3, random 128-bit serial,
 * back-dated by an hour, at most 30 days and never past the CA, SAN with the one identity (or two),
 * EKU serverAuth, AKI and SKI. */
#ifndef PKI_CA_H
#define PKI_CA_H

#include "base/attr.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/keys.h"

#include <time.h>

struct ca;

/* notBefore and notAfter. */
struct lifetime {
    time_t begins, ends;
};

enum { CA_RSA_BITS = 3072 }; /* for a CA that is kept */

/* A self-signed root with a unique name, valid for ten years: PEM into both texts. rsa_bits is for
 * KEY_RSA only. */
WARN_UNUSED bool ca_create(enum key_type type, unsigned rsa_bits, time_t now,
                           struct text *certificate, struct text *key);

/* certificate: the issuing CA first, then its intermediates; a root at the end is not sent to
 * clients. NULL with a sentence in errors (prefixed by `name`) when it cannot be used. */
WARN_UNUSED struct ca *ca_new(const struct text *certificate, const struct text *key,
                              const char *crl_url, const char *name, struct text *errors);
void ca_free(struct ca *ca);
/* The issuing certificate; valid as long as the CA. */
const struct cert *ca_certificate(const struct ca *ca);

/* A leaf for a DNS name or an IP address, with the chain up to but without the root, as PEM
 * appended to chain. also: a DNS name beside an address, or NULL. *lifetime is the leaf's. False
 * when it failed. */
WARN_UNUSED bool ca_mint(struct ca *ca, const char *identity, bool is_ip, const char *also,
                         const struct private_key *key, time_t now, struct text *chain,
                         struct lifetime *lifetime);

#endif
