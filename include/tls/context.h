/* What many sessions share: a certificate with its key on the server side, the trust on the
 * client side. A context belongs to one thread once sessions are made from it; sessions hold
 * it by a reference of their own. */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include "base/attr.h"
#include "base/text.h"
#include "pki/keys.h"
#include "policy/policy.h"

struct WOLFSSL_CTX;
struct tls_context;

/* Server side: the PEM chain (leaf first) and the leaf's key, which the caller has made sure
 * of: the library would compute the public half again. Only the policy's suites of the key's
 * type are on. tickets: give and take session tickets (tls/ticket.h). NULL when the library
 * refuses them. */
WARN_UNUSED struct tls_context *tls_context_server(const struct policy *policy,
                                                   const struct text *chain,
                                                   const struct private_key *key, bool tickets);
/* Client side: the policy's suites and groups. Certificates are judged by the session's peer_check
 * alone. resume: offer session tickets and IDs. NULL when the library refuses. */
WARN_UNUSED struct tls_context *tls_context_client(const struct policy *policy, bool resume);
void tls_context_free(struct tls_context *c);

/* Private to tls/. */
struct WOLFSSL_CTX *tls_context_library(const struct tls_context *c);

#endif
