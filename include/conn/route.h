/* How an upstream is reached: one row per way, each in a file of route/. */
#ifndef CONN_ROUTE_H
#define CONN_ROUTE_H

#include "base/addr.h"
#include "conn/conn_state.h"
#include "policy/target.h"

#include <stdbool.h>

struct conn;

struct route {
    /* What to resolve and dial on the way to c->target; borrowed from c or its configuration. */
    const struct target *(*next_hop)(const struct conn *c);
    /* May the client not be led to this address of the next hop? */
    bool (*is_forbidden)(const struct conn *c, const struct addr *a);
    /* The next hop is connected: exchanges what comes before TLS, then calls reach_done(). */
    enum step (*connected)(struct conn *c);
};

#endif
