/* How an upstream is reached: one row per way, each in a file of route/. */
#ifndef CONN_ROUTE_H
#define CONN_ROUTE_H

#include "base/addr.h"
#include "conn/conn_state.h"
#include "policy/target.h"

#include <stdbool.h>
#include <stddef.h>

struct conn;

struct route {
    /* Is this the way to c->target? Not called for the last row, which is the default. */
    bool (*applies)(const struct conn *c);
    /* What to resolve and dial to reach c->target; borrowed from c or its configuration. */
    const struct target *(*next_hop)(const struct conn *c);
    /* Is this address of the next hop forbidden for the client? */
    bool (*is_forbidden)(const struct conn *c, const struct addr *a);
    /* Is c->target forbidden for the client, as far as can be told without its addresses? NULL:
     * no. */
    bool (*is_forbidden_target)(const struct conn *c);
    /* Refuses because the next hop is not reached; why: a sentence without a subject, such as
     * "refused the connection". NULL: the next hop is the target, which has codes of its own. */
    enum step (*failed)(struct conn *c, const char *why);
    /* The step of EXCHANGE, within connect_timeout: sends the next hop what precedes TLS and reads
     * its answer, then returns reach_done() or a refusal. Bytes after that answer stay in the leg
     * and are read as TLS. NULL: there is nothing to exchange. */
    enum step (*exchange)(struct conn *c);
};

#endif
