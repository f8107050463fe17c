#include "audit/recorder.h"

#include "unwritten.h"

#include "base/clock.h"
#include "base/diag.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Records without a waiting caller are gathered: a wake-up of the clerk costs more than a record.
 */
static const int64_t second_ns = 1000000000;
static const double gather_s = .01, counts_s = 1.;
enum { ANSWERS = 64 };

struct recorder {
    struct recording *shared;
    struct ev_loop *loop;
    ev_io io;
    ev_prepare urgent; /* active: send before the loop waits */
    ev_timer gather;
    ev_timer overdue;           /* active: the clerk has not answered all */
    int64_t overdue_ns;         /* steady: when it is due */
    ev_timer counts;            /* the process's counts of refusals that this one looks after */
    struct audit_origin origin; /* of their records */
    int fd;                     /* -1: no clerk */
    bool known;                 /* the clerk has said what it has: sending may begin */
    bool silent;
    struct unwritten records;
    uint8_t answers[ANSWERS * FRAME_ANSWER];
    size_t have; /* bytes of answers */
    void (*lost)(void *arg);
    void *lost_arg;
};

static void set_silent(struct recorder *r, bool silent)
{
    if (r->silent == silent) return;
    r->silent = silent;
    if (silent)
        atomic_fetch_add(&r->shared->silent, 1);
    else
        atomic_fetch_sub(&r->shared->silent, 1);
}

/* ---- entries ---- */

static void start_timer(struct recorder *r, ev_timer *timer, double seconds)
{
    ev_timer_set(timer, seconds, 0.);
    ev_timer_start(r->loop, timer);
}

/* Waits from now on for the clerk's next answer. */
static void expect_answer(struct recorder *r)
{
    if (ev_is_active(&r->overdue)) return;
    start_timer(r, &r->overdue, RECORDING_WAIT_S);
    r->overdue_ns = clock_steady_ns() + RECORDING_WAIT_S * second_ns;
}

static struct entry *add(struct recorder *r, audit_renderer *render, const void *what,
                         const struct recorder_reply *reply)
{
    struct entry *e = unwritten_add(&r->records, render, what, reply, r->silent);
    if (e && !r->silent) expect_answer(r);
    return e;
}

static void note_lost(struct recorder *r, size_t count)
{
    static int64_t last;
    atomic_fetch_add(&r->shared->unreported, (unsigned)count);
    atomic_fetch_add(&r->shared->lost, count);
    if (diag_due(&last, second_ns)) diag_error("out of memory: an audit record is lost");
}

/* ---- the socket ---- */

static void watch(struct recorder *r, int events)
{
    if (r->io.events == events && ev_is_active(&r->io)) return;
    ev_io_stop(r->loop, &r->io);
    ev_io_set(&r->io, r->fd, events);
    ev_io_start(r->loop, &r->io);
}

static void disconnect(struct recorder *r)
{
    if (r->fd < 0) return;
    ev_io_stop(r->loop, &r->io);
    close(r->fd);
    r->fd = -1;
    r->known = false;
    r->have = 0;
    unwritten_begin_again(&r->records);
}

/* The waiting callers learn that their records are not written yet; the records stay. */
static void give_up(struct recorder *r)
{
    ev_timer_stop(r->loop, &r->overdue);
    set_silent(r, true);
    for (struct entry *e = r->records.head; e; e = e->next) entry_answer(e, false);
}

/* The clerk has closed its end. The next one has until the answer of this one would be overdue. */
static void lose(struct recorder *r)
{
    disconnect(r);
    if (!r->silent) expect_answer(r);
    if (r->lost) r->lost(r->lost_arg);
}

/* Sends what the socket takes. */
static void send_all(struct recorder *r)
{
    ev_prepare_stop(r->loop, &r->urgent);
    ev_timer_stop(r->loop, &r->gather);
    while (r->known && r->records.unsent) {
        struct iovec parts[2 * UNWRITTEN_BATCH];
        struct msghdr message = {.msg_iov = parts,
                                 .msg_iovlen = unwritten_gather(&r->records, parts)};
        ssize_t n = sendmsg(r->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
        if (n < 0) {
            lose(r);
            return;
        }
        unwritten_note_sent(&r->records, (size_t)n);
    }
    if (r->fd >= 0) watch(r, r->known && r->records.unsent ? EV_READ | EV_WRITE : EV_READ);
}

static void on_answer(struct recorder *r, enum frame_answer what, uint64_t number)
{
    /* One that dies again and again says no more than what it has. */
    if (what != ANSWER_KNOWN || !r->records.head || r->records.head->number <= number)
        ev_timer_stop(r->loop, &r->overdue);
    if (what == ANSWER_FAILING) {
        set_silent(r, true);
        for (struct entry *e = r->records.head; e && e->number <= number; e = e->next)
            entry_answer(e, false);
        return;
    }
    while (r->records.head && r->records.head->number <= number) {
        entry_answer(r->records.head, true);
        if (r->records.unsent == r->records.head) r->records.sent = 0;
        unwritten_drop_first(&r->records);
    }
    if (what == ANSWER_KNOWN) {
        r->known = true;
        unwritten_begin_again(&r->records);
        ev_prepare_start(r->loop, &r->urgent);
    }
    set_silent(r, false);
    if (r->records.head) expect_answer(r);
}

/* Reads the answers that are there. */
static void receive(struct recorder *r)
{
    while (r->fd >= 0) {
        ssize_t n = recv(r->fd, r->answers + r->have, sizeof r->answers - r->have, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            lose(r);
            return;
        }
        r->have += (size_t)n;
        size_t used = 0;
        for (; r->have - used >= FRAME_ANSWER; used += FRAME_ANSWER) {
            enum frame_answer what;
            uint64_t number;
            if (frame_read_answer(r->answers + used, &what, &number)) on_answer(r, what, number);
        }
        r->have -= used;
        memmove(r->answers, r->answers + used, r->have);
        if (n < (ssize_t)FRAME_ANSWER * ANSWERS / 2) return; /* that was all */
    }
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct recorder *r = io->data;
    if (events & EV_READ) receive(r);
    if (events & EV_WRITE && r->fd >= 0) send_all(r);
}

static void on_urgent(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop;
    (void)events;
    send_all(prepare->data);
}

static void on_counts_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct recorder *r = timer->data;
    bool more = recording_has_counts(r->shared);
    recorder_submit_counts(r, &r->origin, clock_steady_ns());
    if (more) start_timer(r, timer, counts_s);
}

/* A clerk that hangs, or none: as one that cannot write. */
static void on_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct recorder *r = timer->data;
    bool stalled = clock_steady_ns() > r->overdue_ns + second_ns;
    receive(r); /* what has arrived counts */
    if (ev_is_active(timer) || (!r->records.head && r->fd >= 0)) return;
    if (stalled) { /* this process stood still, and perhaps the clerk, too */
        expect_answer(r);
        return;
    }
    give_up(r);
}

static void on_gathered(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    send_all(timer->data);
}

/* ---- a recorder's life ---- */

struct recorder *recorder_new(struct recording *shared, struct ev_loop *loop)
{
    struct recorder *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->shared = shared;
    r->loop = loop;
    r->fd = -1;
    if (!unwritten_init(&r->records, shared)) {
        free(r);
        return NULL;
    }
    ev_io_init(&r->io, on_io, -1, EV_READ);
    ev_prepare_init(&r->urgent, on_urgent);
    ev_timer_init(&r->gather, on_gathered, 0., 0.);
    ev_timer_init(&r->overdue, on_overdue, 0., 0.);
    r->overdue.data = r;
    ev_timer_init(&r->counts, on_counts_due, 0., 0.);
    r->io.data = r->urgent.data = r->gather.data = r->counts.data = r;
    set_silent(r, true);
    return r;
}

void recorder_free(struct recorder *r)
{
    if (!r) return;
    size_t lost = 0;
    for (struct entry *e = r->records.unsent; e; e = e->next) lost++;
    disconnect(r);
    give_up(r);
    ev_prepare_stop(r->loop, &r->urgent);
    ev_timer_stop(r->loop, &r->gather);
    ev_timer_stop(r->loop, &r->counts);
    ev_timer_stop(r->loop, &r->overdue);
    atomic_fetch_add(&r->shared->lost, lost);
    unwritten_fini(&r->records);
    set_silent(r, false);
    free(r);
}

void recorder_watch(struct recorder *r, void (*lost)(void *arg), void *arg)
{
    r->lost = lost;
    r->lost_arg = arg;
}

void recorder_connect(struct recorder *r, int fd)
{
    disconnect(r);
    r->fd = fd;
    watch(r, EV_READ);
    set_silent(r, false);
    expect_answer(r);
}

static bool is_answered(const struct recorder *r)
{
    return !r->records.unsent && (!r->records.head || r->silent);
}

bool recorder_is_connected(const struct recorder *r)
{
    return r->fd >= 0;
}

bool recorder_finish(struct recorder *r, int64_t deadline_ns)
{
    enum { MS = 1000000 };
    for (;;) {
        receive(r);
        if (r->fd >= 0) send_all(r);
        int64_t left = deadline_ns - clock_steady_ns();
        if (r->fd < 0 || is_answered(r) || left <= 0) return !r->records.head;
        short wanted = r->known && r->records.unsent ? POLLIN | POLLOUT : POLLIN;
        struct pollfd p = {.fd = r->fd, .events = wanted};
        poll(&p, 1, (int)(left / MS + 1));
    }
}

/* ---- records ---- */

struct fallback {
    struct audit_offer before;
    const struct audit_offer *now;
    struct timespec at;
    const struct audit_origin *origin;
};

static struct audit_stamp render_fallback(const void *what, struct text *out)
{
    const struct fallback *f = what;
    return audit_render_fallback(&f->before, f->now, f->at, f->origin, out);
}

static void submit_fallback(struct recorder *r, const struct audit_offer *offer,
                            const struct audit_origin *origin)
{
    struct fallback f = {.now = offer, .origin = origin};
    if (!recording_notice(r->shared, offer, &f.before)) return;
    clock_gettime(CLOCK_REALTIME, &f.at);
    if (!add(r, render_fallback, &f, NULL)) note_lost(r, 1);
}

static struct audit_stamp render_event(const void *what, struct text *out)
{
    return audit_render(what, out);
}

void recorder_submit_line(struct recorder *r, audit_renderer *render, const void *what,
                          const struct recorder_reply *reply)
{
    struct entry *e = add(r, render, what, reply);
    if (!e) {
        note_lost(r, 1);
        if (reply) reply->answer(reply->context, reply->token, false);
        return;
    }
    if (r->silent) entry_answer(e, false);
    if (reply)
        ev_prepare_start(r->loop, &r->urgent);
    else if (!ev_is_active(&r->gather))
        start_timer(r, &r->gather, gather_s);
}

void recorder_submit(struct recorder *r, const struct audit_event *e,
                     const struct audit_offer *offer, const struct recorder_reply *reply)
{
    recorder_submit_line(r, render_event, e, reply);
    if (offer && offer->present) submit_fallback(r, offer, e->origin);
}

struct counted {
    const struct audit_repeated *refusals;
    struct timespec at;
    const struct audit_origin *origin;
};

static struct audit_stamp render_counted(const void *what, struct text *out)
{
    const struct counted *c = what;
    return audit_render_repeated(c->refusals, c->at, c->origin, out);
}

/* A count that cannot be recorded counts as lost records. */
static void submit_repeated(struct recorder *r, const struct audit_repeated *counted,
                            const struct audit_origin *origin)
{
    struct counted c = {.refusals = counted, .origin = origin};
    clock_gettime(CLOCK_REALTIME, &c.at);
    if (!add(r, render_counted, &c, NULL)) note_lost(r, counted->count);
    ev_prepare_start(r->loop, &r->urgent);
}

bool recorder_count_refusal(struct recorder *r, const struct addr *source, const char *listener,
                            const char *destination, enum reason reason,
                            const struct audit_origin *origin, const struct recorder_reply *reply)
{
    struct audit_repeated displaced;
    bool counted = recording_count(r->shared, source, listener, destination, reason, &displaced);
    if (displaced.count) submit_repeated(r, &displaced, origin);
    if (counted && !ev_is_active(&r->counts)) {
        r->origin = *origin;
        start_timer(r, &r->counts, counts_s);
    }
    if (counted && reply) reply->answer(reply->context, reply->token, !r->silent);
    return counted;
}

void recorder_submit_counts(struct recorder *r, const struct audit_origin *origin, int64_t now_ns)
{
    struct audit_repeated counted;
    while (recording_take_count(r->shared, now_ns, &counted)) submit_repeated(r, &counted, origin);
}
