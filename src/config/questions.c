/* What is asked of a configuration. */
#include "config/config.h"

bool listen_relays(const struct listen_config *l)
{
    return l->type != LISTEN_TEST && l->type != LISTEN_PUBLISH;
}

bool config_needs_ca(const struct config *c)
{
    for (size_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].certificates.n == 0) return true;
    return false;
}

bool listen_asks_certificate(const struct listen_config *l)
{
    return l->client_certificate >= CLIENT_CERTIFICATE_OPTIONAL;
}

bool listen_allows_client(const struct listen_config *l, const struct addr *client)
{
    return list_has_address(&l->allow_clients, client);
}

bool listen_expects_header(const struct listen_config *l, const struct addr *sender)
{
    return list_has_address(&l->proxy_protocol_from, sender);
}

/* An empty file allows nothing; only without the option everything is allowed. */
bool listen_allows_upstream(const struct listen_config *l, const struct target *t)
{
    return l->allow_upstreams.texts.n == 0 || list_has_target(&l->allow_upstreams, t, false);
}

bool listen_names_upstream(const struct listen_config *l, const struct target *t)
{
    return list_has_target(&l->allow_upstreams, t, true);
}

bool listen_names_address(const struct listen_config *l, const struct addr *a)
{
    struct target t = target_of_addr(a);
    return listen_names_upstream(l, &t);
}

bool parent_is_bypassed(const struct parent_config *p, const struct target *t)
{
    return list_has_target(&p->no_proxy, t, false);
}
