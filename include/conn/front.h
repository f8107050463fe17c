/* How the clients of one listener type arrive, and what they get: one row per type, each in a file
 * of front/. The code of a connection asks its front, never the type. */
#ifndef CONN_FRONT_H
#define CONN_FRONT_H

#include "conn/conn_state.h"
#include "policy/reasons.h"

#include <stdbool.h>
#include <stddef.h>

struct conn;

/* What answers the client instead of an upstream: the state RESPONDER. */
struct responder {
    enum step (*step)(struct conn *c);
    void (*overdue)(struct conn *c);
    void (*shut_down)(struct conn *c);
};

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

    bool client_names_target;          /* and must not reach this machine's own addresses by it */
    const struct responder *responder; /* NULL: there is an upstream */
    size_t discard_limit; /* bytes read in vain for a client that is refused or answered */
};

enum { FRONT_DISCARD_LIMIT = 1 << 20 };

#endif
