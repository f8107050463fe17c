/* The upstream's leg: its address, the TCP connection, its handshake and verdict. */
#include "conn_impl.h"

#include "base/clock.h"
#include "net/listener.h"
#include "policy/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void on_dialled(void *arg, int fd, const struct addr *address, int fault);

static enum step dial(struct conn *c)
{
    struct attempt *a = c->attempt;
    const struct site *site = c->gate->site;
    for (size_t i = 0; i < a->address_count; i++)
        if (listener_is_own(&a->addresses[i], site->listener_addresses,
                            site->config->listener_count))
            return conn_refuse(c, REASON_PROXY_LOOP);
    conn_set_state(c, CONN_DIALLING);
    a->dial = dial_start(c->gate->loop, a->addresses, a->address_count, on_dialled, c);
    return a->dial ? STEP_WAIT : conn_refuse(c, REASON_INTERNAL_ERROR);
}

/* A client elsewhere must not reach through this proxy what only this machine or its link can,
 * such as a service on loopback or a cloud's metadata: neither by address nor by a name that leads
 * there. What the operator has named is allowed. */
static bool is_forbidden(const struct conn *c, const struct addr *a)
{
    const struct listen_config *l = c->listener->config;
    return c->listener->front->client_names_target && !addr_is_loopback(&c->peer) &&
           addr_special_kind(a) && !listen_names_address(l, a);
}

/* Leaves out the addresses that are forbidden; refuses when none is left. */
static enum step dial_allowed(struct conn *c)
{
    struct attempt *a = c->attempt;
    size_t kept = 0;
    struct addr last = {0};
    for (size_t i = 0; i < a->address_count; i++) {
        if (is_forbidden(c, &a->addresses[i]))
            last = a->addresses[i];
        else
            a->addresses[kept++] = a->addresses[i];
    }
    a->address_count = kept;
    if (kept > 0) return dial(c);
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(&last, ip);
    const char *kind = addr_special_kind(&last);
    snprintf(a->detail, sizeof a->detail,
             "%s%s, %s %s address: a client that is not on this machine gets there only where a "
             "range in allow_upstreams has it.",
             c->target.is_ip ? "It is " : "The name leads to ", ip,
             strchr("aeiou", kind[0]) ? "an" : "a", kind);
    c->detail = a->detail;
    return conn_refuse_with(c, REASON_DESTINATION_DENIED, REASON_ALERT_AS_SENT,
                            "destination_ip_prohibited");
}

static enum step lookup_failed(struct conn *c, enum lookup_status status)
{
    switch (status) {
    case LOOKUP_NOT_FOUND:
        return conn_refuse(c, REASON_UPSTREAM_NAME_NOT_FOUND);
    case LOOKUP_NO_MEMORY:
        c->detail = "There was no memory for the lookup of the destination's name.";
        return conn_refuse(c, REASON_LIMIT_REACHED);
    case LOOKUP_UNANSWERED:
        return conn_refuse(c, REASON_RESOLVER_UNAVAILABLE);
    default:
        return conn_refuse(c, REASON_UPSTREAM_NAME_LOOKUP_FAILED);
    }
}

void upstream_lookup_overdue(struct conn *c)
{
    lookup_failed(c, lookup_overdue(c->attempt->lookup));
}

void upstream_dial_overdue(struct conn *c)
{
    conn_refuse(c, REASON_UPSTREAM_TIMEOUT);
}

void upstream_handshake_overdue(struct conn *c)
{
    conn_refuse_with(c, REASON_UPSTREAM_TIMEOUT, REASON_ALERT_AS_SENT, "connection_read_timeout");
}

static void on_lookup(void *arg, enum lookup_status status, const struct addr *addresses, size_t n)
{
    struct conn *c = arg;
    struct attempt *a = c->attempt;
    a->lookup = NULL;
    a->address_count = n;
    if (n > 0) memcpy(a->addresses, addresses, n * sizeof *addresses);
    if (status == LOOKUP_FOUND)
        dial_allowed(c);
    else
        lookup_failed(c, status);
    conn_run(c);
}

enum step upstream_begin(struct conn *c)
{
    struct attempt *a = c->attempt;
    conn_set_state(c, CONN_RESOLVING);
    if (c->target.is_ip) {
        a->address_count = 1;
        return addr_from_ip(c->target.host, c->target.port, &a->addresses[0])
                   ? dial_allowed(c)
                   : conn_refuse(c, REASON_INTERNAL_ERROR);
    }
    a->lookup = resolver_start(c->gate->resolver, c->target.host, c->target.port, on_lookup, c);
    return a->lookup ? STEP_WAIT : conn_refuse(c, REASON_INTERNAL_ERROR);
}

void upstream_abandon(struct conn *c)
{
    struct attempt *a = c->attempt;
    if (a && a->lookup) lookup_cancel(a->lookup);
    if (a && a->dial) dial_cancel(a->dial);
    if (a) a->lookup = NULL;
    if (a) a->dial = NULL;
}

static const char *own_shortage(int fault)
{
    switch (fault) {
    case EMFILE:
    case ENFILE:
        return "No file descriptor was left for the connection to the destination: raise the limit "
               "of open files (ulimit -n, LimitNOFILE).";
    case ENOBUFS:
    case ENOMEM:
        return "The system had no memory for the connection to the destination.";
    default:
        return "This machine had no local port or address left for the connection to the "
               "destination: see net.ipv4.ip_local_port_range and its addresses.";
    }
}

static enum step dial_failed(struct conn *c, int fault)
{
    if (dial_fault_is_own(fault)) {
        c->detail = own_shortage(fault);
        return conn_refuse(c, REASON_LIMIT_REACHED);
    }
    switch (fault) {
    case ETIMEDOUT:
        return conn_refuse(c, REASON_UPSTREAM_TIMEOUT);
    case ECONNREFUSED:
        return conn_refuse(c, REASON_UPSTREAM_UNREACHABLE);
    default:
        return conn_refuse_with(c, REASON_UPSTREAM_UNREACHABLE, REASON_ALERT_AS_SENT,
                                "destination_ip_unroutable");
    }
}

static enum step dialled(struct conn *c)
{
    if (c->attempt->has_hello) return upstream_start_handshake(c);
    return c->listener->front->connected(c);
}

static void on_dialled(void *arg, int fd, const struct addr *address, int fault)
{
    struct conn *c = arg;
    c->attempt->dial = NULL;
    if (fd >= 0) {
        leg_open(&c->upstream, fd, conn_on_leg, c, false);
        c->upstream_address = *address;
        dialled(c);
    } else {
        dial_failed(c, fault);
    }
    conn_run(c);
}

/* Sessions are bound to the listener, the identity and the port; the policy and the trust
 * are the gate's, and so is the cache. */
static void session_key(const struct conn *c, char out[2 * HELLO_NAME_SIZE])
{
    snprintf(out, 2 * HELLO_NAME_SIZE, "%s %s %u", c->listener->config->name, c->identity,
             c->target.port);
}

static const struct upstream_session *find_session(struct conn *c)
{
    char key[2 * HELLO_NAME_SIZE];
    if (!conn_config(c)->upstream.resume || c->attempt->without_resumption) return NULL;
    session_key(c, key);
    return gate_find_session(c->gate, key);
}

static void forget_session(struct conn *c)
{
    char key[2 * HELLO_NAME_SIZE];
    session_key(c, key);
    gate_drop_session(c->gate, key);
}

/* HTTP/2 forbids the CBC suites (RFC 9113 section 9.2.2): h2 is offered only where the
 * client's own suite will be a GCM one, and not to an upstream that then chose CBC. Names
 * that the library's comma-separated list cannot carry are left out. */
static void choose_offer(struct conn *c)
{
    struct attempt *a = c->attempt;
    struct reader r = reader_of(a->hello.alpn);
    size_t used = 0;
    a->alpn[0] = '\0';
    a->alpn_wire_size = 0;
    for (struct span name; (name = hello_alpn_next(&r)).n > 0;) {
        bool h2 = name.n == 2 && memcmp(name.p, "h2", 2) == 0;
        bool plain = !h2 || (a->verdict.gcm && !a->without_h2);
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

enum step upstream_start_handshake(struct conn *c)
{
    struct attempt *a = c->attempt;
    choose_offer(c);
    cert_facts_fini(&a->check.facts);
    a->check = (struct peer_check){
        .trust = c->gate->trust, .identity = c->identity, .is_ip = c->identity_is_ip};
    struct flight_offer offer = {.suites = conn_config(c)->policy.allowed,
                                 .alpn = {a->alpn_wire, a->alpn_wire_size}};
    const char *server_name = c->identity_is_ip ? NULL : c->identity;
    const struct upstream_session *known = find_session(c);
    cert_facts_fini(&a->known_facts);
    if (known && cert_facts_copy(&a->known_facts, &known->facts))
        c->upstream.tls = session_client(c->gate->upstream, &c->upstream.stream, server_name,
                                         a->alpn, &offer, &a->check, known->saved);
    a->resuming = known && c->upstream.tls;
    a->verified_ns = a->resuming ? known->verified_ns : 0;
    if (known && !a->resuming) forget_session(c); /* past the lifetime its server gave it */
    if (!a->resuming)
        c->upstream.tls = session_client(c->gate->upstream, &c->upstream.stream, server_name,
                                         a->alpn, &offer, &a->check, NULL);
    if (!c->upstream.tls) return conn_refuse(c, REASON_INTERNAL_ERROR);
    conn_set_state(c, CONN_UPSTREAM_HANDSHAKE);
    return STEP_AGAIN;
}

enum step upstream_failed(struct conn *c, enum reason reason, int alert)
{
    if (alert >= 0) {
        const uint8_t record[] = {21, 3, 3, 0, 2, 2, (uint8_t)alert};
        if (buf_append(&c->upstream.stream.out, record, sizeof record)) c->alert_sent = alert;
    }
    return conn_refuse(c, reason);
}

/* Once more, from the dial on: what was learnt is that one offer was too much. */
static enum step redial(struct conn *c)
{
    leg_close(&c->upstream, c->gate->loop);
    c->upstream = (struct leg){.fd = -1};
    c->upstream_address = (struct addr){0};
    return dial(c);
}

static enum step handshake_failed(struct conn *c)
{
    struct attempt *a = c->attempt;
    struct session *s = c->upstream.tls;
    enum reason reason = a->check.reason;
    if (reason == REASON_OK && a->resuming) {
        /* A server that forgot the session and cannot say so (RFC 5077 section 3.4). */
        forget_session(c);
        a->without_resumption = true;
        return redial(c);
    }
    c->alert_sent = session_alert_sent(s);
    reason = session_explain(s, c->upstream.stream.end_of_data, &c->alert_received);
    if (reason == a->check.reason) c->detail = a->check.fault;
    if (c->alert_received == ALERT_NO_APPLICATION_PROTOCOL)
        c->detail = "The upstream speaks none of the application protocols that the client offers.";
    return conn_refuse(c, reason);
}

static void remember_session(struct conn *c, const struct agreed *f)
{
    struct attempt *a = c->attempt;
    if (f->resumed) {
        /* The certificate is the one that was verified when the session began. */
        cert_facts_fini(&a->check.facts);
        a->check.facts = a->known_facts;
        a->known_facts = (struct cert_facts){0};
    } else {
        a->verified_ns = clock_steady_ns();
    }
    if (conn_config(c)->upstream.resume) {
        char key[2 * HELLO_NAME_SIZE];
        session_key(c, key);
        gate_keep_session(c->gate, key, session_save(c->upstream.tls), &a->check.facts,
                          a->verified_ns);
    }
}

static enum step handshake_done(struct conn *c)
{
    struct attempt *a = c->attempt;
    struct agreed agreed = session_agreed(c->upstream.tls);
    bool proved = agreed.resumed ? a->resuming : a->check.verified;
    if (agreed_is_h2_with_cbc(&agreed) && !a->without_h2) {
        a->without_h2 = true;
        return redial(c);
    }
    if (!agreed_is_allowed(&agreed, conn_config(c)->policy.allowed, proved))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    remember_session(c, &agreed);
    return client_start_handshake(c, agreed.alpn);
}

enum step upstream_handshake_step(struct conn *c)
{
    for (;;) {
        int alert;
        size_t n = leg_fill(&c->upstream);
        if (n > 0) {
            enum reason reason = session_received(c->upstream.tls, n, &alert);
            if (reason != REASON_OK) return upstream_failed(c, reason, alert);
        }
        switch (session_handshake(c->upstream.tls)) {
        case SESSION_WANT_BYTES:
            if (n > 0 || c->upstream.stream.end_of_data) continue;
            return STEP_WAIT;
        case SESSION_OK:
            return handshake_done(c);
        default:
            return handshake_failed(c);
        }
    }
}
