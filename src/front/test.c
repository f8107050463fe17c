/* A test listener: TLS from the first byte. It answers one request itself, about that connection's
 * handshake, and closes. The hello is kept until then. */
#include "conn/conn_impl.h"
#include "rows.h"

#include "net/listener.h"
#include "page/request.h"
#include "page/test_page.h"

/* The client's target is this listener. */
static void begin(struct conn *c)
{
    struct addr own = listener_original(c->client.fd, false);
    c->target = target_of_addr(own.length ? &own : &c->listener->config->address);
}

static enum step hello_judged(struct conn *c)
{
    const struct setup *a = c->setup;
    return client_start_handshake(c, a->hello.alpn.n && hello_wants_http(a) ? "http/1.1" : "");
}

static void handshake_done(struct conn *c)
{
    evidence_opened(c);
    conn_set_state(c, CONN_RESPONDER);
}

static void responder_end(struct conn *c, const char *by)
{
    const struct buf *request = &c->setup->request;
    if (!test_page_is_view(buf_head(request), buf_size(request))) evidence_recent(c);
    c->closed_by = by;
    session_close_notify(c->client.tls);
    evidence_closed(c);
    conn_set_state(c, CONN_FLUSH);
}

static void responder_overdue(struct conn *c)
{
    responder_end(c, "hello_timeout");
}

static void responder_shut_down(struct conn *c)
{
    c->reason = REASON_SHUTTING_DOWN;
    responder_end(c, "shutdown");
}

static void answer(struct conn *c)
{
    const struct setup *a = c->setup;
    const struct buf *request = &c->setup->request;
    struct text text = {0};
    struct test_page_facts facts = {.hello = &a->hello,
                                    .ja4 = a->ja4,
                                    .allowed = conn_config(c)->policy.allowed,
                                    .key = a->verdict.key,
                                    .agreed = session_agreed(c->client.tls),
                                    .peer = c->peer,
                                    .is_of_this_machine = conn_is_of_this_machine(c),
                                    .listener = c->listener->config->name,
                                    .connection_id = c->id,
                                    .recent = c->worker->shared->recent};
    test_page_render(&facts, buf_head(request), buf_size(request), &text);
    if (!text.failed && session_write(c->client.tls, text_string(&text), text.size))
        c->to_client.bytes += text.size;
    text_fini(&text);
    responder_end(c, "listener");
}

static enum step responder_step(struct conn *c)
{
    enum request_status status = conn_collect_request(c);
    c->to_upstream.bytes = buf_size(&c->setup->request);
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

static const struct responder responder = {
    .step = responder_step, .overdue = responder_overdue, .shut_down = responder_shut_down};

const struct front front_test = {.first = CONN_HELLO,
                                 .begin = begin,
                                 .identity = client_target_name,
                                 .hello_judged = hello_judged,
                                 .handshake_done = handshake_done,
                                 .responder = &responder,
                                 /* It may send a request of any size and still gets its answer. */
                                 .discard_limit = 64 << 20};
