/* An sni listener: TLS from the first byte, to the host that the client's hello names (RFC 6066
 * section 3). */
#include "conn/conn_impl.h"
#include "rows.h"

#include <stdio.h>

static void hello_read(struct conn *c)
{
    const struct hello *h = &c->setup->hello;
    if (!h->server_name_usable) return;
    snprintf(c->target.host, sizeof c->target.host, "%s", h->server_name);
    c->target.port = (uint16_t)c->listener->config->upstream_port;
}

static const char *identity(const struct conn *c)
{
    return c->target.host;
}

static enum reason judge(const struct conn *c)
{
    return c->target.host[0] ? REASON_OK : REASON_CLIENT_NO_SERVER_NAME;
}

const struct front front_sni = {.first = CONN_HELLO,
                                .hello_read = hello_read,
                                .identity = identity,
                                .judge = judge,
                                .hello_judged = reach_begin,
                                .handshake_done = relay_begin,
                                .client_names_target = true,
                                .discard_limit = FRONT_DISCARD_LIMIT};
