/* The local CA: roots and issuing CAs are made once, loaded from PEM, and mint leaves and CRLs.
 * A struct ca belongs to one thread. Leaves: RFC 5280 version 3, random 128-bit serial,
 * back-dated by an hour, at most 30 days and never past the CA, SAN with the one identity (or two),
 * EKU serverAuth, AKI and SKI. */
#ifndef PKI_CA_H
#define PKI_CA_H

#include "base/attr.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/keys.h"
#include "pki/token.h"

#include <time.h>

struct ca;

/* notBefore and notAfter. */
struct lifetime {
    time_t begins, ends;
};

enum {
    CA_ROOT_BITS = 3072, /* RSA: every legacy client can verify it, and it is kept for years */
    CA_ISSUING_BITS = 2048,
    CA_ISSUING_DAYS = 365,
    CA_CRL_DAYS = 7,
    CA_ROOT_CRL_DAYS = 400, /* longer than an issuing CA's life: its key may be elsewhere */
};

/* A CRL's and a certificate's URLs to put into what a CA issues; NULL: none. */
struct ca_urls {
    const char *crl, *issuer;
};

/* A self-signed root with a unique name, valid for ten years: PEM into both texts. rsa_bits is for
 * KEY_RSA only. path_length: how many CAs may follow, -1 for any number. constraints: content of a
 * NameConstraints extension (pki/permit.h), n = 0 for none. */
WARN_UNUSED bool ca_create(enum key_type type, unsigned rsa_bits, int path_length,
                           struct span constraints, time_t now, struct text *certificate,
                           struct text *key);
/* A CA below this root, for a year: its certificate and key, as PEM, into one text. It has the
 * root's name constraints, pathLenConstraint 0 and extendedKeyUsage serverAuth. */
WARN_UNUSED bool ca_create_issuing(struct ca *root, enum key_type type, const struct ca_urls *urls,
                                   time_t now, struct text *pem);

/* A CA's private key: a text with one in PEM, or one in a token, which the CA then holds; both NULL
 * for a CA that only describes itself. */
struct ca_key {
    const struct text *pem;
    struct token_key *token;
};
/* certificate: the issuing CA first, then its intermediates; a root at the end is not sent to
 * clients. urls: for what it issues; copied. NULL with a sentence in errors (prefixed by `name`)
 * when it cannot be used. */
WARN_UNUSED struct ca *ca_new(const struct text *certificate, struct ca_key key,
                              const struct ca_urls *urls, const char *name, struct text *errors);
void ca_free(struct ca *ca);
/* Is its key here? Only then may it create, mint and sign. */
bool ca_can_sign(const struct ca *ca);
/* Tries whether the key is that of the certificate: ca_new() asks no token. */
WARN_UNUSED bool ca_key_fits(struct ca *ca);
/* The issuing certificate; valid as long as the CA. */
const struct cert *ca_certificate(const struct ca *ca);

/* Do its name constraints allow a leaf for this identity? */
bool ca_permits(const struct ca *ca, const char *identity, bool is_ip);
/* A leaf for a DNS name or an IP address, with the chain up to but without the root, as PEM
 * appended to chain. also: a DNS name beside an address, or NULL. *lifetime is the leaf's. False
 * when it failed. */
WARN_UNUSED bool ca_mint(struct ca *ca, const char *identity, bool is_ip, const char *also,
                         const struct private_key *key, time_t now, struct text *chain,
                         struct lifetime *lifetime);
/* A CRL without entries, in DER, for so many days: appended to out. Its number is the time, so that
 * a later one always has a higher number. */
WARN_UNUSED bool ca_crl(struct ca *ca, time_t now, unsigned days, struct text *out);

#endif
