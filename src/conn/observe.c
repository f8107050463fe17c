/* A listener that only observes: TLS passes as it is, unread and unchanged. The client's hello and
 * the server's plaintext answer are judged by the same pure functions as when enforcing, and one
 * record has what enforcing would have done. Who may connect, and where to, is enforced. */
#include "conn/conn_impl.h"

#include "base/clock.h"
#include "pki/keys.h"

#include <stdlib.h>

bool observe_start(struct conn *c)
{
    c->observer = calloc(1, sizeof *c->observer);
    if (!c->observer) return false;
    reply_init(&c->observer->reply, false);
    return true;
}

void observe_free(struct conn *c)
{
    if (!c->observer) return;
    buf_fini(&c->observer->kept);
    reply_fini(&c->observer->reply);
    free(c->observer);
    c->observer = NULL;
}

bool observe_keep(struct conn *c, const void *p, size_t n)
{
    return buf_append(&c->observer->kept, p, n);
}

/* Records it; nothing more is judged. */
static void decide(struct conn *c, struct outlook outlook)
{
    c->observer->outlook = outlook;
    evidence_observed(c);
    reach_abandon(c); /* the lookup of a redirected client's name */
    observe_free(c);
    setup_free(c->setup);
    c->setup = NULL;
}

static void would_refuse(struct conn *c, enum reason reason, const char *why)
{
    decide(c, (struct outlook){.kind = OUTLOOK_REFUSE, .reason = reason, .why = why});
}

static void judge_reply(struct conn *c)
{
    struct setup *s = c->setup;
    const struct reply *reply = &c->observer->reply;
    s->check = (struct peer_check){
        .trust = c->runtime->trust, .identity = c->identity, .is_ip = c->identity_is_ip};
    if (outlook_needs_certificate(reply))
        (void)!trust_judge(&s->check, reply->certificates, reply->certificate_count);
    struct outlook outlook =
        outlook_of_reply(&s->hello, conn_config(c)->policy.allowed, reply, s->check.reason);
    bool certificate = outlook.kind == OUTLOOK_REFUSE && outlook.reason == s->check.reason;
    if (certificate) outlook.why = s->check.fault;
    decide(c, outlook);
}

static void decide_if_seen(struct conn *c)
{
    const struct observer *o = c->observer;
    if (o->client_seen && !o->name_pending && o->reply.done) judge_reply(c);
}

/* For a redirected client: does its server name lead to the address? */
static void on_name_found(void *arg, enum lookup_status status, const struct addr *addresses,
                          size_t n)
{
    struct conn *c = arg;
    bool leads = false;
    c->setup->lookup = NULL;
    c->observer->name_pending = false;
    for (size_t i = 0; i < n; i++) leads = leads || addr_same_ip(&addresses[i], &c->original);
    if (leads)
        decide_if_seen(c);
    else if (status == LOOKUP_FOUND || status == LOOKUP_NOT_FOUND)
        would_refuse(c, REASON_CLIENT_SERVER_NAME_MISMATCH, NULL);
    else
        would_refuse(c, REASON_UPSTREAM_NAME_LOOKUP_FAILED, NULL);
}

static void look_up_name(struct conn *c)
{
    struct setup *s = c->setup;
    const struct hello *h = &s->hello;
    if (!c->original.length || !h->server_name_usable ||
        conn_config(c)->policy.allow_server_name_mismatch)
        return;
    s->lookup =
        resolver_start(c->runtime->resolver, h->server_name, c->target.port, on_name_found, c);
    c->observer->name_pending = s->lookup != NULL;
}

/* The hello is parsed. */
static void judge_hello(struct conn *c)
{
    struct setup *s = c->setup;
    s->verdict = verdict_judge(&s->hello, &conn_config(c)->policy, &c->listener->keys);
    enum reason reason = s->verdict.reason;
    if (reason == REASON_OK && c->front->judge) reason = c->front->judge(c);
    if (reason != REASON_OK) {
        would_refuse(c, reason, NULL);
        return;
    }
    c->observer->client_seen = true;
    look_up_name(c);
    decide_if_seen(c);
}

static void read_hello(struct conn *c, const void *p, size_t n)
{
    struct setup *s = c->setup;
    size_t used;
    s->reader.limit = conn_config(c)->proxy.hello_max_size;
    enum hello_status status = hello_reader_feed(&s->reader, p, n, &used);
    if (status == HELLO_MORE) return;
    struct span message = {buf_head(&s->reader.message), buf_size(&s->reader.message)};
    if (status == HELLO_COMPLETE) status = hello_parse(message, &s->hello, &s->hello_alert);
    if (status != HELLO_COMPLETE) {
        would_refuse(c, verdict_of_status(status), NULL);
        return;
    }
    s->has_hello = true;
    ja4_format(&s->hello, digest_sha256, s->ja4);
    client_set_identity(c);
    judge_hello(c);
}

void observe_bytes(struct conn *c, bool from_client, const void *p, size_t n)
{
    if (from_client) conn_saw_bytes(c);
    if (!c->observer) return;
    if (!from_client) {
        reply_feed(&c->observer->reply, p, n);
        decide_if_seen(c);
    } else if (!c->observer->client_seen) {
        read_hello(c, p, n);
    }
}

enum step observe_relay(struct conn *c)
{
    struct buf *kept = &c->observer->kept, *out = &c->upstream.stream.out;
    if (!upstream_queue_header(c) ||
        (buf_size(kept) > 0 && !buf_append(out, buf_head(kept), buf_size(kept))))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    c->to_upstream.bytes = buf_size(kept);
    buf_fini(kept);
    c->expects_tls = true;
    c->client.readable = c->upstream.readable = true;
    c->active_ns = clock_steady_ns();
    counts_add_one(&c->worker->counts.opened);
    conn_set_state(c, CONN_RELAY);
    if (c->setup->has_hello) judge_hello(c);
    return STEP_AGAIN;
}

/* The connection ended before all was seen. */
static void judge_rest(struct conn *c)
{
    int64_t lived_ms = (clock_steady_ns() - c->started_ns) / 1000000;
    bool upstream_ended = c->closed_by && c->closed_by[0] == 'u';
    if (!c->observer->client_seen && lived_ms >= (int64_t)conn_config(c)->proxy.hello_timeout)
        would_refuse(c, REASON_CLIENT_HELLO_TIMEOUT, NULL);
    else if (!c->observer->client_seen)
        would_refuse(c, REASON_CLIENT_HANDSHAKE_FAILED,
                     "The connection ended before the client's hello was complete.");
    else if (upstream_ended && !c->observer->name_pending)
        judge_reply(c);
    else
        decide(c, (struct outlook){.kind = OUTLOOK_UNKNOWN,
                                   .why = "The connection ended before the server's answer was "
                                          "complete."});
}

bool observe_end(struct conn *c)
{
    bool silent = !c->saw_bytes && c->to_client.bytes == 0;
    if (c->observer && !silent) judge_rest(c);
    return !conn_observes(c) || !silent;
}
