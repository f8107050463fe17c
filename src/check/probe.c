#include "check/probe.h"

#include "base/clock.h"
#include "check/smtp.h"
#include "net/channel.h"
#include "pki/keys.h"
#include "policy/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { RECEIVE_SIZE = 16384 };
static const int64_t second_ns = 1000000000;

/* Once the server's speed is known, the wait is shorter: a server that drops offers silently must
 * not cost first_wait each time. */
static int64_t patience(const struct probe_target *t)
{
    enum { TIMES = 10 };
    int64_t slowest = atomic_load(&t->slowest), wait = t->first_wait;
    if (slowest == 0) return wait;
    int64_t known = TIMES * slowest > second_ns ? TIMES * slowest : second_ns;
    return known < wait ? known : wait;
}

static void note_speed(struct probe_target *t, int64_t took)
{
    int64_t before = atomic_load(&t->slowest);
    while (took > before && !atomic_compare_exchange_weak(&t->slowest, &before, took))
        ;
}

/* A connection with its deadline. */
struct talk {
    struct probe_target *target;
    struct channel channel;
    struct stream stream; /* for a full handshake */
    int64_t started, deadline;
    bool any;         /* a byte has come from the server */
    bool entered;     /* the limiter has let it in */
    unsigned flights; /* our handshake flights sent */
};

static enum probe_outcome no_answer(const struct talk *k, enum channel_status status)
{
    if (status != CHANNEL_TIMEOUT) return PROBE_CLOSED;
    if (k->any) return PROBE_SLOW;
    return clock_steady_ns() >= k->target->deadline ? PROBE_NO_TIME : PROBE_SILENT;
}

static enum probe_outcome start_smtp(struct talk *k, struct probe *out)
{
    struct smtp smtp = {0};
    char block[512];
    for (;;) {
        size_t got, used;
        enum channel_status status =
            channel_receive(&k->channel, block, sizeof block, &got, k->deadline);
        if (status != CHANNEL_OK) return no_answer(k, status);
        k->any = true;
        enum smtp_status next = smtp_feed(&smtp, block, got, &used);
        const char *command = smtp_command(&smtp);
        switch (next) {
        case SMTP_MORE:
            continue;
        case SMTP_SEND:
            status = channel_send(&k->channel, command, strlen(command), k->deadline);
            if (status != CHANNEL_OK) return no_answer(k, status);
            continue;
        case SMTP_READY:
            k->any = false;
            return PROBE_ANSWERED;
        case SMTP_REFUSED:
            snprintf(out->smtp, sizeof out->smtp, "the mail server refuses: %.100s", smtp.line);
            return PROBE_SMTP;
        case SMTP_WITHOUT:
            return PROBE_NO_STARTTLS;
        case SMTP_MALFORMED:
            snprintf(out->smtp, sizeof out->smtp, "the server does not speak SMTP");
            return PROBE_SMTP;
        }
    }
}

/* Connects, up to the beginning of TLS. PROBE_ANSWERED, or why not. Call finish() in any case. */
static enum probe_outcome begin(struct talk *k, struct probe_target *t, bool patient,
                                struct probe *out)
{
    *k = (struct talk){.target = t, .channel = {-1}};
    k->entered = limiter_enter(t->limiter, &t->address, t->deadline);
    k->started = clock_steady_ns();
    k->deadline = k->started + (patient ? t->first_wait : patience(t));
    if (k->deadline > t->deadline) k->deadline = t->deadline;
    if (!k->entered || k->started >= t->deadline) return PROBE_NO_TIME;
    if (t->connections) atomic_fetch_add(t->connections, 1);
    out->fault = channel_open(&k->channel, &t->address, k->deadline);
    bool ours = out->fault == EMFILE || out->fault == ENFILE || out->fault == ENOMEM ||
                out->fault == ENOBUFS || out->fault == EADDRNOTAVAIL;
    if (out->fault == ETIMEDOUT && clock_steady_ns() >= t->deadline) return PROBE_NO_TIME;
    if (out->fault) return ours ? PROBE_FAILED : PROBE_UNREACHABLE;
    return t->smtp ? start_smtp(k, out) : PROBE_ANSWERED;
}

static void finish(struct talk *k)
{
    channel_close(&k->channel);
    stream_fini(&k->stream);
    if (k->entered) limiter_leave(k->target->limiter, &k->target->address);
}

static bool has_enough(const struct reply *r, enum probe_depth depth)
{
    if (r->done) return true;
    return depth == PROBE_HELLO && r->kind != REPLY_NONE;
}

static enum probe_outcome outcome_of(const struct reply *r)
{
    switch (r->kind) {
    case REPLY_HELLO:
    case REPLY_ALERT:
    case REPLY_SSLV2:
        return PROBE_ANSWERED;
    default:
        return PROBE_NOT_TLS;
    }
}

static enum probe_outcome receive_reply(struct talk *k, enum probe_depth depth, struct reply *r)
{
    uint8_t block[RECEIVE_SIZE];
    while (!has_enough(r, depth)) {
        size_t got;
        enum channel_status status =
            channel_receive(&k->channel, block, sizeof block, &got, k->deadline);
        /* A flight that stops after the ServerHello still has that answer. */
        if (status != CHANNEL_OK)
            return r->kind == REPLY_HELLO ? PROBE_ANSWERED : no_answer(k, status);
        k->any = true;
        reply_feed(r, block, got);
    }
    return outcome_of(r);
}

void probe_run(struct probe_target *t, const struct offer *offer, enum probe_depth depth,
               bool patient, struct probe *out)
{
    uint8_t random[OFFER_RANDOM];
    struct buf hello = {0};
    struct talk k;
    *out = (struct probe){0};
    reply_init(&out->reply, offer == NULL);
    out->outcome = begin(&k, t, patient, out);
    if (out->outcome == PROBE_ANSWERED) {
        bool ok = random_bytes(random, sizeof random) &&
                  (offer ? offer_write(offer, random, &hello) : offer_write_sslv2(random, &hello));
        out->outcome = PROBE_FAILED;
        out->fault = ENOMEM;
        /* There may be an answer even if sending failed. */
        if (ok && channel_send(&k.channel, buf_head(&hello), buf_size(&hello), k.deadline) !=
                      CHANNEL_TIMEOUT)
            out->outcome = receive_reply(&k, depth, &out->reply);
    }
    if (out->outcome == PROBE_ANSWERED) note_speed(t, clock_steady_ns() - k.started);
    buf_fini(&hello);
    finish(&k);
}

void probe_fini(struct probe *p)
{
    reply_fini(&p->reply);
}

/* Sends what is queued, then receives. False: the connection ended. */
static bool exchange(struct talk *k, struct session *s, struct proof *out)
{
    struct buf *send = &k->stream.out, *in = &k->stream.in;
    if (buf_size(send) > 0 && buf_head(send)[0] == RECORD_HANDSHAKE) k->flights++;
    enum channel_status status =
        channel_send(&k->channel, buf_head(send), buf_size(send), k->deadline);
    buf_consume(send, buf_size(send));
    uint8_t *place = buf_reserve(in, RECEIVE_SIZE);
    size_t got = 0;
    int alert;
    if (!place) {
        out->outcome = PROBE_FAILED;
        return false;
    }
    if (status != CHANNEL_TIMEOUT)
        status = channel_receive(&k->channel, place, RECEIVE_SIZE, &got, k->deadline);
    if (status == CHANNEL_TIMEOUT) {
        out->outcome = no_answer(k, status);
        out->reason = REASON_UPSTREAM_TIMEOUT;
        return false;
    }
    k->stream.end_of_data = status != CHANNEL_OK;
    k->any = k->any || got > 0;
    buf_commit(in, got);
    out->reason = got > 0 ? session_received(s, got, &alert) : REASON_OK;
    return out->reason == REASON_OK;
}

static void shake_hands(struct talk *k, struct session *s, const struct flight_offer *offer,
                        struct peer_check *check, struct proof *out)
{
    for (;;) {
        enum session_status status = session_handshake(s);
        if (status == SESSION_WANT_BYTES) {
            if (exchange(k, s, out)) continue;
            return;
        }
        if (status == SESSION_OK) {
            struct agreed agreed = session_agreed(s);
            out->completed = agreed_is_allowed(&agreed, offer->suites, check->verified);
            out->group = agreed.group;
            if (!out->completed) out->reason = REASON_INTERNAL_ERROR;
            session_close_notify(s);
        } else {
            int alert;
            out->reason = session_explain(s, k->stream.end_of_data, &alert);
        }
        /* Send the last record: a close_notify or the library's alert. */
        struct buf *last = &k->stream.out;
        if (channel_send(&k->channel, buf_head(last), buf_size(last), k->deadline) == CHANNEL_OK)
            buf_consume(last, buf_size(last));
        return;
    }
}

void probe_handshake(struct probe_target *t, const struct tls_context *context,
                     const struct flight_offer *offer, struct peer_check *check, struct proof *out)
{
    struct probe unused = {0};
    struct talk k;
    *out = (struct proof){.outcome = PROBE_ANSWERED};
    check->identity = t->identity;
    check->is_ip = t->identity_is_ip;
    enum probe_outcome outcome = begin(&k, t, true, &unused);
    if (outcome != PROBE_ANSWERED) {
        out->outcome = outcome;
        out->reason = REASON_UPSTREAM_UNREACHABLE;
    } else {
        struct session *s = session_client(
            context, &k.stream, t->identity_is_ip ? NULL : t->identity, "", offer, check, NULL);
        if (s)
            shake_hands(&k, s, offer, check, out);
        else
            out->outcome = PROBE_FAILED;
        session_free(s);
    }
    out->verified = check->verified;
    /* The second flight is sent only after the server's key exchange was accepted. */
    out->keys_agreed = k.flights > 1;
    finish(&k);
}
