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

const struct front front_fixed = {.first = CONN_HELLO,
                                  .begin = begin,
                                  .identity = identity,
                                  .hello_judged = reach_begin,
                                  .handshake_done = relay_begin,
                                  .has_one_upstream = true,
                                  .discard_limit = FRONT_DISCARD_LIMIT};
