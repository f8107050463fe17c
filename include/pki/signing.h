/* Signatures of TLS 1.2 over digests, with a key that stays where it is (RFC 5246 section 4.7, RFC
 * 8446 section 4.2.3). All cryptography is wolfCrypt's. */
#ifndef PKI_SIGNING_H
#define PKI_SIGNING_H

#include "pki/keys.h"
#include "pki/token.h"

enum { SIGNING_DIGEST = 64, SIGNING_SIZE = 512 };

/* What is to be signed, and how. The digest's size says which hash it is: SHA-256, -384 or -512. */
struct signing_request {
    enum key_type key;
    bool pss; /* of an RSA key: RSASSA-PSS instead of PKCS #1 version 1.5 */
    uint8_t size;
    uint8_t digest[SIGNING_DIGEST];
};

/* A key ready for use, in memory for secrets or in a token, which is held. It belongs to one
 * thread. NULL when it has no private half, or out of memory. */
struct signing_key;
WARN_UNUSED struct signing_key *signing_key_new(const struct private_key *key);
WARN_UNUSED struct signing_key *signing_key_of_token(struct token_key *token);
void signing_key_free(struct signing_key *k);
enum key_type signing_key_type(const struct signing_key *k);
/* The signature's size; 0 when the request does not fit the key or it failed. */
WARN_UNUSED size_t signing_key_sign(struct signing_key *k, const struct signing_request *r,
                                    uint8_t out[SIGNING_SIZE]);

/* The digest in a PKCS #1 version 1.5 DigestInfo (RFC 8017 section 9.2). False when it is none of
 * these three. */
WARN_UNUSED bool signing_read_digest_info(const uint8_t *p, size_t n, struct signing_request *out);

#endif
