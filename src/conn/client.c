/* The client's leg: its hello, its target's identity, its handshake. */
#include "conn/conn_impl.h"

#include "base/clock.h"
#include "pki/keys.h"
#include "policy/proxy_header.h"
#include "policy/wire.h"

#include <stdio.h>
#include <string.h>

const char *client_target_name(const struct conn *c)
{
    const struct setup *a = c->setup;
    bool by_hello = c->target.is_ip && a && a->has_hello && a->hello.server_name_usable;
    return by_hello ? a->hello.server_name : c->target.host;
}

void client_set_identity(struct conn *c)
{
    const char *name = c->front->identity(c);
    struct addr ip;
    c->identity_is_ip = addr_from_ip(name, 0, &ip);
    if (c->identity_is_ip)
        addr_format_ip(&ip, c->identity); /* one spelling for caches and certificates */
    else
        snprintf(c->identity, sizeof c->identity, "%s", name);
}

enum reason client_judge_name(const struct conn *c)
{
    const char *name = c->setup->hello.server_name;
    bool named = !c->target.is_ip && name[0];
    if (named && !conn_config(c)->policy.allow_server_name_mismatch &&
        strcmp(name, c->target.host) != 0)
        return REASON_CLIENT_SERVER_NAME_MISMATCH;
    return REASON_OK;
}

bool client_refuse_header(struct conn *c, const uint8_t *p, size_t n)
{
    if (!proxy_header_begins(p, n)) return false;
    c->detail = "It begins with a PROXY header, but proxy_protocol_from does not name the sender.";
    conn_refuse(c, REASON_CLIENT_BAD_PROXY_HEADER);
    return true;
}

enum step client_refuse_unread(struct conn *c, enum reason reason, const uint8_t *p, size_t n)
{
    return client_refuse_header(c, p, n) ? STEP_AGAIN : conn_refuse(c, reason);
}

enum step client_greeting_incomplete(struct conn *c)
{
    if (!c->client.stream.end_of_data) return STEP_WAIT;
    if (c->saw_bytes) {
        c->detail = "The client went away before its request was complete.";
        return conn_refuse(c, REASON_CLIENT_BAD_REQUEST);
    }
    conn_set_state(c, CONN_DONE);
    return STEP_AGAIN;
}

enum step client_await_hello(struct conn *c)
{
    c->expects_tls = true;
    if (c->observer) return observe_relay(c);
    conn_set_state(c, CONN_HELLO);
    return STEP_AGAIN;
}

bool hello_wants_http(const struct setup *a)
{
    struct reader r = reader_of(a->hello.alpn);
    if (r.left == 0) return true;
    for (struct span name; (name = hello_alpn_next(&r)).n > 0;)
        if (name.n == 8 && memcmp(name.p, "http/1.1", 8) == 0) return true;
    return false;
}

/* A session without extended_master_secret is not resumed (RFC 7627 section 5.3). */
static bool may_have_ticket(const struct hello *h)
{
    return h->extended_master_secret && h->session_ticket.n <= TICKET_LARGEST;
}

static bool with_tickets(const struct hello *h)
{
    return !h->has_session_ticket || may_have_ticket(h);
}

/* The own name of this machine, for clients of a test listener that do not send it: Java sends no
 * server name without a dot. */
static const char *second_name(const struct conn *c)
{
    struct addr ip;
    bool here = c->identity_is_ip && addr_from_ip(c->identity, 0, &ip) && addr_is_loopback(&ip);
    return here && c->front->responder ? "localhost" : NULL;
}

static struct leaf_request leaf_of(const struct conn *c)
{
    const struct setup *s = c->setup;
    return (struct leaf_request){.identity = c->identity,
                                 .is_ip = c->identity_is_ip,
                                 .second_name = second_name(c),
                                 .key = s->verdict.key,
                                 .tickets = with_tickets(&s->hello) && !mutual_asks(c)};
}

static bool may_present(const struct conn *c)
{
    struct leaf_request leaf = leaf_of(c);
    return runtime_may_present(c->runtime, c->listener, &leaf);
}

static enum reason judge(struct conn *c)
{
    struct setup *a = c->setup;
    const struct front *front = c->front;
    a->verdict = verdict_judge(&a->hello, &conn_config(c)->policy, &c->listener->keys);
    if (a->verdict.reason != REASON_OK) return a->verdict.reason;
    if (!may_present(c)) {
        c->detail =
            "The name constraints of the local CA (suitegate ca init --permit) do not allow "
            "a certificate for this name.";
        return REASON_CLIENT_NO_USABLE_CERTIFICATE;
    }
    return front->judge ? front->judge(c) : REASON_OK;
}

static enum step hello_refused(struct conn *c, enum hello_status status, int alert)
{
    if (status == HELLO_TOO_LARGE) c->detail = "It has more bytes than hello_max_size allows.";
    if (status == HELLO_TOO_MANY_SUITES)
        c->detail = "It offers more than 2,048 cipher suites, a limit that no option changes.";
    if (status == HELLO_TOO_MANY_EXTENSIONS)
        c->detail = "It has more than 128 extensions, a limit that no option changes.";
    return conn_refuse_with(c, verdict_of_status(status),
                            status == HELLO_MALFORMED ? alert : REASON_ALERT_AS_SENT, NULL);
}

/* Through each listener once is a chain, much more often a circle: a few passes more are allowed,
 * since hellos that some probe always sends the same are taken for passes. */
enum { CIRCLE_MARGIN = 8 };

void client_mark_answered(struct conn *c)
{
    own_hellos_answered(c->worker->shared->own_hellos, c->own_hello);
    c->own_hello = NULL;
}

void client_mark(struct conn *c, const uint8_t mark[HELLO_RANDOM_SIZE])
{
    client_mark_answered(c);
    c->own_hello = own_hellos_mark(c->worker->shared->own_hellos, mark, c->passes + 1);
}

bool client_circles(struct conn *c, const uint8_t mark[HELLO_RANDOM_SIZE])
{
    c->passes = own_hellos_passes(c->worker->shared->own_hellos, mark, clock_steady_ns());
    return c->passes >= conn_config(c)->listener_count + CIRCLE_MARGIN;
}

bool client_hello_circles(struct conn *c)
{
    struct span random = c->setup->hello.random;
    return random.n == HELLO_RANDOM_SIZE && client_circles(c, random.p);
}

static enum reason judge_or_observe(struct conn *c)
{
    if (client_hello_circles(c)) return REASON_PROXY_LOOP;
    if (!c->observer) return judge(c);
    return c->front->judge ? c->front->judge(c) : REASON_OK;
}

static enum step hello_complete(struct conn *c)
{
    struct setup *a = c->setup;
    struct span message = {buf_head(&a->reader.message), buf_size(&a->reader.message)};
    enum hello_status status = hello_parse(message, &a->hello, &a->hello_alert);
    if (status != HELLO_COMPLETE) return hello_refused(c, status, a->hello_alert);
    a->has_hello = true;
    ja4_format(&a->hello, digest_sha256, a->ja4);
    if (c->front->hello_read) c->front->hello_read(c);
    client_set_identity(c);
    enum reason reason = judge_or_observe(c);
    if (reason != REASON_OK) return conn_refuse(c, reason);
    return c->front->hello_judged(c);
}

static enum step hello_incomplete(struct conn *c)
{
    if (!c->client.stream.end_of_data) return STEP_WAIT;
    if (!c->saw_bytes) {
        conn_set_state(c, CONN_DONE);
        return STEP_AGAIN;
    }
    c->detail = "The client went away before its hello was complete.";
    return conn_refuse_with(c, REASON_CLIENT_HANDSHAKE_FAILED, REASON_ALERT_NONE, NULL);
}

enum step hello_step(struct conn *c)
{
    struct setup *a = c->setup;
    if (leg_fill(&c->client) == 0 && buf_size(&c->client.stream.in) == 0)
        return hello_incomplete(c);
    struct buf *in = &c->client.stream.in;
    size_t used;
    conn_saw_bytes(c);
    a->reader.limit = conn_config(c)->proxy.hello_max_size;
    enum hello_status status = hello_reader_feed(&a->reader, buf_head(in), buf_size(in), &used);
    if (c->observer && !observe_keep(c, buf_head(in), used))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    buf_consume(in, used);
    if (status == HELLO_MORE) return c->client.stream.end_of_data ? hello_incomplete(c) : STEP_WAIT;
    if (status == HELLO_COMPLETE) return hello_complete(c);
    if (status == HELLO_HTTP || status == HELLO_NOT_TLS)
        return client_refuse_unread(c, verdict_of_status(status), a->reader.records.header,
                                    a->reader.records.header_size);
    return hello_refused(c, status, a->reader.alert);
}

/* A client that is silent on a TLS port probably waits for the server to begin. */
void client_hello_overdue(struct conn *c)
{
    const struct hello_reader *reader = &c->setup->reader;
    bool silent = c->expects_tls && reader->records.header_size == 0 && reader->records.left == 0 &&
                  buf_size(&reader->message) == 0;
    bool speaks_second = silent && !c->front->responder;
    if (speaks_second) {
        c->saw_bytes = true; /* its silence deserves a record */
        c->detail = "It said nothing: perhaps it waits for the server to speak first, as in SMTP, "
                    "IMAP, POP3, FTP and MySQL; here TLS has to start with the first byte.";
    }
    if (c->saw_bytes)
        conn_refuse(c, REASON_CLIENT_HELLO_TIMEOUT);
    else
        conn_end(c);
}

static bool has_to_mint(const struct conn *c)
{
    struct leaf_request leaf = leaf_of(c);
    return !runtime_server_context(c->runtime, c->listener, &leaf);
}

static struct session *new_session(struct conn *c, const char *alpn)
{
    const struct hello *h = &c->setup->hello;
    const struct loaded_config *loaded = c->runtime->loaded;
    const struct ticket_binding binding = {{loaded->generation, sizeof loaded->generation},
                                           c->listener->config->name,
                                           c->identity,
                                           c->setup->verdict.suite->iana};
    struct ticket_scope scope;
    struct leaf_request leaf = leaf_of(c);
    struct tls_context *context = runtime_server_context(c->runtime, c->listener, &leaf);
    if (!context) return NULL;
    if (!leaf.tickets || !h->has_session_ticket)
        return session_server(context, &c->client.stream, alpn, NULL);
    if (!ticket_scope_init(&scope, &c->worker->ticket_keys, &loaded->ticket_keys, time(NULL),
                           &binding))
        return NULL;
    return session_server(context, &c->client.stream, alpn, &scope);
}

static enum step start_handshake(struct conn *c)
{
    struct span hello = {buf_head(&c->setup->reader.message), buf_size(&c->setup->reader.message)};
    c->client.tls = new_session(c, c->setup->agreed_alpn);
    if (!c->client.tls || !session_hello(c->client.tls, hello))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    mutual_ask(c);
    c->client.readable = true; /* a client that left has not seen our certificate */
    c->setup->handshake_ns = clock_steady_ns();
    conn_set_state(c, CONN_CLIENT_HANDSHAKE);
    return STEP_AGAIN;
}

/* A new certificate costs a signature by the CA. So that new names cannot keep the keeper busy,
 * each source has a rate, and a worker asks for one certificate at a time. */
enum step client_start_handshake(struct conn *c, const char *alpn)
{
    snprintf(c->setup->agreed_alpn, sizeof c->setup->agreed_alpn, "%s", alpn);
    if (!has_to_mint(c)) {
        counts_add_one(&c->worker->counts.leaf_hits);
        return start_handshake(c);
    }
    c->setup->mint.failed = false;
    conn_set_state(c, CONN_CERTIFICATE);
    return STEP_AGAIN;
}

static void run_again(void *owner)
{
    conn_run(owner);
}

/* Only the connection for which a certificate is made counts for its source's rate, not those that
 * wait for the same name. */
enum step client_certificate_step(struct conn *c)
{
    struct mints *mints = &c->worker->mints;
    struct mint_wait *wait = &c->setup->mint;
    struct leaf_request leaf = leaf_of(c);
    if (wait->link) return STEP_WAIT;
    if (!has_to_mint(c)) return start_handshake(c);
    if (wait->failed) return conn_refuse(c, REASON_INTERNAL_ERROR);
    wait->run = run_again;
    wait->owner = c;
    if (!mints_free(mints)) {
        mints_await(mints, wait, &leaf);
        return STEP_WAIT;
    }
    if (!sources_may_mint(c->worker->shared->sources, &c->peer, &conn_config(c)->proxy.per_source,
                          clock_steady_ns())) {
        if (c->reason == REASON_OK)
            c->detail = "It asks for too many names that need a new certificate: a quarter of "
                        "max_handshakes_per_source is the limit.";
        return conn_refuse(c, REASON_SOURCE_LIMIT_REACHED);
    }
    if (!mints_begin(mints, c->worker->signer, c->runtime, &leaf))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    counts_add_one(&c->worker->counts.mints);
    mints_await(mints, wait, &leaf);
    return STEP_WAIT;
}

void client_certificate_overdue(struct conn *c)
{
    c->detail = "Too many names wait for a new certificate.";
    conn_refuse(c, REASON_INTERNAL_ERROR);
}

void client_handshake_overdue(struct conn *c)
{
    c->detail = "The client did not finish the handshake in time.";
    conn_refuse_with(c, REASON_CLIENT_HANDSHAKE_FAILED, REASON_ALERT_NONE, NULL);
}

/* The client received our certificate and left without another byte. */
static bool left_at_certificate(const struct conn *c)
{
    const struct flight *flight = session_flight(c->client.tls);
    return c->setup->left_unanswered && flight && flight->certificates > 0;
}

static const char *why_client_left(const struct conn *c)
{
    if (!left_at_certificate(c)) return "The client closed the connection in the handshake.";
    if (mutual_asks(c))
        return "The client hung up, without an alert, right after the certificate and the request "
               "for its own: it probably does not trust the one or does not have the other.";
    return "The client hung up right after the certificate, without an alert: it probably does not "
           "trust it. If so, install the CA that issued it in the client's trust store (suitegate "
           "ca show names the local one).";
}

static enum step handshake_failed(struct conn *c)
{
    c->alert_received = session_alert_received(c->client.tls);
    c->alert_sent = session_alert_sent(c->client.tls);
    enum reason fault = session_fault(c->client.tls);
    if (fault == REASON_CLIENT_RENEGOTIATION || fault == REASON_INTERNAL_ERROR)
        return conn_refuse_with(c, fault, c->alert_sent, NULL);
    if (mutual_refuse(c)) return STEP_AGAIN;
    /* The library may fail on parts that our parser does not check. */
    bool unread = c->alert_sent == ALERT_DECODE_ERROR && !session_flight(c->client.tls)->has_hello;
    if (unread) return conn_refuse(c, REASON_CLIENT_MALFORMED_HELLO);
    c->detail = reason_rejection(c->alert_received);
    if (c->detail) return conn_refuse(c, REASON_CLIENT_REJECTED_CERTIFICATE);
    if (c->client.stream.end_of_data && c->alert_received < 0) c->detail = why_client_left(c);
    return conn_refuse(c, REASON_CLIENT_HANDSHAKE_FAILED);
}

/* Reads the client's answer to our flight. False: nothing yet. */
static bool read_on(struct conn *c)
{
    struct setup *a = c->setup;
    bool flight_is_out = buf_size(&c->client.stream.out) == 0 && !c->client.write_failed;
    if (leg_fill(&c->client) > 0) {
        a->answered = true;
        return true;
    }
    a->left_unanswered = c->client.stream.end_of_data && flight_is_out && !a->answered;
    return c->client.stream.end_of_data;
}

enum step client_handshake_step(struct conn *c)
{
    for (;;) {
        switch (session_handshake(c->client.tls)) {
        case SESSION_WANT_BYTES:
            if (!read_on(c)) return STEP_WAIT;
            continue;
        case SESSION_WANT_SIGNATURE:
            return signing_begin(c, c->client.tls, SIGN_FOR_LISTENER,
                                 (size_t)(c->listener - c->runtime->listeners));
        case SESSION_OK:
            break;
        default:
            return handshake_failed(c);
        }
        struct agreed agreed = session_agreed(c->client.tls);
        /* A PROXY header may have told the upstream the suite. */
        if (!agreed_is_allowed(&agreed, conn_config(c)->policy.allowed, true) ||
            agreed.suite != c->setup->verdict.suite->id)
            return conn_refuse(c, REASON_INTERNAL_ERROR);
        evidence_handshake(c, COUNTS_CLIENT, &agreed);
        /* In a resumed handshake the client sends the last flight, then its request. */
        if (agreed.resumed) leg_acknowledge(&c->client);
        if (c->reason != REASON_OK)
            conn_set_state(c, CONN_PAGE);
        else
            c->front->handshake_done(c);
        return STEP_AGAIN;
    }
}
