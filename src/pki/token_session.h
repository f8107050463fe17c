/* A session with a PKCS #11 token, logged in, and the one private key there that a URI names
 * (RFC 7512). p11-kit, loaded when first needed, reads the URI and finds the module. One thread
 * makes all of these calls: they take as long as the token takes. Private to pki/. */
#ifndef PKI_TOKEN_SESSION_H
#define PKI_TOKEN_SESSION_H

#include "base/attr.h"
#include "base/reader.h"
#include "base/text.h"
#include "policy/policy.h"

#include <stdbool.h>

struct token_session;

enum { TOKEN_PIN = 256 };

/* The value of pin-source, for the caller to free: NULL if there is none, or with a sentence in
 * errors when this is no URI of a private key. */
char *token_uri_pin_source(const char *uri, struct text *errors);

/* pin: shorter than TOKEN_PIN; NULL for a token without. One that a token has refused is not tried
 * again there: after a few attempts it locks itself. NULL with a clause in errors. */
WARN_UNUSED struct token_session *token_session_open(const char *uri, const char *pin,
                                                     struct text *errors);
void token_session_close(struct token_session *s);
enum key_type token_session_key(const struct token_session *s);
/* ECDSA over a digest, r and s in one row (PKCS #11 section 6.3.12), or RSASSA-PKCS1-v1_5 over a
 * DigestInfo. The size; 0 with the reason in *why. */
WARN_UNUSED size_t token_session_sign(struct token_session *s, struct span what, uint8_t *out,
                                      size_t room, const char **why);

#endif
