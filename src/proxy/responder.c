/* A test listener's end of the connection: it answers one request itself, about the handshake
 * that the request came through, and closes. The hello is kept until then. */
#include "conn_impl.h"

#include "proxy/answer.h"
#include "proxy/request.h"

void responder_begin(struct conn *c)
{
    evidence_opened(c);
    conn_set_state(c, CONN_RESPONDER);
}

static void responder_end(struct conn *c, const char *by)
{
    const struct buf *request = &c->attempt->request;
    if (!answer_is_view(buf_head(request), buf_size(request))) evidence_recent(c);
    c->closed_by = by;
    session_close_notify(c->client.tls);
    evidence_closed(c);
    conn_set_state(c, CONN_FLUSH);
}

void responder_overdue(struct conn *c)
{
    responder_end(c, "hello_timeout");
}

void responder_shut_down(struct conn *c)
{
    c->reason = REASON_SHUTTING_DOWN;
    responder_end(c, "shutdown");
}

static void answer(struct conn *c)
{
    const struct attempt *a = c->attempt;
    const struct buf *request = &c->attempt->request;
    struct text text = {0};
    struct answer_facts facts = {.hello = &a->hello,
                                 .ja4 = a->ja4,
                                 .allowed = conn_config(c)->policy.allowed,
                                 .key = a->verdict.key,
                                 .agreed = session_agreed(c->client.tls),
                                 .peer = c->peer,
                                 .listener = c->listener->config->name,
                                 .connection_id = c->id,
                                 .recent = worker_shared(c->worker)->recent};
    answer_request(&facts, buf_head(request), buf_size(request), &text);
    if (!text.failed && session_write(c->client.tls, text_string(&text), text.size))
        c->to_client.bytes += text.size;
    text_fini(&text);
    responder_end(c, "listener");
}

enum request_status conn_collect_request(struct conn *c)
{
    uint8_t *scratch = worker_scratch(c->worker);
    struct buf *request = &c->attempt->request;
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

enum step responder_step(struct conn *c)
{
    enum request_status status = conn_collect_request(c);
    c->to_upstream.bytes = buf_size(&c->attempt->request);
    if (status == REQUEST_WAIT) return STEP_WAIT;
    if (status == REQUEST_HERE) {
        answer(c);
        return STEP_AGAIN;
    }
    c->alert_sent = session_alert_sent(c->client.tls);
    c->alert_received = session_alert_received(c->client.tls);
    c->reason = session_fault(c->client.tls);
    responder_end(c, "client");
    return STEP_AGAIN;
}
