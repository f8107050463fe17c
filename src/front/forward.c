/* A forward listener: an HTTP proxy for CONNECT (RFC 9110 section 9.3.6) only. */
#include "conn/conn_impl.h"
#include "rows.h"

#include <string.h>

static enum step accept_target(struct conn *c, size_t used)
{
    buf_consume(&c->client.stream.in, used);
    client_set_identity(c);
    if (!listen_allows_upstream(c->listener->config, &c->target)) return conn_refuse_destination(c);
    return reach_begin(c);
}

static enum step incomplete(struct conn *c)
{
    if (!c->client.stream.end_of_data) return STEP_WAIT;
    if (c->saw_bytes) {
        c->detail = "The client went away before its request was complete.";
        return conn_refuse(c, REASON_CLIENT_BAD_REQUEST);
    }
    conn_set_state(c, CONN_DONE);
    return STEP_AGAIN;
}

static enum step greet(struct conn *c)
{
    size_t got = leg_fill(&c->client);
    struct buf *in = &c->client.stream.in;
    if (buf_size(in) > 0) conn_saw_bytes(c);
    if (got == 0) return incomplete(c);
    size_t used;
    const char *why = "";
    switch (target_parse_request(buf_head(in), buf_size(in), &c->setup->scan, &c->target, &used,
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

static enum reason judge(const struct conn *c)
{
    const char *name = c->setup->hello.server_name;
    bool named = !c->target.is_ip && name[0];
    if (named && !conn_config(c)->policy.allow_server_name_mismatch &&
        strcmp(name, c->target.host) != 0)
        return REASON_CLIENT_SERVER_NAME_MISMATCH;
    return REASON_OK;
}

static enum step connected(struct conn *c)
{
    static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    if (!buf_append(&c->client.stream.out, established, sizeof established - 1))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    c->expects_tls = true;
    conn_set_state(c, CONN_HELLO);
    return STEP_AGAIN;
}

const struct front front_forward = {.first = CONN_GREETING,
                                    .greet = greet,
                                    .identity = client_target_name,
                                    .judge = judge,
                                    .hello_judged = upstream_start_handshake,
                                    .connected = connected,
                                    .refuse = refusal_http,
                                    .handshake_done = relay_begin,
                                    .client_names_target = true,
                                    .discard_limit = FRONT_DISCARD_LIMIT};
