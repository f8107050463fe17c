/* How the clients of one listener type arrive, and what they get: one row per type, each in a file
 * of its own. The code of a connection asks its listener's row, never the type. */
#ifndef PROXY_FRONT_H
#define PROXY_FRONT_H

#include "config/config.h"
#include "conn_state.h"
#include "policy/reasons.h"

#include <stdbool.h>
#include <stddef.h>

struct conn;

struct front {
    enum conn_state first; /* GREETING, or HELLO where TLS comes first */
    /* At accept: sets c->target where it is known then. NULL: it is not. */
    void (*begin)(struct conn *c);
    /* The step of GREETING, which learns c->target. NULL: that state does not occur. */
    enum step (*greet)(struct conn *c);
    /* The name that is presented to the client and verified upstream; borrowed from c. */
    const char *(*identity)(const struct conn *c);
    /* What this type asks of a hello beyond the policy. NULL: nothing. */
    enum reason (*judge)(const struct conn *c);
    /* The hello is allowed: goes on. */
    enum step (*hello_judged)(struct conn *c);
    /* The upstream is connected and the client's hello is not here yet: goes on. NULL: the hello
     * always comes first. */
    enum step (*connected)(struct conn *c);
    /* Queues a refusal for a client that does not expect TLS yet. NULL: it always does. */
    void (*refuse)(struct conn *c);
    /* The client's handshake is done: goes on. */
    void (*handshake_done)(struct conn *c);

    bool client_names_target; /* and must not reach this machine's own addresses by it */
    bool answers_itself;      /* there is no upstream, and its operator sees what came (recent.h) */
    size_t discard_limit;     /* bytes read in vain for a client that is refused or answered */
};

enum { FRONT_DISCARD_LIMIT = 1 << 20 };

extern const struct front front_forward, front_fixed, front_test;

const struct front *front_of(enum listen_type type);

#endif
