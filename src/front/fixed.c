/* A fixed listener: TLS from the first byte, to the one upstream that the configuration names. */
#include "conn/conn_impl.h"
#include "rows.h"

static void begin(struct conn *c)
{
    c->target = c->listener->config->upstream;
}

static const char *identity(const struct conn *c)
{
    return c->listener->config->upstream_name;
}

static enum step hello_judged(struct conn *c)
{
    if (!listen_allows_upstream(c->listener->config, &c->target)) return conn_refuse_destination(c);
    return reach_begin(c);
}

const struct front front_fixed = {.first = CONN_HELLO,
                                  .begin = begin,
                                  .identity = identity,
                                  .hello_judged = hello_judged,
                                  .handshake_done = relay_begin,
                                  .discard_limit = FRONT_DISCARD_LIMIT};
