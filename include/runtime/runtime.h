/* All that one worker needs to serve one configuration: listeners, contexts, caches, trust.
 * Built completely, and possibly in another thread, before the worker gets it; used by that
 * worker only from then on. Connections keep the runtime they began with until they end. */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include "base/cache.h"
#include "net/resolver.h"
#include "pki/ca.h"
#include "pki/trust.h"
#include "policy/verdict.h"
#include "runtime/loaded_config.h"
#include "tls/context.h"
#include "tls/session.h"

#include <ev.h>

/* The keys of minted leaves: made once a start, the same for all. */
struct leaf_keys {
    struct private_key keys[KEY_TYPES];
};

struct acceptor;

struct runtime_listener {
    ev_io io;
    struct acceptor *acceptor; /* that uses io; serve/acceptor.h */
    int fd;
    bool borrowed; /* fd is still the former runtime's; runtime_take_over() changes that */
    struct runtime *runtime;
    const struct listen_config *config;
    struct tls_context *own[KEY_TYPES][2]; /* without and with tickets; NULL: minted */
    struct verdict_keys keys;
};

struct runtime {
    struct loaded_config *loaded;
    struct ev_loop *loop;
    const struct leaf_keys *leaf_keys;
    struct resolver *resolver;
    struct ca *ca;
    struct trust *trust;
    struct tls_context *upstream;
    struct cache *leaves;   /* identity and key type to a server context */
    struct cache *sessions; /* listener and identity to an upstream session */
    struct runtime_listener *listeners;
    size_t listener_count;
    unsigned references; /* connections, and one as the worker's current runtime */
};

/* old: the runtime this one follows (its sockets are shared where the address stays), or NULL.
 * NULL with a sentence in errors. The caller has the one reference. */
WARN_UNUSED struct runtime *runtime_new(struct loaded_config *loaded, const struct leaf_keys *keys,
                                        struct ev_loop *loop, const struct runtime *old,
                                        struct text *errors);
void runtime_release(struct runtime *runtime);
/* On the worker's thread, when this runtime follows the old one: the sockets that both have are
 * this one's from now on. */
void runtime_take_over(struct runtime *runtime, struct runtime *old);

/* The certificate that a client is shown. */
struct leaf_request {
    const char *identity;
    bool is_ip;
    const char *second_name; /* that a minted leaf has as well, or NULL */
    enum key_type key;
    bool tickets; /* whether the context issues session tickets */
};

/* The server context for it, minted when it has to be. NULL when minting failed. Valid until the
 * next call. */
WARN_UNUSED struct tls_context *runtime_server_context(struct runtime *runtime,
                                                       const struct runtime_listener *listener,
                                                       const struct leaf_request *r);
/* Would runtime_server_context() have to mint? */
WARN_UNUSED bool runtime_has_to_mint(struct runtime *runtime,
                                     const struct runtime_listener *listener,
                                     const struct leaf_request *r);

/* An upstream session to resume, with the certificate facts that were verified with it. */
struct upstream_session {
    struct saved_session *saved;
    struct cert_facts facts;
    int64_t verified_ns; /* steady: when a full handshake showed the certificate */
};
/* NULL when there is none that may be used now. Valid until the next call. */
const struct upstream_session *runtime_find_session(struct runtime *runtime, const char *key);
/* Takes saved; copies the facts, which were verified at that steady time. */
void runtime_keep_session(struct runtime *runtime, const char *key, struct saved_session *saved,
                          const struct cert_facts *facts, int64_t verified_ns);
void runtime_drop_session(struct runtime *runtime, const char *key);

#endif
