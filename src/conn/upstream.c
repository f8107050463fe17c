/* The upstream's leg: its handshake and verdict. */
#include "conn/conn_impl.h"

#include "base/clock.h"
#include "net/listener.h"
#include "policy/proxy_header.h"
#include "policy/wire.h"

#include <stdio.h>
#include <string.h>

void upstream_handshake_overdue(struct conn *c)
{
    conn_refuse_with(c, REASON_UPSTREAM_TIMEOUT, REASON_ALERT_AS_SENT, "connection_read_timeout");
}

/* Sessions are bound to the listener, the identity and the port; policy and trust belong to the
 * runtime, as the cache does. */
static void session_key(const struct conn *c, char out[2 * HELLO_NAME_SIZE])
{
    snprintf(out, 2 * HELLO_NAME_SIZE, "%s %s %u", c->listener->config->name, c->identity,
             c->target.port);
}

static const struct upstream_session *find_session(struct conn *c)
{
    char key[2 * HELLO_NAME_SIZE];
    if (!conn_config(c)->upstream.resume || c->setup->without_resumption) return NULL;
    session_key(c, key);
    return runtime_find_session(c->runtime, key);
}

static void forget_session(struct conn *c)
{
    char key[2 * HELLO_NAME_SIZE];
    session_key(c, key);
    runtime_drop_session(c->runtime, key);
}

/* HTTP/2 forbids the CBC suites (RFC 9113 section 9.2.2): h2 is offered only if the client's own
 * suite will be a GCM one, and not again to an upstream that chose CBC. Names that do not fit into
 * the library's comma-separated list are left out. */
static void choose_offer(struct conn *c)
{
    struct setup *a = c->setup;
    struct reader r = reader_of(a->hello.alpn);
    size_t used = 0;
    a->alpn[0] = '\0';
    a->alpn_wire_size = 0;
    for (struct span name; (name = hello_alpn_next(&r)).n > 0;) {
        bool h2 = name.n == 2 && memcmp(name.p, "h2", 2) == 0;
        bool plain = !h2 || (a->verdict.suite->mode == SUITE_GCM && !a->without_h2);
        for (size_t i = 0; i < name.n; i++)
            plain = plain && name.p[i] > ' ' && name.p[i] <= '~' && name.p[i] != ',';
        if (!plain || used + name.n + 2 > ALPN_LIMIT) continue;
        used += (size_t)snprintf(a->alpn + used, ALPN_LIMIT - used, "%s%.*s", used ? "," : "",
                                 (int)name.n, (const char *)name.p);
        a->alpn_wire[a->alpn_wire_size++] = (uint8_t)name.n;
        memcpy(a->alpn_wire + a->alpn_wire_size, name.p, name.n);
        a->alpn_wire_size += name.n;
    }
}

enum step upstream_failed(struct conn *c, enum reason reason, int alert)
{
    if (alert >= 0) {
        uint8_t record[ALERT_RECORD_SIZE];
        record_write_alert(alert, record);
        if (buf_append(&c->upstream.stream.out, record, sizeof record)) c->alert_sent = alert;
    }
    return conn_refuse(c, reason);
}

/* Judges the last n bytes received. False: refused because of them. */
static bool judge(struct conn *c, size_t n)
{
    int alert;
    enum reason reason = n > 0 ? session_received(c->upstream.tls, n, &alert) : REASON_OK;
    if (reason == REASON_OK) return true;
    upstream_failed(c, reason, alert);
    return false;
}

/* To what the client had connected, as far as is known. */
static struct addr reached_address(const struct conn *c)
{
    if (c->via_destination.length) return c->via_destination;
    return c->original.length ? c->original : listener_original(c->client.fd, false);
}

/* Queues the PROXY header that the listener's upstreams want before TLS. */
bool upstream_queue_header(struct conn *c)
{
    const struct proxy_header header = {.source = c->peer, .destination = reached_address(c)};
    struct buf *out = &c->upstream.stream.out;
    char line[PROXY_HEADER_V1_SIZE];
    uint8_t binary[PROXY_HEADER_V2_SIZE];
    const struct suite *suite = c->setup->verdict.suite; /* not known yet if TLS only passes */
    switch (c->listener->config->send_proxy_protocol) {
    case PROXY_V1:
        return buf_append(out, line, proxy_header_write_v1(&header, line));
    case PROXY_V2:
        return buf_append(out, binary,
                          proxy_header_write_v2(&header, c->setup->hello.server_name, "TLSv1.2",
                                                suite ? suite->openssl : NULL, binary));
    default:
        return true;
    }
}

enum step upstream_start_handshake(struct conn *c)
{
    struct setup *a = c->setup;
    if (!upstream_queue_header(c)) return conn_refuse(c, REASON_INTERNAL_ERROR);
    a->header_size = buf_size(&c->upstream.stream.out);
    client_mark_answered(c);
    choose_offer(c);
    cert_facts_fini(&a->check.facts);
    a->presented = NULL;
    a->requested = false;
    a->check = (struct peer_check){
        .trust = c->runtime->trust, .identity = c->identity, .is_ip = c->identity_is_ip};
    struct flight_offer offer = {.suites = conn_config(c)->policy.allowed,
                                 .alpn = {a->alpn_wire, a->alpn_wire_size}};
    const char *server_name = c->identity_is_ip ? NULL : c->identity;
    const struct upstream_session *known = find_session(c);
    cert_facts_fini(&a->known_facts);
    if (known && cert_facts_copy(&a->known_facts, &known->facts))
        c->upstream.tls = session_client(c->runtime->upstream, &c->upstream.stream, server_name,
                                         a->alpn, &offer, &a->check, known->saved);
    a->resuming = known && c->upstream.tls;
    a->verified_ns = a->resuming ? known->verified_ns : 0;
    if (known && !a->resuming) forget_session(c); /* past the lifetime that its server set */
    if (!a->resuming)
        c->upstream.tls = session_client(c->runtime->upstream, &c->upstream.stream, server_name,
                                         a->alpn, &offer, &a->check, NULL);
    if (!c->upstream.tls) return conn_refuse(c, REASON_INTERNAL_ERROR);
    a->handshake_ns = clock_steady_ns();
    conn_set_state(c, CONN_UPSTREAM_HANDSHAKE);
    (void)judge(c, buf_size(&c->upstream.stream.in)); /* received before the session existed */
    return STEP_AGAIN;
}

/* Dials again, without the offer that failed. */
static enum step redial(struct conn *c)
{
    leg_close(&c->upstream, c->runtime->loop);
    c->upstream = (struct leg){.fd = -1};
    c->upstream_address = (struct addr){0};
    return reach_dial(c);
}

static enum step handshake_failed(struct conn *c)
{
    struct setup *a = c->setup;
    struct session *s = c->upstream.tls;
    enum reason reason = a->check.reason;
    if (reason == REASON_OK && a->resuming) {
        /* A server that has lost the session but cannot signal it (RFC 5077 section 3.4). */
        forget_session(c);
        a->without_resumption = true;
        return redial(c);
    }
    c->alert_sent = session_alert_sent(s);
    reason = session_explain(s, c->upstream.stream.end_of_data, &c->alert_received);
    if (reason == a->check.reason) c->detail = a->check.fault;
    if (reason == REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE)
        c->detail = session_sent_certificate(s)
                        ? "It was sent the certificate that the record names."
                        : "No [identity] fits: it was sent none.";
    if (c->alert_received == ALERT_NO_APPLICATION_PROTOCOL)
        c->detail = "The upstream speaks none of the application protocols that the client offers.";
    return conn_refuse(c, reason);
}

static void remember_session(struct conn *c, const struct agreed *f)
{
    struct setup *a = c->setup;
    if (f->resumed) {
        /* The certificate is the one that was verified when the session began. */
        cert_facts_fini(&a->check.facts);
        a->check.facts = a->known_facts;
        a->known_facts = (struct cert_facts){0};
    } else {
        a->verified_ns = clock_steady_ns();
        time_t *until = &a->check.facts.valid_until;
        if (a->presented && a->presented->ends < *until) *until = a->presented->ends;
    }
    if (conn_config(c)->upstream.resume) {
        char key[2 * HELLO_NAME_SIZE];
        session_key(c, key);
        runtime_keep_session(c->runtime, key, session_save(c->upstream.tls), &a->check.facts,
                             a->verified_ns);
    }
}

static enum step handshake_done(struct conn *c)
{
    struct setup *a = c->setup;
    struct agreed agreed = session_agreed(c->upstream.tls);
    bool proved = agreed.resumed ? a->resuming : a->check.verified;
    client_mark_answered(c);
    if (agreed_is_h2_with_cbc(&agreed) && !a->without_h2) {
        a->without_h2 = true;
        return redial(c);
    }
    if (!agreed_is_allowed(&agreed, conn_config(c)->policy.allowed, proved))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    evidence_handshake(c, COUNTS_UPSTREAM, &agreed);
    remember_session(c, &agreed);
    const char *own = runtime_own_digest(c->runtime, c->listener, a->verdict.key);
    bool same = own && strcmp(own, a->check.facts.sha256) == 0;
    c->channel_binding = same ? BINDING_SAME : BINDING_DIFFERS;
    return client_start_handshake(c, agreed.alpn);
}

/* Our hello is queued, after what precedes TLS. */
static void mark_own_hello(struct conn *c)
{
    enum { RANDOM_AT = RECORD_HEADER + MESSAGE_HEADER + 2 };
    const struct buf *out = &c->upstream.stream.out;
    size_t at = c->setup->header_size + RANDOM_AT;
    if (c->own_hello || buf_size(out) < at + HELLO_RANDOM_SIZE) return;
    client_mark(c, buf_head(out) + at);
}

enum step upstream_handshake_step(struct conn *c)
{
    for (;;) {
        size_t n = leg_fill(&c->upstream);
        if (!judge(c, n)) return STEP_AGAIN;
        if (!mutual_answer(c)) return conn_refuse(c, REASON_INTERNAL_ERROR);
        switch (session_handshake(c->upstream.tls)) {
        case SESSION_WANT_BYTES:
            mark_own_hello(c);
            if (n > 0 || c->upstream.stream.end_of_data) continue;
            return STEP_WAIT;
        case SESSION_WANT_SIGNATURE:
            return signing_begin(c, c->upstream.tls, SIGN_FOR_IDENTITY,
                                 (size_t)(c->setup->presented - c->runtime->loaded->identities));
        case SESSION_OK:
            return handshake_done(c);
        default:
            return handshake_failed(c);
        }
    }
}
