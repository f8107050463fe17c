/* What many sessions share: a certificate with its key on the server side, the trust on the client
 * side. A context belongs to one thread once sessions are made from it; sessions hold their own
 * reference to it. */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include "base/attr.h"
#include "base/text.h"
#include "pki/keys.h"
#include "policy/policy.h"

struct WOLFSSL_CTX;
struct tls_context;

/* Server side: the PEM chain (leaf first) and the leaf's key. The caller has checked that they
 * match: the library does not, since it would compute the public key again. Only the policy's
 * suites for the key's type are on. A key without its private half: its sessions
 * ask for signatures (SESSION_WANT_SIGNATURE). tickets: use session tickets (tls/ticket.h). NULL
 * when the library refuses them. */
WARN_UNUSED struct tls_context *tls_context_server(const struct policy *policy,
                                                   const struct text *chain,
                                                   const struct private_key *key, bool tickets);
/* Client side: the policy's suites and groups. The session's peer_check alone judges certificates.
 * resume: offer session tickets and IDs. NULL when the library refuses. */
WARN_UNUSED struct tls_context *tls_context_client(const struct policy *policy, bool resume);
void tls_context_free(struct tls_context *c);

/* Private to tls/. */
struct WOLFSSL_CTX *tls_context_library(const struct tls_context *c);

#endif
