/* A socks5 listener: a proxy for SOCKS 5 CONNECT (RFC 1928), with a login (RFC 1929) if the
 * listener has credentials. */
#include "conn/conn_impl.h"
#include "rows.h"

#include "policy/socks.h"

#include <string.h>

/* setup's `greeted` */
enum { METHODS, LOGIN, REQUEST };

static bool queue(struct conn *c, const void *p, size_t n)
{
    return buf_append(&c->client.stream.out, p, n);
}

static enum step bad_request(struct conn *c, const char *why)
{
    c->detail = why;
    return conn_refuse(c, REASON_CLIENT_BAD_REQUEST);
}

static const struct credentials *logins_of(const struct conn *c)
{
    return &c->runtime->loaded->logins[c->listener->config - conn_config(c)->listeners];
}

static enum step choose_method(struct conn *c, size_t used, bool without, bool login)
{
    uint8_t choice[SOCKS_CHOICE_SIZE];
    bool wants_login = logins_of(c)->n > 0;
    if (wants_login && !login) {
        c->detail = "It offers no login with user name and password (RFC 1929).";
        return conn_refuse(c, REASON_CLIENT_LOGIN_FAILED);
    }
    if (!wants_login && !without)
        return bad_request(c, "It wants to log in; this listener has no credentials.");
    socks_write_choice(wants_login ? SOCKS_LOGIN : SOCKS_WITHOUT, choice);
    buf_consume(&c->client.stream.in, used);
    c->setup->greeted = wants_login ? LOGIN : REQUEST;
    return queue(c, choice, sizeof choice) ? STEP_AGAIN : conn_refuse(c, REASON_INTERNAL_ERROR);
}

static enum step read_login(struct conn *c)
{
    struct buf *in = &c->client.stream.in;
    struct span user, password;
    size_t used;
    uint8_t answer[SOCKS_CHOICE_SIZE];
    switch (socks_parse_login(buf_head(in), buf_size(in), &used, &user, &password)) {
    case SOCKS_MORE:
        return client_greeting_incomplete(c);
    case SOCKS_OK:
        break;
    default:
        return bad_request(c, "Its login is not of RFC 1929.");
    }
    if (!credentials_match(logins_of(c), user, password))
        return conn_refuse(c, REASON_CLIENT_LOGIN_FAILED);
    socks_write_login_answer(true, answer);
    buf_consume(in, used);
    c->setup->greeted = REQUEST;
    return queue(c, answer, sizeof answer) ? STEP_AGAIN : conn_refuse(c, REASON_INTERNAL_ERROR);
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
    bool without, login;
    switch (socks_parse_methods(buf_head(in), buf_size(in), &used, &without, &login)) {
    case SOCKS_MORE:
        return client_greeting_incomplete(c);
    case SOCKS_OK:
        return choose_method(c, used, without, login);
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
    switch (c->setup->greeted) {
    case METHODS:
        return read_methods(c);
    case LOGIN:
        return read_login(c);
    default:
        return read_request(c);
    }
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
    bool without, login;
    return socks_parse_methods(buf_head(in), buf_size(in), &used, &without, &login) != SOCKS_BAD;
}

static void refuse(struct conn *c)
{
    uint8_t pair[SOCKS_CHOICE_SIZE], reply[SOCKS_REPLY_SIZE];
    bool ok = true;
    switch (c->setup->greeted) {
    case REQUEST:
        socks_write_reply(reply_to(c), reply);
        ok = queue(c, reply, sizeof reply);
        break;
    case LOGIN:
        socks_write_login_answer(false, pair);
        ok = queue(c, pair, sizeof pair);
        break;
    default:
        socks_write_choice(SOCKS_NO_METHOD, pair);
        if (speaks_socks(c)) ok = queue(c, pair, sizeof pair);
    }
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
