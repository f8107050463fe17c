/* What one worker needs to serve one configuration: listeners, contexts, caches, trust. Built
 * completely, possibly in another thread, before the worker gets it; then used by that worker only.
 * A connection keeps the runtime it began with. Once its sessions are set up it lets go of the
 * contents, which end with the last one who holds them; what is left is the loop, the listeners and
 * what is left of the configuration. */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include "base/cache.h"
#include "net/resolver.h"
#include "pki/ca.h"
#include "pki/trust.h"
#include "policy/verdict.h"
#include "runtime/leaf_keys.h"
#include "runtime/loaded_config.h"
#include "runtime/sign_order.h"
#include "tls/context.h"
#include "tls/session.h"

#include <ev.h>

struct acceptor;

struct runtime_listener {
    ev_io io;
    struct acceptor *acceptor; /* it uses io; see serve/acceptor.h */
    int fd;                    /* -1: none, or no longer */
    struct runtime *runtime;
    const struct listen_config *config;
    struct tls_context *own[KEY_TYPES][2]; /* without and with tickets; NULL: minted */
    struct verdict_keys keys;
    struct trust *client_trust; /* NULL: asks clients for no certificate */
};

struct runtime {
    struct loaded_config *loaded;
    struct ev_loop *loop;
    struct leaf_keys *leaf_keys;
    struct resolver *resolver;
    struct ca *signers[KEY_TYPES]; /* of minted leaves, by the leaf's key; without theirs */
    struct trust *trust;
    struct tls_context *upstream;
    struct cache *leaves;   /* server contexts by identity and key type */
    struct cache *sessions; /* upstream sessions by listener and identity */
    struct runtime_listener *listeners;
    size_t listener_count;
    unsigned holders;    /* of its contents: the worker whose current one it is, connections that
                            set up their sessions, a leaf under way */
    unsigned references; /* these, and all other connections */
    bool unloaded;
    ev_timer unload; /* at the end of this turn of the loop */
};

/* sockets: listening ones, one per listener of the configuration. Those that it takes, also on
 * failure, become -1; that of a publish listener stays. NULL with a sentence in errors. The caller
 * gets the only reference. */
WARN_UNUSED struct runtime *runtime_new(struct loaded_config *loaded, struct leaf_keys *keys,
                                        struct ev_loop *loop, int *sockets, struct text *errors);
void runtime_hold(struct runtime *runtime);
/* By one who holds the contents. */
void runtime_release(struct runtime *runtime);
void runtime_let_go(struct runtime *runtime);
/* By one who has let go of them. */
void runtime_drop(struct runtime *runtime);

/* The certificate to present to a client. */
struct leaf_request {
    const char *identity;
    bool is_ip;
    const char *second_name; /* a minted leaf's second name, or NULL */
    enum key_type key;
    bool tickets; /* whether the context issues session tickets */
};

/* Names it in caches and queues. */
enum { LEAF_NAME_SIZE = HELLO_NAME_SIZE + 32 };
void leaf_name(const struct leaf_request *r, char out[LEAF_NAME_SIZE]);

/* Its server context; NULL if the leaf has to be minted first. Valid until the next call. */
WARN_UNUSED struct tls_context *runtime_server_context(struct runtime *runtime,
                                                       const struct runtime_listener *listener,
                                                       const struct leaf_request *r);
/* SHA-256 of the certificate that this listener presents for such a key, in hexadecimal; NULL: a
 * minted one. */
const char *runtime_own_digest(const struct runtime *runtime,
                               const struct runtime_listener *listener, enum key_type key);
/* May it present a certificate for this identity? The local CA's name constraints may forbid it. */
bool runtime_may_present(const struct runtime *runtime, const struct runtime_listener *listener,
                         const struct leaf_request *r);
/* The order for a leaf, or for a signature with the listener's own key, or an identity's
 * (runtime/signer.h). False when out of memory. */
WARN_UNUSED bool runtime_order_leaf(struct runtime *runtime, const struct leaf_request *r,
                                    struct sign_order *out);
void runtime_order_signature(const struct runtime *runtime, enum sign_what what, size_t index,
                             const struct signing_request *request, struct sign_order *out);
/* The leaf is here: its chain as PEM. False when it cannot be used. */
WARN_UNUSED bool runtime_add_leaf(struct runtime *runtime, const struct leaf_request *r,
                                  const char *chain, size_t n, struct lifetime lifetime);

/* An upstream session to resume, with the certificate facts that were verified with it. */
struct upstream_session {
    struct saved_session *saved;
    struct cert_facts facts;
    int64_t verified_ns; /* steady: when a full handshake showed the certificate */
};
/* NULL when no session may be used now. Valid until the next call. */
const struct upstream_session *runtime_find_session(struct runtime *runtime, const char *key);
/* Takes saved; copies the facts. verified_ns: when they were verified, steady. */
void runtime_keep_session(struct runtime *runtime, const char *key, struct saved_session *saved,
                          const struct cert_facts *facts, int64_t verified_ns);
void runtime_drop_session(struct runtime *runtime, const char *key);

#endif
