/* How the clients of one listener type arrive, and what they get: one row per type, each in a file
 * of front/. Connection code uses the front, never the type. */
#ifndef CONN_FRONT_H
#define CONN_FRONT_H

#include "conn/conn_state.h"
#include "policy/reasons.h"

#include <stdbool.h>
#include <stddef.h>

struct conn;

/* Answers the client instead of an upstream, in the state RESPONDER. */
struct responder {
    enum step (*step)(struct conn *c);
    void (*overdue)(struct conn *c);
    void (*shut_down)(struct conn *c);
};

struct front {
    enum conn_state first; /* GREETING, or HELLO if TLS comes first */
    /* At accept: sets c->target. NULL: it is not known then. */
    void (*begin)(struct conn *c);
    /* The step of GREETING, which reads c->target. NULL: that state does not occur. */
    enum step (*greet)(struct conn *c);
    /* The hello is parsed: sets c->target. NULL: it is known by then. */
    void (*hello_read)(struct conn *c);
    /* The name that is presented to the client and verified upstream; borrowed from c. */
    const char *(*identity)(const struct conn *c);
    /* This type's conditions for a hello beyond the policy. NULL: none. */
    enum reason (*judge)(const struct conn *c);
    /* The hello is allowed: continues. */
    enum step (*hello_judged)(struct conn *c);
    /* The upstream is connected before the client's hello has come: continues. NULL: the hello
     * always comes first. */
    enum step (*connected)(struct conn *c);
    /* Queues a refusal for a client that does not expect TLS yet. NULL: clients always expect
     * TLS. */
    void (*refuse)(struct conn *c);
    /* The client's handshake is done: continues. */
    void (*handshake_done)(struct conn *c);

    bool has_one_upstream;             /* the same for all its clients */
    bool client_names_target;          /* and must not reach this machine's own addresses */
    const struct responder *responder; /* NULL: there is an upstream */
    size_t discard_limit;              /* bytes to drop from a client after its answer */
};

enum { FRONT_DISCARD_LIMIT = 1 << 20 };

#endif
