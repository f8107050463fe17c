/* A transparent listener: TLS from the first byte, to the address to which the client connected;
 * the firewall of this machine leads such connections here. If the hello has a server name, it must
 * lead to that address, unless server_name_mismatch allows others. */
#include "conn/conn_impl.h"
#include "rows.h"

#include "net/listener.h"

#include <stdio.h>

static void begin(struct conn *c)
{
    bool redirected = c->listener->config->transparent == TRANSPARENT_REDIRECT;
    c->original = listener_original(c->client.fd, redirected);
    if (c->original.length) c->target = target_of_addr(&c->original);
}

/* The name becomes the target: reach.c sees that it leads to the address. Where it need not, the
 * address remains the target, and the name only what the upstream has to prove. */
static void hello_read(struct conn *c)
{
    const struct hello *h = &c->setup->hello;
    if (!h->server_name_usable || conn_config(c)->policy.allow_server_name_mismatch) return;
    snprintf(c->target.host, sizeof c->target.host, "%s", h->server_name);
    c->target.is_ip = false;
}

const struct front front_transparent = {.first = CONN_HELLO,
                                        .begin = begin,
                                        .hello_read = hello_read,
                                        .identity = client_target_name,
                                        .hello_judged = reach_begin,
                                        .handshake_done = relay_begin,
                                        .client_names_target = true,
                                        .discard_limit = FRONT_DISCARD_LIMIT};
