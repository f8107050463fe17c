/* Private keys, digests and PEM, with wolfCrypt.
 * A struct private_key owns its DER and wipes it. */
#ifndef PKI_KEYS_H
#define PKI_KEYS_H

#include "base/attr.h"
#include "base/reader.h"
#include "base/text.h"
#include "policy/policy.h"

#include <stdbool.h>

struct private_key {
    enum key_type type;
    uint8_t *der; /* SEC 1 or PKCS #1; NULL: the private half is in another process */
    size_t size;
    uint8_t *spki; /* the public key: SubjectPublicKeyInfo */
    size_t spki_size;
};

/* False when the generator or memory failed. rsa_bits is for KEY_RSA only. */
WARN_UNUSED bool key_generate(enum key_type type, unsigned rsa_bits, struct private_key *out);
/* From the first private key in a PEM text: PKCS #8, SEC 1 or PKCS #1, not encrypted. */
WARN_UNUSED bool key_from_pem(const char *pem, size_t n, struct private_key *out);
/* Only the public half: from a SubjectPublicKeyInfo of this type with a key as long as the policy
 * wants it, encoded anew; from the one public
 * key in a PEM text. */
WARN_UNUSED bool key_public_from_der(enum key_type type, struct span der, struct private_key *out);
WARN_UNUSED bool key_public_from_pem(const char *pem, size_t n, struct private_key *out);
/* Appends PEM to out; false when it failed. */
WARN_UNUSED bool key_to_pem(const struct private_key *key, struct text *out);
void key_fini(struct private_key *key);
/* The public key; borrowed from the private one. */
struct span key_spki(const struct private_key *key);

WARN_UNUSED bool digest_sha256(const void *p, size_t n, uint8_t out[32]);
/* Over two parts, one after the other. */
WARN_UNUSED bool digest_sha256_two(struct span first, struct span second, uint8_t out[32]);
/* Unpredictable bytes (pki/random.h). */
WARN_UNUSED bool random_bytes(void *out, size_t n);
/* Frees the thread's generator; for a thread that ends. */
void random_thread_fini(void);

/* Calls `each` with the DER of every PEM block of this kind. False when a block does not decode or
 * `each` returned false, which also ends the search. */
enum pem_kind { PEM_CERTIFICATE, PEM_CRL, PEM_PUBLIC_KEY };
WARN_UNUSED bool pem_each(const char *pem, size_t n, enum pem_kind kind,
                          bool (*each)(void *arg, struct span der), void *arg);
/* Appends all certificates, CRLs and public keys of a PEM text. False when one does not decode. */
WARN_UNUSED bool pem_without_keys(const char *pem, size_t n, struct text *out);
/* Appends one certificate, or one SubjectPublicKeyInfo, as PEM; false when it failed. */
WARN_UNUSED bool pem_add_certificate(struct span der, struct text *out);
WARN_UNUSED bool pem_add_public_key(struct span spki, struct text *out);

/* Base 64 in one line (RFC 4648 section 4). False when it failed, or the bytes do not fit into
 * `room`. */
WARN_UNUSED bool base64_encode(struct span bytes, struct text *out);
WARN_UNUSED bool base64_decode(const char *p, size_t n, uint8_t *out, size_t room, size_t *size);

#endif
