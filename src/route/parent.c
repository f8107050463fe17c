/* Through a parent proxy: an HTTP proxy with CONNECT (RFC 9110 section 9.3.6), perhaps over TLS, or
 * a SOCKS 5 proxy (RFC 1928). Never directly instead. */
#include "conn/conn_impl.h"
#include "rows.h"

#include "policy/connect_answer.h"
#include "policy/socks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* setup's `exchanged` */
enum { BEGIN, TLS, ASK, HTTP_ANSWER, SOCKS_CHOICE, SOCKS_LOGGED_IN, SOCKS_ANSWER };

static const struct parent_config *parent_of(const struct conn *c)
{
    return c->listener->config->parent;
}

static const struct parent_login *login_of(const struct conn *c)
{
    return &c->runtime->loaded->parents[parent_of(c) - conn_config(c)->parents];
}

static bool applies(const struct conn *c)
{
    const struct parent_config *parent = parent_of(c);
    if (!parent || parent_is_bypassed(parent, &c->target)) return false;
    if (!c->original.length) return true;
    struct target original = target_of_addr(&c->original);
    return !parent_is_bypassed(parent, &original);
}

static const struct target *next_hop(const struct conn *c)
{
    return &parent_of(c)->url.target;
}

/* The operator has chosen it. */
static bool is_forbidden(const struct conn *c, const struct addr *a)
{
    (void)c;
    (void)a;
    return false;
}

/* The names of a machine for itself: RFC 6761 section 6.3, and what Linux has in /etc/hosts. */
static bool is_localhost(const char *name)
{
    static const char *const names[] = {"localhost", "localhost.localdomain", "loopback",
                                        "ip6-localhost", "ip6-loopback"};
    static const char domain[] = ".localhost";
    size_t n = strlen(name), tail = sizeof domain - 1;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0) return true;
    return n > tail && strcmp(name + n - tail, domain) == 0;
}

/* What only the parent's machine or its link can reach. Where other names lead, the parent decides.
 */
static bool is_forbidden_target(const struct conn *c)
{
    const struct target *t = &c->target;
    struct addr a;
    if (!c->front->client_names_target || conn_is_of_this_machine(c) ||
        listen_names_upstream(c->listener->config, t))
        return false;
    if (!t->is_ip) return is_localhost(t->host);
    return !addr_from_ip(t->host, t->port, &a) || addr_special_kind(&a);
}

/* what: a sentence without its subject, the parent. */
static enum step refuse(struct conn *c, enum reason reason, const char *what)
{
    snprintf(c->setup->detail, sizeof c->setup->detail, "The parent proxy %s %s.",
             parent_of(c)->name, what);
    c->detail = c->setup->detail;
    return conn_refuse(c, reason);
}

static enum step failed(struct conn *c, const char *why)
{
    return refuse(c, REASON_PARENT_UNREACHABLE, why);
}

static enum step wait_for(struct conn *c, unsigned next)
{
    c->setup->exchanged = next;
    return STEP_AGAIN;
}

static bool queue(struct conn *c, const void *p, size_t n)
{
    return buf_append(&c->upstream.stream.out, p, n);
}

/* Nothing more has come: waits, or refuses at the end. */
static enum step incomplete(struct conn *c)
{
    if (!c->upstream.stream.end_of_data) return STEP_WAIT;
    return refuse(c, REASON_PARENT_REFUSED, "closed the connection without an answer");
}

static enum step nonsense(struct conn *c)
{
    return refuse(c, REASON_PARENT_REFUSED, "sent an answer that cannot be read");
}

/* ---- TLS with the parent -------------------------------------------------------------------- */

static enum step tls_failed(struct conn *c, enum reason reason)
{
    char what[200];
    snprintf(what, sizeof what, "is the upstream here: %s (%s)", reason_row(reason)->sentence,
             reason_row(reason)->code);
    return refuse(c, REASON_PARENT_TLS_FAILED, what);
}

static enum step start_tls(struct conn *c)
{
    const struct target *hop = next_hop(c);
    struct tunnel *tunnel = calloc(1, sizeof *tunnel);
    if (!tunnel) return conn_refuse(c, REASON_INTERNAL_ERROR);
    c->upstream.tunnel = tunnel;
    tunnel->check =
        (struct peer_check){.trust = c->runtime->trust, .identity = hop->host, .is_ip = hop->is_ip};
    tunnel->offer.suites = conn_config(c)->policy.allowed;
    tunnel->tls = session_client(c->runtime->upstream, &tunnel->wire, hop->is_ip ? NULL : hop->host,
                                 "", &tunnel->offer, &tunnel->check, NULL);
    return tunnel->tls ? wait_for(c, TLS) : conn_refuse(c, REASON_INTERNAL_ERROR);
}

static enum step shaken(struct conn *c)
{
    struct tunnel *tunnel = c->upstream.tunnel;
    struct agreed agreed = session_agreed(tunnel->tls);
    if (!agreed_is_allowed(&agreed, conn_config(c)->policy.allowed, tunnel->check.verified))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    session_handshake_done(tunnel->tls);
    tunnel->open = true;
    return wait_for(c, ASK);
}

static enum step shake(struct conn *c)
{
    struct tunnel *tunnel = c->upstream.tunnel;
    for (;;) {
        int alert;
        size_t n = leg_fill_tunnel(&c->upstream);
        enum reason reason = n > 0 ? session_received(tunnel->tls, n, &alert) : REASON_OK;
        if (reason != REASON_OK) {
            if (alert >= 0) session_fatal_alert(tunnel->tls, alert);
            return tls_failed(c, reason);
        }
        switch (session_handshake(tunnel->tls)) {
        case SESSION_WANT_BYTES:
            if (n > 0 || tunnel->wire.end_of_data) continue;
            return STEP_WAIT;
        case SESSION_OK:
            return shaken(c);
        default:
            return tls_failed(c, session_explain(tunnel->tls, tunnel->wire.end_of_data, &alert));
        }
    }
}

/* ---- HTTP ----------------------------------------------------------------------------------- */

static enum step ask_http(struct conn *c)
{
    char target[TARGET_TEXT_SIZE];
    const struct text *basic = &login_of(c)->basic;
    struct text request = {0};
    target_format(&c->target, target);
    text_printf(&request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", target, target);
    if (basic->size) text_printf(&request, "Proxy-Authorization: %s\r\n", text_string(basic));
    text_add(&request, "\r\n");
    bool ok = !request.failed && queue(c, text_string(&request), request.size);
    text_wipe(&request);
    return ok ? wait_for(c, HTTP_ANSWER) : conn_refuse(c, REASON_INTERNAL_ERROR);
}

static enum step http_refused(struct conn *c, const struct connect_answer *answer)
{
    char what[240];
    /* tinyproxy answers 401 to a wrong login. */
    if (answer->status == 407 || answer->status == 401) {
        snprintf(what, sizeof what, "wants a login%s%s%s",
                 login_of(c)->basic.size ? " and does not accept the one it gets" : "",
                 answer->schemes[0] ? "; its schemes are " : "", answer->schemes);
        return refuse(c, REASON_PARENT_AUTHENTICATION_REQUIRED, what);
    }
    snprintf(what, sizeof what, "answered %u %s", answer->status, answer->reason);
    return refuse(c, REASON_PARENT_REFUSED, what);
}

static enum step read_http(struct conn *c)
{
    struct buf *in = &c->upstream.stream.in;
    struct connect_answer answer;
    size_t used;
    bool more = leg_fill(&c->upstream) > 0;
    switch (connect_answer_parse(buf_head(in), buf_size(in), &used, &answer)) {
    case CONNECT_ANSWER_MORE:
        return more ? STEP_AGAIN : incomplete(c);
    case CONNECT_ANSWER_BAD:
        return nonsense(c);
    case CONNECT_ANSWER_OK:
        break;
    }
    buf_consume(in, used);
    if (answer.status / 100 == 1) return STEP_AGAIN; /* interim (RFC 9110 section 15.2) */
    return answer.status / 100 == 2 ? reach_done(c) : http_refused(c, &answer);
}

/* ---- SOCKS 5 -------------------------------------------------------------------------------- */

static enum step ask_socks(struct conn *c)
{
    uint8_t methods[SOCKS_METHODS_SIZE];
    size_t n = socks_write_methods(login_of(c)->credentials.n > 0, methods);
    return queue(c, methods, n) ? wait_for(c, SOCKS_CHOICE) : conn_refuse(c, REASON_INTERNAL_ERROR);
}

static enum step request_socks(struct conn *c)
{
    uint8_t request[SOCKS_REQUEST_SIZE];
    size_t n = socks_write_request(&c->target, request);
    return queue(c, request, n) ? wait_for(c, SOCKS_ANSWER) : conn_refuse(c, REASON_INTERNAL_ERROR);
}

static enum step choose_socks(struct conn *c, uint8_t method)
{
    const struct credentials *credentials = &login_of(c)->credentials;
    if (method == SOCKS_WITHOUT) return request_socks(c);
    if (method == SOCKS_NO_METHOD)
        return refuse(c, REASON_PARENT_AUTHENTICATION_REQUIRED,
                      credentials->n ? "takes neither a login with a password nor none"
                                     : "wants a login");
    if (method != SOCKS_LOGIN || credentials->n == 0) return nonsense(c);
    uint8_t login[SOCKS_LOGIN_SIZE];
    size_t n = socks_write_login(credentials->items[0].user, credentials->items[0].password, login);
    bool ok = queue(c, login, n);
    explicit_bzero(login, sizeof login);
    return ok ? wait_for(c, SOCKS_LOGGED_IN) : conn_refuse(c, REASON_INTERNAL_ERROR);
}

static enum step socks_answered(struct conn *c, uint8_t reply)
{
    char what[80];
    if (reply == SOCKS_SUCCEEDED) return reach_done(c);
    const char *name = socks_reply_name(reply);
    snprintf(what, sizeof what, "answered %u (%s)", reply, name ? name : "unknown");
    return refuse(c, REASON_PARENT_REFUSED, what);
}

static enum step read_socks(struct conn *c)
{
    struct buf *in = &c->upstream.stream.in;
    unsigned state = c->setup->exchanged;
    size_t used = 0;
    uint8_t code = 0;
    bool accepted = false, more = leg_fill(&c->upstream) > 0;
    const uint8_t *p = buf_head(in);
    size_t n = buf_size(in);
    enum socks_status status = state == SOCKS_CHOICE ? socks_parse_choice(p, n, &used, &code)
                               : state == SOCKS_LOGGED_IN
                                   ? socks_parse_login_answer(p, n, &used, &accepted)
                                   : socks_parse_reply(p, n, &used, &code);
    if (status == SOCKS_MORE) return more ? STEP_AGAIN : incomplete(c);
    if (status == SOCKS_BAD) return nonsense(c);
    buf_consume(in, used);
    if (state == SOCKS_CHOICE) return choose_socks(c, code);
    if (state == SOCKS_ANSWER) return socks_answered(c, code);
    return accepted ? request_socks(c)
                    : refuse(c, REASON_PARENT_AUTHENTICATION_REQUIRED,
                             "does not accept the login it gets");
}

static enum step exchange(struct conn *c)
{
    bool socks = parent_of(c)->url.kind == PARENT_SOCKS5;
    switch (c->setup->exchanged) {
    case BEGIN:
        if (parent_of(c)->url.kind == PARENT_HTTPS) return start_tls(c);
        return wait_for(c, ASK);
    case TLS:
        return shake(c);
    case ASK:
        return socks ? ask_socks(c) : ask_http(c);
    case HTTP_ANSWER:
        return read_http(c);
    default:
        return read_socks(c);
    }
}

const struct route route_parent = {.applies = applies,
                                   .next_hop = next_hop,
                                   .is_forbidden = is_forbidden,
                                   .is_forbidden_target = is_forbidden_target,
                                   .failed = failed,
                                   .exchange = exchange};
