/* Directly to the target; TLS begins at once. */
#include "conn/conn_impl.h"
#include "rows.h"

static bool applies(const struct conn *c)
{
    (void)c;
    return true;
}

static const struct target *next_hop(const struct conn *c)
{
    return &c->target;
}

/* A client on another machine must not reach through this proxy what only this machine or its link
 * can reach, such as a service on loopback or a cloud's metadata, by address or by name. Addresses
 * that the operator names are allowed. */
static bool is_forbidden(const struct conn *c, const struct addr *a)
{
    return c->front->client_names_target && !conn_is_of_this_machine(c) && addr_special_kind(a) &&
           !listen_names_address(c->listener->config, a);
}

const struct route route_direct = {
    .applies = applies, .next_hop = next_hop, .is_forbidden = is_forbidden};
