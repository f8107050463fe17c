/* All that one worker needs to serve one configuration: listeners, contexts, caches, trust.
 * Built completely, and possibly in another thread, before the worker gets it; used by that
 * worker only from then on. Connections keep the gate they began with until they end. */
#ifndef PROXY_GATE_H
#define PROXY_GATE_H

#include "base/cache.h"
#include "net/resolver.h"
#include "pki/ca.h"
#include "pki/trust.h"
#include "policy/verdict.h"
#include "proxy/site.h"
#include "tls/context.h"
#include "tls/session.h"

#include <ev.h>

/* The keys of minted leaves: made once a start, the same for all. */
struct leaf_keys {
    struct private_key keys[KEY_TYPES];
};

struct gate_listener {
    ev_io io;
    int fd;
    bool borrowed; /* fd is still the former gate's; gate_take_over() changes that */
    struct gate *gate;
    const struct listen_config *config;
    const struct front *front;             /* of its type */
    struct tls_context *own[KEY_TYPES][2]; /* without and with tickets; NULL: minted */
    struct verdict_keys keys;
};

struct gate {
    struct site *site;
    struct ev_loop *loop;
    const struct leaf_keys *leaf_keys;
    struct resolver *resolver;
    struct ca *ca;
    struct trust *trust;
    struct tls_context *upstream;
    struct cache *leaves;   /* identity and key type to a server context */
    struct cache *sessions; /* listener and identity to an upstream session */
    struct gate_listener *listeners;
    size_t listener_count;
    unsigned references; /* connections, and one as the worker's current gate */
};

/* old: the gate this one follows (its sockets are shared where the address stays), or NULL.
 * NULL with a sentence in errors. The caller has the one reference. */
WARN_UNUSED struct gate *gate_new(struct site *site, const struct leaf_keys *keys,
                                  struct ev_loop *loop, const struct gate *old,
                                  struct text *errors);
void gate_release(struct gate *gate);
/* On the worker's thread, when this gate follows the old one: the sockets that both have are
 * this one's from now on. */
void gate_take_over(struct gate *gate, struct gate *old);

/* The server context for this identity and key type, with session tickets or without, minted
 * when it has to be. NULL when minting failed. Valid until the next call. */
WARN_UNUSED struct tls_context *gate_server_context(struct gate *gate,
                                                    const struct gate_listener *listener,
                                                    const char *identity, bool is_ip,
                                                    enum key_type key, bool tickets);

/* Would gate_server_context() have to mint? */
WARN_UNUSED bool gate_has_to_mint(struct gate *gate, const struct gate_listener *listener,
                                  const char *identity, bool is_ip, enum key_type key,
                                  bool tickets);

/* An upstream session to resume, with the certificate facts that were verified with it. */
struct upstream_session {
    struct saved_session *saved;
    struct cert_facts facts;
    int64_t verified_ns; /* steady: when a full handshake showed the certificate */
};
/* NULL when there is none that may be used now. Valid until the next call. */
const struct upstream_session *gate_find_session(struct gate *gate, const char *key);
/* Takes saved; copies the facts, which were verified at that steady time. */
void gate_keep_session(struct gate *gate, const char *key, struct saved_session *saved,
                       const struct cert_facts *facts, int64_t verified_ns);
void gate_drop_session(struct gate *gate, const char *key);

#endif
