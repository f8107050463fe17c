/* A forward listener: an HTTP proxy for CONNECT (RFC 9110 section 9.3.6) only. */
#include "conn/conn_impl.h"
#include "rows.h"

static enum step accept_target(struct conn *c, size_t used)
{
    buf_consume(&c->client.stream.in, used);
    client_set_identity(c);
    return reach_begin(c);
}

static enum step greet(struct conn *c)
{
    (void)!leg_fill(&c->client);
    struct buf *in = &c->client.stream.in;
    if (buf_size(in) > 0) conn_saw_bytes(c);
    if (buf_size(in) == c->setup->greeted) return client_greeting_incomplete(c);
    c->setup->greeted = buf_size(in); /* what has been parsed */
    size_t used;
    const char *why = "";
    switch (target_parse_request(buf_head(in), buf_size(in), &c->setup->scan, &c->target, &used,
                                 &why)) {
    case TARGET_MORE:
        return client_greeting_incomplete(c);
    case TARGET_OK:
        return accept_target(c, used);
    case TARGET_NOT_CONNECT:
        client_set_identity(c);
        return client_refuse_unread(c, REASON_CLIENT_PLAINTEXT_HTTP, buf_head(in), buf_size(in));
    case TARGET_NOT_HTTP:
        if (buf_head(in)[0] == 22 || buf_head(in)[0] & 0x80)
            c->detail = "This looks like TLS; a forward listener wants a CONNECT request first.";
        return client_refuse_unread(c,
                                    c->detail ? REASON_CLIENT_BAD_REQUEST : REASON_CLIENT_NOT_TLS,
                                    buf_head(in), buf_size(in));
    case TARGET_BAD:
        c->detail = why;
        return client_refuse_unread(c, REASON_CLIENT_BAD_REQUEST, buf_head(in), buf_size(in));
    }
    return STEP_WAIT;
}

static enum step connected(struct conn *c)
{
    static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    if (!buf_append(&c->client.stream.out, established, sizeof established - 1))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    return client_await_hello(c);
}

const struct front front_forward = {.first = CONN_GREETING,
                                    .greet = greet,
                                    .identity = client_target_name,
                                    .judge = client_judge_name,
                                    .hello_judged = upstream_start_handshake,
                                    .connected = connected,
                                    .refuse = refusal_http,
                                    .handshake_done = relay_begin,
                                    .client_names_target = true,
                                    .discard_limit = FRONT_DISCARD_LIMIT};
