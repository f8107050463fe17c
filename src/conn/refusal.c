/* Refusing: one verdict, one record, one answer, in this order. */
#include "conn/conn_impl.h"

#include "page/refusal_page.h"
#include "page/request.h"
#include "policy/wire.h"

#include <string.h>

/* After the 200, or on a fixed listener. */
static void choose_tls_form(struct conn *c, int alert)
{
    struct setup *a = c->setup;
    const struct reason_row *row = reason_row(c->reason);
    bool judged = a->has_hello && a->verdict.reason == REASON_OK && a->verdict.suite;
    a->form = FORM_CLOSE;
    if (c->reason == REASON_CLIENT_PLAINTEXT_HTTP) {
        a->form = FORM_HTTP;
    } else if (c->client.tls) {
        /* The library has sent its alert, except for our own failures. */
        if (c->reason == REASON_INTERNAL_ERROR && c->alert_sent < 0) a->form = FORM_ALERT;
        a->form_alert = alert;
    } else if (row->leg != LEG_UPSTREAM && alert >= 0) {
        a->form = FORM_ALERT;
        a->form_alert = alert;
    } else if (row->leg == LEG_EITHER) {
        a->form = FORM_CLOSE;
    } else if (row->leg == LEG_UPSTREAM && c->alert_received == ALERT_NO_APPLICATION_PROTOCOL) {
        a->form = FORM_ALERT; /* as the upstream would have sent it (RFC 7301) */
        a->form_alert = ALERT_NO_APPLICATION_PROTOCOL;
    } else if (judged && row->http && c->reason != REASON_CLIENT_SERVER_NAME_MISMATCH) {
        a->form = hello_wants_http(a) ? FORM_PAGE : FORM_ALERT;
        a->form_alert = ALERT_INTERNAL_ERROR;
    }
}

static void choose_form(struct conn *c, int alert, const char *proxy_status)
{
    struct setup *a = c->setup;
    const struct reason_row *row = reason_row(c->reason);
    a->http = row->http;
    a->proxy_status = proxy_status ? proxy_status : row->error;
    a->form_alert = REASON_ALERT_NONE;
    if (!c->expects_tls)
        a->form = row->http ? FORM_FRONT : FORM_CLOSE;
    else
        choose_tls_form(c, alert == REASON_ALERT_AS_SENT ? row->alert : alert);
    /* The record has the alert that this leg will get. */
    if (a->form == FORM_ALERT && row->leg != LEG_UPSTREAM) c->alert_sent = a->form_alert;
}

/* Is it a HEAD request instead of CONNECT? If TLS was expected, the hello reader has its first
 * bytes. */
static bool asked_by_head(const struct conn *c)
{
    const struct hello_reader *reader = &c->setup->reader;
    if (c->reason != REASON_CLIENT_PLAINTEXT_HTTP) return false;
    if (c->expects_tls) return request_is_head(reader->records.header, reader->records.header_size);
    return request_is_head(buf_head(&c->client.stream.in), buf_size(&c->client.stream.in));
}

void refusal_http(struct conn *c)
{
    char destination[TARGET_TEXT_SIZE] = "";
    struct text text = {0};
    struct setup *a = c->setup;
    if (c->target.host[0]) target_format(&c->target, destination);
    struct refusal_page page = {.reason = c->reason,
                                .status = a->http,
                                .proxy_status = a->proxy_status,
                                .destination = destination,
                                .connection_id = c->id,
                                .head_only = asked_by_head(c)};
    refusal_page_render(&page, &text);
    if (!buf_append(&c->client.stream.out, text_string(&text), text.size)) c->client.broken = true;
    text_fini(&text);
}

static void send_alert(struct conn *c)
{
    int alert = c->setup->form_alert;
    uint8_t record[ALERT_RECORD_SIZE];
    record_write_alert(alert, record);
    if (c->client.tls)
        session_fatal_alert(c->client.tls, alert);
    else if (!buf_append(&c->client.stream.out, record, sizeof record))
        c->client.broken = true;
}

/* The refusal is recorded (or recording failed): answer now. */
static enum step send_answer(struct conn *c)
{
    if (c->setup->form == FORM_PAGE)
        return client_start_handshake(c, c->setup->hello.alpn.n ? "http/1.1" : "");
    if (c->setup->form == FORM_HTTP) refusal_http(c);
    if (c->setup->form == FORM_FRONT) c->front->refuse(c);
    if (c->setup->form == FORM_ALERT) send_alert(c);
    conn_set_state(c, CONN_FLUSH);
    return STEP_AGAIN;
}

enum step conn_refuse_with(struct conn *c, enum reason reason, int alert, const char *proxy_status)
{
    reach_abandon(c);
    signing_abandon(c);
    if (c->reason != REASON_OK) {
        /* A failure while a refusal is answered changes nothing: the refusal is recorded. */
        conn_set_state(c, CONN_FLUSH);
        return STEP_AGAIN;
    }
    c->reason = reason;
    choose_form(c, alert, proxy_status);
    conn_uncount(c);
    if (reason == REASON_AUDIT_UNAVAILABLE) {
        evidence_refused(c, false);
        return send_answer(c);
    }
    conn_set_state(c, CONN_AUDIT);
    evidence_refused(c, true);
    return STEP_AGAIN;
}

enum step conn_refuse(struct conn *c, enum reason reason)
{
    return conn_refuse_with(c, reason, REASON_ALERT_AS_SENT, NULL);
}

/* The record is still on its way; nothing that takes a handshake of the client may follow it. */
void refusal_shut_down(struct conn *c)
{
    if (c->setup->form == FORM_PAGE) c->setup->form = FORM_CLOSE;
}

void conn_audit_answered(struct conn *c, bool written)
{
    c->waiting_for_audit = false;
    if (!written) {
        /* Not recorded, so the real reason must not be shown: close, or answer with this one. */
        struct setup *a = c->setup;
        c->reason = REASON_AUDIT_UNAVAILABLE;
        enum refusal_form before = a->form;
        bool plain = before == FORM_HTTP || before == FORM_FRONT;
        choose_form(c, REASON_ALERT_NONE, NULL);
        a->form = plain ? before : FORM_CLOSE;
        if (c->client.tls) buf_fini(&c->client.stream.out);
        buf_fini(&c->upstream.stream.out);
    }
    send_answer(c);
    conn_run(c);
}

enum request_status conn_collect_request(struct conn *c)
{
    uint8_t *scratch = c->worker->scratch;
    struct buf *request = &c->setup->request;
    for (;;) {
        size_t n;
        switch (session_read(c->client.tls, scratch, WORKER_SCRATCH, &n)) {
        case SESSION_OK:
            break;
        case SESSION_WANT_BYTES:
            if (leg_fill(&c->client) == 0 && !c->client.stream.end_of_data) return REQUEST_WAIT;
            continue;
        default:
            return REQUEST_GONE;
        }
        if (!buf_append(request, scratch, n)) return REQUEST_GONE;
        const uint8_t *p = buf_head(request);
        if (request_is_whole(p, buf_size(request)) || !request_begins(p, buf_size(request)) ||
            buf_size(request) >= TARGET_REQUEST_LIMIT)
            return REQUEST_HERE;
    }
}

static void send_page(struct conn *c, const struct buf *request)
{
    char destination[TARGET_TEXT_SIZE];
    struct text text = {0};
    target_format(&c->target, destination);
    struct refusal_page page = {.reason = c->reason,
                                .status = c->setup->http,
                                .proxy_status = c->setup->proxy_status,
                                .destination = destination,
                                .connection_id = c->id,
                                .html = request_wants_html(buf_head(request), buf_size(request)),
                                .head_only = request_is_head(buf_head(request), buf_size(request))};
    refusal_page_render(&page, &text);
    if (session_write(c->client.tls, text_string(&text), text.size))
        session_close_notify(c->client.tls);
    text_fini(&text);
}

static enum step page_over(struct conn *c)
{
    conn_set_state(c, CONN_FLUSH);
    return STEP_AGAIN;
}

enum step page_step(struct conn *c)
{
    const struct buf *request = &c->setup->request;
    switch (conn_collect_request(c)) {
    case REQUEST_WAIT:
        return STEP_WAIT;
    case REQUEST_GONE:
        break;
    case REQUEST_HERE:
        if (request_begins(buf_head(request), buf_size(request)))
            send_page(c, request);
        else
            session_fatal_alert(c->client.tls, ALERT_INTERNAL_ERROR);
        break;
    }
    return page_over(c);
}

void page_overdue(struct conn *c)
{
    session_fatal_alert(c->client.tls, ALERT_INTERNAL_ERROR);
    conn_set_state(c, CONN_FLUSH);
}
