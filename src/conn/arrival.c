/* How a connection begins: what it is counted for, and whether it may be served. From a sender in
 * proxy_protocol_from, who the client is comes with its first bytes, in a PROXY header. */
#include "conn/conn_impl.h"

#include "base/clock.h"
#include "pki/keys.h"
#include "policy/proxy_header.h"

#include <stdio.h>

struct source *conn_admit(struct worker *w, const struct runtime_listener *l,
                          const struct addr *client, enum reason *refuse, const char **detail)
{
    const struct config *config = l->runtime->loaded->config;
    enum source_verdict verdict = SOURCE_OK;
    struct source *source = sources_enter(w->shared->sources, client, &config->proxy.per_source,
                                          clock_steady_ns(), &verdict);
    *refuse = REASON_OK;
    if (!listen_allows_client(l->config, client)) {
        *refuse = REASON_CLIENT_DENIED;
    } else if (verdict == SOURCE_TOO_MANY) {
        *refuse = REASON_SOURCE_LIMIT_REACHED;
        *detail = "It has max_connections_per_source connections open.";
    } else if (verdict == SOURCE_TOO_FAST) {
        *refuse = REASON_SOURCE_LIMIT_REACHED;
        *detail = "It makes more than max_handshakes_per_source new connections a second.";
    } else if (!source) {
        *refuse = REASON_LIMIT_REACHED;
    }
    return source;
}

bool conn_is_of_this_machine(const struct conn *c)
{
    return addr_is_loopback(&c->peer) && (!c->via.length || addr_is_loopback(&c->via));
}

bool conn_observes(const struct conn *c)
{
    return c->listener->config->mode == MODE_OBSERVE;
}

/* A client whose TLS passes may wait for the server to speak first: it is connected even if it says
 * nothing, if all that decides is known, which is not so if a server name may be what allows the
 * target, or what leads around a parent. */
enum step arrival_begin(struct conn *c)
{
    conn_set_state(c, c->front->first);
    if (!conn_observes(c)) return STEP_AGAIN;
    if (!observe_start(c)) return conn_refuse(c, REASON_INTERNAL_ERROR);
    bool known = c->front->begin && reach_is_allowed(c) && !c->listener->config->parent;
    if (known) conn_set_state(c, CONN_WATCH);
    return STEP_AGAIN;
}

/* So much of what is no hello is enough to know it again. */
enum { KNOWN_BY = 16 * 1024 };

static enum hello_status status_of(const struct conn *c)
{
    const struct buf *in = &c->client.stream.in;
    struct hello_reader reader = {.limit = conn_config(c)->proxy.hello_max_size};
    size_t used;
    enum hello_status status = buf_size(in) > 0
                                   ? hello_reader_feed(&reader, buf_head(in), buf_size(in), &used)
                                   : HELLO_MORE;
    hello_reader_fini(&reader);
    return status;
}

/* What is no hello is known again by its first bytes; silence is not. */
static enum step begin_known(struct conn *c)
{
    const struct buf *in = &c->client.stream.in;
    size_t n = buf_size(in) < KNOWN_BY ? buf_size(in) : KNOWN_BY;
    uint8_t mark[HELLO_RANDOM_SIZE];
    if (n == 0) return reach_begin(c);
    if (!digest_sha256(buf_head(in), n, mark)) return conn_refuse(c, REASON_INTERNAL_ERROR);
    if (client_circles(c, mark)) return conn_refuse(c, REASON_PROXY_LOOP);
    client_mark(c, mark);
    return reach_begin(c);
}

/* Not before a whole hello, which shows whether it goes in a circle, or a moment: otherwise silence
 * could go in a circle without end. */
enum step watch_step(struct conn *c)
{
    (void)!leg_fill(&c->client);
    size_t n = buf_size(&c->client.stream.in);
    if (n > 0) conn_saw_bytes(c);
    enum hello_status status = status_of(c);
    if (status == HELLO_COMPLETE) return reach_begin(c);
    if (status != HELLO_MORE && n >= KNOWN_BY) return begin_known(c);
    if (!c->client.stream.end_of_data) return STEP_WAIT;
    if (n > 0) return begin_known(c);
    conn_end(c);
    return STEP_AGAIN;
}

void watch_overdue(struct conn *c)
{
    begin_known(c);
}

static enum step refuse_header(struct conn *c, const char *why)
{
    c->saw_bytes = true; /* recorded even if it is silent */
    c->detail = why;
    return conn_refuse(c, REASON_CLIENT_BAD_PROXY_HEADER);
}

static enum step header_read(struct conn *c, const struct proxy_header *header)
{
    enum reason refuse = REASON_OK;
    c->via = c->peer;
    if (header->source.length) {
        c->peer = header->source;
        c->via_destination = header->destination;
    }
    conn_change_source(c, conn_admit(c->worker, c->listener, &c->peer, &refuse, &c->detail));
    if (refuse != REASON_OK) {
        c->saw_bytes = true;
        return conn_refuse(c, refuse);
    }
    return arrival_begin(c);
}

/* The header itself is not yet a byte of the client: one that then leaves is not recorded, as when
 * a balancer checks that this port is open. */
enum step proxy_header_step(struct conn *c)
{
    struct buf *in = &c->client.stream.in;
    struct proxy_header header;
    size_t used;
    const char *why = NULL;
    (void)!leg_fill(&c->client);
    switch (proxy_header_parse(buf_head(in), buf_size(in), &used, &header, &why)) {
    case PROXY_HEADER_OK:
        buf_consume(in, used);
        return header_read(c, &header);
    case PROXY_HEADER_BAD:
        return refuse_header(c, why);
    default:
        if (!c->client.stream.end_of_data) return STEP_WAIT;
    }
    if (buf_size(in) > 0) return refuse_header(c, "The connection ended within it.");
    conn_end(c);
    return STEP_AGAIN;
}

void proxy_header_overdue(struct conn *c)
{
    refuse_header(c, "It did not come within hello_timeout.");
}
