/* The clerk's senders: their records and its answers. */
#include "clerk_impl.h"

#include "audit/frame.h"
#include "audit/open_line.h"
#include "base/clock.h"
#include "base/diag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const int64_t lazy_ns = 50000000;
enum {
    SOME = 64 /* records */,
    SHARE = 262144 /* bytes of one sender before the next one's turn */,
    BLOCK = 65536
};

/* ---- a sender's answers ---- */

/* An answer that no caller waits for, and few records, can wait. */
static bool is_written_due(const struct sender *s)
{
    return s->tell_written && (s->urgent > s->told || s->written - s->told >= SOME ||
                               s->told_ns + lazy_ns <= clock_steady_ns());
}

/* At the end all is read, so that what cannot be written is counted. */
static bool may_read(const struct clerk *c)
{
    return c->ending || writer_has_room(c->writer);
}

void clerk_watch_sender(struct sender *s)
{
    bool answers = s->tell_known || is_written_due(s) || s->tell_failing;
    bool reads = !s->clerk->leaving && (s->replaced || may_read(s->clerk));
    int events = (reads ? EV_READ : 0) | (answers ? EV_WRITE : 0);
    if (s->fd < 0 || (ev_is_active(&s->io) && s->io.events == events)) return;
    ev_io_stop(s->clerk->loop, &s->io);
    ev_io_set(&s->io, s->fd, events);
    if (events) ev_io_start(s->clerk->loop, &s->io);
}

void clerk_close_sender(struct sender *s)
{
    if (s->fd < 0) return;
    ev_io_stop(s->clerk->loop, &s->io);
    close(s->fd);
    s->fd = -1;
    s->process->channels--;
    buf_fini(&s->in);
}

/* An answer goes out as a whole or not at all. */
static bool tell(const struct sender *s, enum frame_answer what, uint64_t number)
{
    uint8_t bytes[FRAME_ANSWER];
    frame_put_answer(what, number, bytes);
    return send(s->fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof bytes;
}

/* What is written first, then that more cannot be. */
void clerk_give_answers(struct sender *s, bool all)
{
    bool failing = writer_is_failing(s->clerk->writer);
    if (s->fd < 0 || s->replaced) return;
    s->tell_failing = failing && (s->tell_failing || s->tell_known || s->tell_written);
    if (s->tell_known && tell(s, ANSWER_KNOWN, s->known)) s->tell_known = false;
    if (!s->tell_known && (failing || all ? s->tell_written : is_written_due(s)) &&
        tell(s, ANSWER_WRITTEN, s->written)) {
        s->tell_written = false;
        s->told = s->written;
        s->told_ns = clock_steady_ns();
    }
    if (s->tell_written && !ev_is_active(&s->clerk->later))
        ev_timer_again(s->clerk->loop, &s->clerk->later);
    if (!s->tell_known && !s->tell_written && s->tell_failing &&
        tell(s, ANSWER_FAILING, s->failing))
        s->tell_failing = false;
    clerk_watch_sender(s);
}

static void on_answer(void *context, uint64_t number, bool written)
{
    struct sender *s = context;
    if (written) {
        s->written = number;
        s->tell_written = true;
    } else {
        s->failing = number;
        s->tell_failing = true;
    }
}

void clerk_end_if_done(struct clerk *c)
{
    bool open = false;
    for (const struct sender *s = c->senders; s; s = s->next) open = open || s->fd >= 0;
    if (c->ending && !open) ev_break(c->loop, EVBREAK_ALL);
}

/* All senders learn whether the file can be written. */
static void note_state(struct clerk *c)
{
    bool failing = writer_is_failing(c->writer);
    if (failing == c->failing) return;
    c->failing = failing;
    for (struct sender *s = c->senders; s; s = s->next)
        *(failing ? &s->tell_failing : &s->tell_written) = true;
}

void clerk_on_settled(void *context, bool all)
{
    struct clerk *c = context;
    note_state(c);
    for (struct sender **at = &c->senders; *at;) {
        struct sender *s = *at;
        clerk_give_answers(s, all);
        if (s->fd >= 0 || s->written < s->last.number) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        free(s);
    }
    processes_report(&c->processes, c->writer);
    clerk_end_if_left(c);
    clerk_end_if_done(c);
}

/* ---- a sender's records ---- */

/* The record says who sent what. */
static void reject(struct sender *s, const char *why)
{
    struct clerk *c = s->clerk;
    struct text detail = {0};
    text_printf(&detail, "%s: %s.", s->last.sender, why);
    diag_error("%s sent the audit log what is no record (%s): its connection is closed",
               s->last.sender, why);
    writer_submit_own(c->writer, AUDIT_LOG_REJECTED, text_string(&detail), NULL);
    text_fini(&detail);
    clerk_close_sender(s);
}

static const char *fault_of(const struct sender *s, const struct frame *f)
{
    if (f->number == 0 || f->number > INT64_MAX) return "a record's number is out of range";
    /* Its first record here may follow others that are no longer near the log's end. */
    if (s->sends ? f->number != s->last.number + 1 : f->number <= s->last.number)
        return "a record's number is out of order";
    if (audit_action_sender(f->stamp.action) != s->role) return "such a record is not its to send";
    if (!open_line_is_sound(f->line, audit_action_name(f->stamp.action)))
        return "a line is malformed";
    return NULL;
}

static void take_record(struct sender *s, const struct frame *f)
{
    struct text line = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    text_reserve(&line, f->line.n + RECEIPT_ROOM + CHAIN_ROOM);
    text_add_bytes(&line, f->line.p, f->line.n);
    opened_note(&s->process->opened, f->stamp.action, f->line);
    s->last.number = f->number;
    s->sends = true;
    receipt_add(&s->last, now, &line);
    if (f->lost) writer_note_lost(s->clerk->writer, s->last.sender, f->lost);
    struct writer_reply reply = {on_answer, s, f->number};
    if (f->urgent) s->urgent = f->number;
    writer_submit(s->clerk->writer, f->stamp, &line, &reply);
}

/* False when the sender is closed. */
static bool take_records(struct sender *s)
{
    struct frame f;
    size_t used;
    for (;;) {
        struct span bytes = {buf_head(&s->in), buf_size(&s->in)};
        enum frame_result result = frame_read(bytes, &f, &used);
        if (result == FRAME_PART) return true;
        const char *fault = result == FRAME_BAD ? "what it sent is no frame" : fault_of(s, &f);
        if (fault) {
            reject(s, fault);
            return false;
        }
        take_record(s, &f);
        buf_consume(&s->in, used);
    }
}

/* What it sent before it closed is taken, too. */
static void receive(struct sender *s)
{
    for (size_t taken = 0; taken < SHARE && may_read(s->clerk);) {
        uint8_t *room = buf_reserve(&s->in, BLOCK);
        if (!room) return; /* try again later: nothing is lost */
        ssize_t n = recv(s->fd, room, BLOCK, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            clerk_close_sender(s);
            return;
        }
        buf_commit(&s->in, (size_t)n);
        taken += (size_t)n;
        if (!take_records(s) || n < BLOCK) return;
    }
}

void clerk_take_last(struct sender *s)
{
    if (s->fd >= 0) receive(s);
    if (s->fd >= 0) clerk_watch_sender(s);
}

void clerk_replace_sender(struct sender *s)
{
    s->replaced = true;
    s->tell_known = s->tell_written = s->tell_failing = false;
    clerk_watch_sender(s);
}

/* Until its recorder closes it. */
static void discard(struct sender *s)
{
    uint8_t unused[4096];
    ssize_t n = recv(s->fd, unused, sizeof unused, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) clerk_close_sender(s);
}

/* All is in the file and answered, or cannot be written. */
static bool has_left(const struct clerk *c)
{
    bool failing = writer_is_failing(c->writer);
    for (const struct sender *s = c->senders; s; s = s->next)
        if (s->fd >= 0 && !s->replaced && s->written < s->last.number && !failing) return false;
    return true;
}

void clerk_end_if_left(struct clerk *c)
{
    if (!c->leaving || (c->writer && !has_left(c))) return;
    for (struct sender *s = c->senders; s; s = s->next) clerk_close_sender(s);
    clerk_end_if_done(c);
}

void clerk_on_sender(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct sender *s = io->data;
    struct clerk *c = s->clerk;
    if (events & EV_READ && s->replaced)
        discard(s);
    else if (events & EV_READ)
        receive(s);
    if (events & EV_WRITE) clerk_give_answers(s, false);
    clerk_watch_sender(s);
    if (s->fd < 0) clerk_on_settled(c, false);
}
