/* A socks5 listener: a proxy for SOCKS 5 CONNECT (RFC 1928) without authentication. */
#include "conn/conn_impl.h"
#include "rows.h"

#include "policy/socks.h"

#include <string.h>

/* setup's `greeted` */
enum { METHODS, REQUEST };

static bool queue(struct conn *c, const void *p, size_t n)
{
    return buf_append(&c->client.stream.out, p, n);
}

static enum step bad_request(struct conn *c, const char *why)
{
    c->detail = why;
    return conn_refuse(c, REASON_CLIENT_BAD_REQUEST);
}

static enum step choose_method(struct conn *c, size_t used, bool without)
{
    uint8_t choice[SOCKS_CHOICE_SIZE];
    if (!without)
        return bad_request(c, "It wants to log in; a socks5 listener knows no user names.");
    socks_write_choice(true, choice);
    buf_consume(&c->client.stream.in, used);
    c->setup->greeted = REQUEST;
    return queue(c, choice, sizeof choice) ? STEP_AGAIN : conn_refuse(c, REASON_INTERNAL_ERROR);
}

static enum step not_socks(struct conn *c)
{
    const struct buf *in = &c->client.stream.in;
    if (buf_head(in)[0] == 4)
        return bad_request(c, "This is SOCKS 4; a socks5 listener wants version 5.");
    c->detail =
        "This is not SOCKS 5; a forward listener is for HTTP proxy requests, a fixed or sni "
        "listener for TLS.";
    return client_refuse_unread(c, REASON_CLIENT_BAD_REQUEST, buf_head(in), buf_size(in));
}

static enum step read_methods(struct conn *c)
{
    const struct buf *in = &c->client.stream.in;
    size_t used;
    bool without;
    switch (socks_parse_methods(buf_head(in), buf_size(in), &used, &without)) {
    case SOCKS_MORE:
        return client_greeting_incomplete(c);
    case SOCKS_OK:
        return choose_method(c, used, without);
    default:
        return not_socks(c);
    }
}

static enum step read_request(struct conn *c)
{
    struct buf *in = &c->client.stream.in;
    size_t used;
    enum socks_reply reply;
    const char *why;
    switch (socks_parse_request(buf_head(in), buf_size(in), &used, &c->target, &reply, &why)) {
    case SOCKS_MORE:
        return client_greeting_incomplete(c);
    case SOCKS_OK:
        buf_consume(in, used);
        client_set_identity(c);
        return reach_begin(c);
    default:
        client_set_identity(c);
        return bad_request(c, why);
    }
}

static enum step greet(struct conn *c)
{
    size_t got = leg_fill(&c->client);
    const struct buf *in = &c->client.stream.in;
    if (buf_size(in) > 0) conn_saw_bytes(c);
    if (got == 0 && buf_size(in) == 0) return client_greeting_incomplete(c);
    return c->setup->greeted == METHODS ? read_methods(c) : read_request(c);
}

static enum step connected(struct conn *c)
{
    uint8_t reply[SOCKS_REPLY_SIZE];
    socks_write_reply(SOCKS_SUCCEEDED, reply);
    if (!queue(c, reply, sizeof reply)) return conn_refuse(c, REASON_INTERNAL_ERROR);
    return client_await_hello(c);
}

/* The answer to a request that cannot be read. */
static enum socks_reply reply_to_bad_request(const struct conn *c)
{
    const struct buf *in = &c->client.stream.in;
    enum socks_reply reply = SOCKS_FAILURE;
    struct target target;
    const char *why;
    size_t used;
    (void)!socks_parse_request(buf_head(in), buf_size(in), &used, &target, &reply, &why);
    return reply;
}

static enum socks_reply reply_to(const struct conn *c)
{
    switch (c->reason) {
    case REASON_CLIENT_BAD_REQUEST:
        return reply_to_bad_request(c);
    case REASON_CLIENT_DENIED:
    case REASON_DESTINATION_DENIED:
        return SOCKS_NOT_ALLOWED;
    case REASON_UPSTREAM_NAME_NOT_FOUND:
    case REASON_UPSTREAM_NAME_LOOKUP_FAILED:
    case REASON_UPSTREAM_TIMEOUT:
        return SOCKS_HOST_UNREACHABLE;
    case REASON_UPSTREAM_UNREACHABLE:
        return strcmp(c->setup->proxy_status, "connection_refused") == 0 ? SOCKS_REFUSED
                                                                         : SOCKS_HOST_UNREACHABLE;
    default:
        return SOCKS_FAILURE;
    }
}

/* A client that does not speak SOCKS 5 gets no answer, since it could not read it. */
static bool speaks_socks(const struct conn *c)
{
    const struct buf *in = &c->client.stream.in;
    size_t used;
    bool without;
    return socks_parse_methods(buf_head(in), buf_size(in), &used, &without) != SOCKS_BAD;
}

static void refuse(struct conn *c)
{
    uint8_t choice[SOCKS_CHOICE_SIZE], reply[SOCKS_REPLY_SIZE];
    bool ok = true;
    socks_write_choice(false, choice);
    socks_write_reply(reply_to(c), reply);
    if (c->setup->greeted == REQUEST)
        ok = queue(c, reply, sizeof reply);
    else if (speaks_socks(c))
        ok = queue(c, choice, sizeof choice);
    if (!ok) c->client.broken = true;
}

const struct front front_socks5 = {.first = CONN_GREETING,
                                   .greet = greet,
                                   .identity = client_target_name,
                                   .judge = client_judge_name,
                                   .hello_judged = upstream_start_handshake,
                                   .connected = connected,
                                   .refuse = refuse,
                                   .handshake_done = relay_begin,
                                   .client_names_target = true,
                                   .discard_limit = FRONT_DISCARD_LIMIT};
