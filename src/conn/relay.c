/* The relay: payload from each leg to the other, with bounded queues, until both
 * directions have ended. Each direction ends as its source ended it. */
#include "conn/conn_impl.h"

#include "base/clock.h"

#include <string.h>

/* The most that a leg's out queue is filled with: one more record still fits into its block. */
enum { QUEUE_HIGH = 47 * 1024 };

/* What a direction may use before other connections have their turn: payload bytes, plus a cost per
 * record: that of opening and sealing an empty one. */
enum { SHARE = 64 * 1024, RECORD_COST = 512 };

static void setup_over(struct conn *c)
{
    session_handshake_done(c->client.tls);
    session_handshake_done(c->upstream.tls);
    conn_end_setup(c);
}

void relay_begin(struct conn *c)
{
    evidence_opened(c);
    setup_over(c);
    c->active_ns = clock_steady_ns();
    conn_set_state(c, CONN_RELAY);
}

static void end_direction(struct conn *c, struct direction *d, struct leg *to, bool truncated,
                          const char *by)
{
    if (d->state != DIRECTION_OPEN) return;
    d->state = DIRECTION_DRAINING;
    if (!c->closed_by) c->closed_by = by;
    if (!truncated && to->tls) session_close_notify(to->tls);
}

/* Ends both directions without close_notify. */
static void abort_relay(struct conn *c, const char *by)
{
    end_direction(c, &c->to_upstream, &c->upstream, true, by);
    end_direction(c, &c->to_client, &c->client, true, by);
}

static bool pump(struct conn *c, struct direction *d, struct leg *from, struct leg *to,
                 const char *by);

/* A client's own end counts even if it is still unread in the socket. */
static void read_client_end(struct conn *c)
{
    c->client.readable = true;
    c->client.taken = 0;
    (void)pump(c, &c->to_upstream, &c->client, &c->upstream, "client");
}

/* The upstream ended without close_notify. It gets a code only if it ended first and the client was
 * still there (RFC 5246 section 7.2.1: a peer that receives close_notify may close at once). */
static void note_truncation(struct conn *c)
{
    read_client_end(c);
    bool listens =
        c->to_upstream.state == DIRECTION_OPEN && !c->client.broken && !c->client.write_failed;
    if (listens && c->reason == REASON_OK) c->reason = REASON_UPSTREAM_TRUNCATED;
}

static void source_failed(struct conn *c, struct leg *from)
{
    bool is_client = from == &c->client;
    c->alert_sent = session_alert_sent(from->tls);
    c->alert_received = session_alert_received(from->tls);
    enum reason fault = session_fault(from->tls);
    if (fault != REASON_OK) c->reason = fault;
    if (fault == REASON_INTERNAL_ERROR)
        c->detail =
            "A record could not be taken: it has more padding than the TLS library has room "
            "for, or memory is short.";
    if (!is_client && c->alert_received >= 0) note_truncation(c);
    abort_relay(c, is_client ? "client" : "upstream");
}

static void upstream_wants_renegotiation(struct conn *c)
{
    c->reason = REASON_UPSTREAM_RENEGOTIATION;
    c->detail = "Usually it wants a client certificate for one path only, as Apache does with "
                "SSLVerifyClient in a Location or Directory: let it ask in the first handshake, "
                "with SSLVerifyClient in the virtual host and nowhere else, and give this proxy "
                "an [identity].";
    session_close_notify(c->upstream.tls);
    c->to_upstream.state = DIRECTION_DRAINING;
    abort_relay(c, "upstream");
}

/* Bytes that pass as they are. */
static enum session_status read_raw(struct leg *from, uint8_t *out, size_t room, size_t *got)
{
    struct buf *in = &from->stream.in;
    *got = buf_size(in) < room ? buf_size(in) : room;
    if (*got == 0 && !from->stream.end_of_data) return SESSION_WANT_BYTES;
    if (*got == 0) return from->broken ? SESSION_TRUNCATED : SESSION_CLOSE_NOTIFY;
    memcpy(out, buf_head(in), *got);
    buf_consume(in, *got);
    return SESSION_OK;
}

static enum session_status read_leg(struct conn *c, struct leg *from, size_t *got)
{
    uint8_t *scratch = c->worker->scratch;
    if (from->tls) return session_read(from->tls, scratch, WORKER_SCRATCH, got);
    return read_raw(from, scratch, WORKER_SCRATCH, got);
}

/* Raw bytes are looked at first. False: they must not pass. */
static bool may_pass(struct conn *c, const struct leg *from, size_t n)
{
    return from->tls || observe_bytes(c, from == &c->client, c->worker->scratch, n);
}

static bool write_leg(struct leg *to, const uint8_t *p, size_t n)
{
    return to->tls ? session_write(to->tls, p, n) : buf_append(&to->stream.out, p, n);
}

/* Moves payload until the source has no more, the receiver's queue is full or the share is used.
 * True when there may be more that no socket event announces. */
static bool pump(struct conn *c, struct direction *d, struct leg *from, struct leg *to,
                 const char *by)
{
    uint8_t *scratch = c->worker->scratch;
    size_t spent = 0;
    while (d->state == DIRECTION_OPEN && leg_unsent(to) < QUEUE_HIGH && spent < SHARE) {
        size_t n;
        enum session_status status = read_leg(c, from, &n);
        if (from == &c->upstream && from->tls && session_renegotiation_asked(from->tls)) {
            upstream_wants_renegotiation(c);
            return false;
        }
        switch (status) {
        case SESSION_OK:
            if (!may_pass(c, from, n)) return false;
            d->bytes += n;
            spent += n + RECORD_COST;
            if (!write_leg(to, scratch, n)) abort_relay(c, "error");
            break;
        case SESSION_WANT_BYTES:
            if (leg_fill(from) == 0 && !from->stream.end_of_data) return false;
            break;
        case SESSION_CLOSE_NOTIFY:
            if (from == &c->upstream && c->observer) read_client_end(c);
            end_direction(c, d, to, false, by);
            break;
        case SESSION_TRUNCATED:
            if (from == &c->upstream && from->tls) note_truncation(c);
            if (from == &c->upstream && c->observer) read_client_end(c);
            end_direction(c, d, to, true, by);
            break;
        case SESSION_WANT_SIGNATURE: /* never after the handshake */
        case SESSION_FAILED:
            source_failed(c, from);
            break;
        }
    }
    return d->state == DIRECTION_OPEN;
}

/* A drained direction also shuts down the receiver's TCP side: nothing can follow. */
static void settle(struct conn *c, struct direction *d, struct leg *to)
{
    if (to->broken || to->write_failed) {
        if (!c->closed_by) c->closed_by = to == &c->client ? "client" : "upstream";
        d->state = DIRECTION_CLOSED;
        return;
    }
    if (d->state != DIRECTION_DRAINING || leg_unsent(to) > 0) return;
    leg_end(to);
    d->state = DIRECTION_CLOSED;
}

static void finish(struct conn *c)
{
    if (!c->closed_by) c->closed_by = "error";
    if (observe_end(c)) evidence_closed(c);
    conn_uncount(c);
    conn_set_state(c, c->state == CONN_RELAY_ENDING ? CONN_DONE : CONN_LINGER);
}

/* Refused while it was observed. */
static bool is_refused(const struct conn *c)
{
    return c->state == CONN_AUDIT || c->state == CONN_FLUSH;
}

enum step relay_step(struct conn *c)
{
    bool more_up = pump(c, &c->to_upstream, &c->client, &c->upstream, "client");
    bool more_down = !is_refused(c) && pump(c, &c->to_client, &c->upstream, &c->client, "upstream");
    if (is_refused(c)) return STEP_AGAIN;
    size_t up = leg_unsent(&c->upstream), down = leg_unsent(&c->client);
    leg_flush(&c->upstream);
    leg_flush(&c->client);
    /* A socket that has not accepted all announces when it accepts more. */
    c->rerun =
        (more_up && leg_unsent(&c->upstream) == 0) || (more_down && leg_unsent(&c->client) == 0);
    if (leg_unsent(&c->upstream) < up || leg_unsent(&c->client) < down)
        c->active_ns = clock_steady_ns();
    if (c->client.broken) end_direction(c, &c->to_upstream, &c->upstream, true, "client");
    if (c->upstream.broken) end_direction(c, &c->to_client, &c->client, true, "upstream");
    settle(c, &c->to_upstream, &c->upstream);
    settle(c, &c->to_client, &c->client);
    if (c->to_upstream.state != DIRECTION_CLOSED || c->to_client.state != DIRECTION_CLOSED)
        return STEP_WAIT;
    finish(c);
    return STEP_AGAIN;
}

/* A leg is read while there is room for its bytes. */
int relay_events(struct conn *c, struct leg *l)
{
    const struct direction *d = l == &c->client ? &c->to_upstream : &c->to_client;
    struct leg *to = l == &c->client ? &c->upstream : &c->client;
    bool room = leg_unsent(to) < QUEUE_HIGH;
    return d->state == DIRECTION_OPEN && room && !l->stream.end_of_data && !l->broken ? EV_READ : 0;
}

/* Ended by us: gives the queues some time. */
static void end_by_proxy(struct conn *c, const char *by)
{
    c->closed_by = by;
    abort_relay(c, by);
    conn_set_state(c, CONN_RELAY_ENDING);
}

void relay_idle(struct conn *c)
{
    c->detail = "No byte went either way for idle_timeout, which can be set for each listener.";
    end_by_proxy(c, "idle_timeout");
}

void relay_shut_down(struct conn *c)
{
    c->reason = REASON_SHUTTING_DOWN;
    end_by_proxy(c, "shutdown");
}

void relay_give_up(struct conn *c)
{
    c->client.broken = c->upstream.broken = true;
}
