/* A listener that only observes: TLS passes as it is, unread and unchanged. The client's hello and
 * the server's plaintext answer are judged by the same pure functions as when enforcing, and one
 * record has what enforcing would have done. Who may connect, and where to, is enforced. */
#include "conn/conn_impl.h"

#include "base/clock.h"
#include "pki/keys.h"
#include "pki/signature.h"
#include "policy/proxy_header.h"

#include <stdlib.h>
#include <string.h>

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
    conn_end_setup(c);
    if (c->state == CONN_OBSERVE) conn_set_state(c, CONN_RELAY);
}

static void would_refuse(struct conn *c, enum reason reason, const char *why)
{
    decide(c, (struct outlook){.kind = OUTLOOK_REFUSE, .reason = reason, .why = why});
}

static void leave_open(struct conn *c, const char *why)
{
    decide(c, (struct outlook){.kind = OUTLOOK_UNKNOWN, .why = why});
}

/* Does the client name the host that this proxy would name? */
static bool names_the_same(const struct conn *c)
{
    const char *name = c->setup->hello.server_name;
    return c->identity_is_ip ? name[0] == '\0' : strcmp(name, c->identity) == 0;
}

/* Is the key exchange signed by the certificate (RFC 8422 section 5.4)? True if there is none. */
static bool exchange_is_signed(const struct hello *h, const struct reply *reply)
{
    const struct scheme *scheme = scheme_by_id(reply->scheme);
    struct cert leaf;
    struct buf data = {0};
    bool allowed = scheme && scheme->verdict == SCHEME_ALLOWED;
    if (!allowed || !outlook_needs_certificate(reply)) return true;
    bool ok =
        buf_append(&data, h->random.p, h->random.n) &&
        buf_append(&data, reply->random, sizeof reply->random) &&
        buf_append(&data, reply->parameters.p, reply->parameters.n) &&
        cert_parse(reply->certificates[0], &leaf) &&
        signature_of_scheme_valid(reply->scheme, (struct span){buf_head(&data), buf_size(&data)},
                                  reply->signature, &leaf);
    buf_fini(&data);
    return ok;
}

static void judge_reply(struct conn *c)
{
    struct setup *s = c->setup;
    const struct reply *reply = &c->observer->reply;
    s->check = (struct peer_check){
        .trust = c->runtime->trust, .identity = c->identity, .is_ip = c->identity_is_ip};
    if (outlook_needs_certificate(reply))
        (void)!trust_judge(&s->check, reply->certificates, reply->certificate_count);
    struct outlook outlook = outlook_of_reply(&s->hello, conn_config(c)->policy.allowed, reply,
                                              s->check.reason, names_the_same(c));
    bool forged = outlook.kind != OUTLOOK_REFUSE && !exchange_is_signed(&s->hello, reply);
    if (forged)
        outlook = (struct outlook){.kind = OUTLOOK_REFUSE,
                                   .reason = REASON_UPSTREAM_HANDSHAKE_FAILED,
                                   .why = "The signature of the server's key exchange is wrong."};
    bool certificate = outlook.kind == OUTLOOK_REFUSE && outlook.reason == s->check.reason;
    if (certificate) outlook.why = s->check.fault;
    decide(c, outlook);
}

static void decide_if_seen(struct conn *c)
{
    const struct observer *o = c->observer;
    if (o->client_seen && !o->name_pending && o->reply.done) judge_reply(c);
}

static const char no_memory[] = "There was no memory for the lookup of the client's server name.";

/* For a redirected client: does its server name lead to the address? */
static void on_name_found(void *arg, enum lookup_status status, const struct addr *addresses,
                          size_t n)
{
    struct conn *c = arg;
    bool answered = status == LOOKUP_FOUND || status == LOOKUP_NOT_FOUND;
    counts_add_one(&c->worker->counts.lookups[status]);
    c->setup->lookup = NULL;
    c->observer->name_pending = false;
    if (reach_original_among(c, addresses, n))
        decide_if_seen(c);
    else if (status == LOOKUP_NO_MEMORY)
        leave_open(c, no_memory);
    else
        would_refuse(c, answered ? REASON_CLIENT_SERVER_NAME_MISMATCH : reach_lookup_reason(status),
                     NULL);
}

/* False: it cannot be looked up, and that is decided. */
static bool look_up_name(struct conn *c)
{
    struct setup *s = c->setup;
    const struct hello *h = &s->hello;
    if (!c->original.length || !h->server_name_usable ||
        conn_config(c)->policy.allow_server_name_mismatch)
        return true;
    s->lookup =
        resolver_start(c->runtime->resolver, h->server_name, c->target.port, on_name_found, c);
    c->observer->name_pending = s->lookup != NULL;
    if (!s->lookup) leave_open(c, no_memory);
    return s->lookup != NULL;
}

/* The hello is parsed. */
static void judge_hello(struct conn *c)
{
    struct setup *s = c->setup;
    client_mark(c, s->hello.random.p);
    s->verdict = verdict_judge(&s->hello, &conn_config(c)->policy, &c->listener->keys);
    enum reason reason = s->verdict.reason;
    if (reason == REASON_OK && c->front->judge) reason = c->front->judge(c);
    if (reason != REASON_OK) {
        would_refuse(c, reason, NULL);
        return;
    }
    c->observer->client_seen = true;
    if (look_up_name(c)) decide_if_seen(c);
}

/* The bytes must not pass. */
static bool refuse_bytes(struct conn *c, enum reason reason)
{
    conn_refuse(c, reason);
    return false;
}

/* The status of a whole hello, or why there is none. */
static enum hello_status parse_hello(struct setup *s, enum hello_status status)
{
    struct span message = {buf_head(&s->reader.message), buf_size(&s->reader.message)};
    return status == HELLO_COMPLETE ? hello_parse(message, &s->hello, &s->hello_alert) : status;
}

static bool read_hello(struct conn *c, const void *p, size_t n)
{
    struct setup *s = c->setup;
    size_t used;
    s->reader.limit = conn_config(c)->proxy.hello_max_size;
    enum hello_status status = hello_reader_feed(&s->reader, p, n, &used);
    if (status == HELLO_MORE) return true;
    status = parse_hello(s, status);
    if (status != HELLO_COMPLETE) {
        would_refuse(c, verdict_of_status(status), NULL);
        return true;
    }
    s->has_hello = true;
    if (client_hello_circles(c)) return refuse_bytes(c, REASON_PROXY_LOOP);
    ja4_format(&s->hello, digest_sha256, s->ja4);
    client_set_identity(c);
    judge_hello(c);
    return true;
}

/* The first bytes, until they show that they are no PROXY header, which the upstream might take for
 * ours. */
static bool read_first(struct conn *c, const void *p, size_t n)
{
    struct observer *o = c->observer;
    if (!buf_append(&o->kept, p, n)) return refuse_bytes(c, REASON_INTERNAL_ERROR);
    const uint8_t *first = buf_head(&o->kept);
    size_t size = buf_size(&o->kept);
    if (proxy_header_may_begin(first, size)) return true;
    if (client_refuse_header(c, first, size)) return false;
    o->begun = true;
    struct buf kept = o->kept; /* the observer may be gone afterwards */
    o->kept = (struct buf){0};
    bool passes = read_hello(c, buf_head(&kept), buf_size(&kept));
    buf_fini(&kept);
    return passes;
}

bool observe_bytes(struct conn *c, bool from_client, const void *p, size_t n)
{
    if (from_client)
        conn_saw_bytes(c);
    else /* an answer: it is no circle */
        client_mark_answered(c);
    if (!c->observer) return true;
    if (from_client && c->observer->client_seen) return true;
    if (from_client) return c->observer->begun ? read_hello(c, p, n) : read_first(c, p, n);
    reply_feed(&c->observer->reply, p, n);
    decide_if_seen(c);
    return true;
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
    conn_set_state(c, CONN_OBSERVE);
    if (c->setup->has_hello) judge_hello(c);
    return STEP_AGAIN;
}

/* The client ended the connection, or half of it, first. */
static void judge_client_end(struct conn *c)
{
    int64_t lived_ms = (clock_steady_ns() - c->started_ns) / 1000000;
    if (c->observer->client_seen)
        leave_open(c, "The client ended the connection before the server's answer was complete.");
    else if (lived_ms >= (int64_t)conn_config(c)->proxy.hello_timeout)
        would_refuse(c, REASON_CLIENT_HELLO_TIMEOUT, NULL);
    else
        would_refuse(c, REASON_CLIENT_HANDSHAKE_FAILED,
                     "The client went away before its hello was complete.");
}

/* The upstream did: whatever a client sends, it would not have got further. */
static void judge_upstream_end(struct conn *c)
{
    if (c->observer->name_pending)
        leave_open(c, "The connection ended before the client's server name was looked up.");
    else if (c->observer->client_seen)
        judge_reply(c);
    else
        would_refuse(c, REASON_UPSTREAM_CLOSED_HANDSHAKE, NULL);
}

bool observe_end(struct conn *c)
{
    bool by_client = strcmp(c->closed_by, "client") == 0;
    bool silent = by_client && !c->saw_bytes && c->to_client.bytes == 0;
    if (!conn_observes(c)) return true;
    if (!c->observer || silent) return !silent;
    if (by_client)
        judge_client_end(c);
    else if (strcmp(c->closed_by, "upstream") == 0)
        judge_upstream_end(c);
    else
        leave_open(c, "This proxy ended the connection before it had seen what decides.");
    return true;
}
