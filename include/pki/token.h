/* Private keys in PKCS #11 tokens (hardware security modules, smart cards), named by URIs (RFC
 * 7512). A thread of its own makes all calls to them, which begins with the first key that is
 * opened: it needs files and sockets of the module's, which the callers may not have, and no caller
 * waits longer than TOKEN_PATIENCE_S. Any thread may call. */
#ifndef PKI_TOKEN_H
#define PKI_TOKEN_H

#include "base/attr.h"
#include "base/reader.h"
#include "base/text.h"
#include "policy/policy.h"

#include <limits.h>
#include <stdbool.h>

enum { TOKEN_PATIENCE_S = 5, TOKEN_SIGNATURE = 512 };

struct token_key;

/* Is this such a URI, and no path? */
bool token_is_uri(const char *text);
/* For messages: without the query, which may have a PIN. The caller's; NULL when out of memory. */
WARN_UNUSED char *token_uri_name(const char *uri);
/* The file with the token's PIN, or "". False with a clause in errors: it is no URI of a private
 * key, or has its PIN elsewhere than in a file. */
WARN_UNUSED bool token_pin_file(const char *uri, char out[PATH_MAX], struct text *errors);
/* Logs in and finds the key. pin: NULL for none; copied into memory for secrets. NULL with a clause
 * in errors. A token that forgets the session (it was taken out, its host restarted) is logged into
 * again when a signature is wanted; a PIN that it has refused is not tried again in this process.
 */
WARN_UNUSED struct token_key *token_key_open(const char *uri, const char *pin, struct text *errors);
struct token_key *token_key_hold(struct token_key *k);
/* No effect for NULL. */
void token_key_release(struct token_key *k);
enum key_type token_key_type(const struct token_key *k);
/* ECDSA over a digest: r and s, each of half the size; RSASSA-PKCS1-v1_5 over a DigestInfo. The
 * size; 0 when it failed: then a message says why, at most each ten seconds. */
WARN_UNUSED size_t token_key_sign(struct token_key *k, struct span what,
                                  uint8_t out[TOKEN_SIGNATURE]);

#endif
