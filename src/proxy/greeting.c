/* A forward listener's first exchange: the CONNECT request. */
#include "conn_impl.h"

static enum step accept_target(struct conn *c, size_t used)
{
    buf_consume(&c->client.stream.in, used);
    client_set_identity(c);
    if (!listen_allows_upstream(c->listener->config, &c->target))
        return conn_refuse_with(c, REASON_DESTINATION_DENIED, REASON_ALERT_AS_SENT,
                                c->target.is_ip ? "destination_ip_prohibited" : NULL);
    return upstream_begin(c);
}

static enum step incomplete(struct conn *c)
{
    if (!c->client.stream.end_of_data) return STEP_WAIT;
    if (c->spoken) {
        c->detail = "The client went away before its request was complete.";
        return conn_refuse(c, REASON_CLIENT_BAD_REQUEST);
    }
    conn_set_state(c, CONN_DONE);
    return STEP_AGAIN;
}

enum step greeting_step(struct conn *c)
{
    size_t got = leg_fill(&c->client);
    struct buf *in = &c->client.stream.in;
    if (buf_size(in) > 0) conn_spoke(c);
    if (got == 0) return incomplete(c);
    size_t used;
    const char *why = "";
    switch (target_parse_request(buf_head(in), buf_size(in), &c->attempt->scan, &c->target, &used,
                                 &why)) {
    case TARGET_MORE:
        return incomplete(c);
    case TARGET_OK:
        return accept_target(c, used);
    case TARGET_NOT_CONNECT:
        client_set_identity(c);
        return conn_refuse(c, REASON_CLIENT_PLAINTEXT_HTTP);
    case TARGET_NOT_HTTP:
        if (buf_head(in)[0] == 22 || buf_head(in)[0] & 0x80)
            c->detail = "This looks like TLS; a forward listener wants a CONNECT request first.";
        return conn_refuse(c, c->detail ? REASON_CLIENT_BAD_REQUEST : REASON_CLIENT_NOT_TLS);
    case TARGET_BAD:
        c->detail = why;
        return conn_refuse(c, REASON_CLIENT_BAD_REQUEST);
    }
    return STEP_WAIT;
}
