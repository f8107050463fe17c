#include "audit/clerk.h"

#include "clerk_order.h"
#include "processes.h"

#include "audit/frame.h"
#include "audit/open_line.h"
#include "audit/writer.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/diag.h"
#include "pki/keys.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const double lazy_s = .05;
static const int64_t lazy_ns = 50000000;
enum {
    SOME = 64 /* records */,
    SHARE = 262144 /* bytes of one sender before the next one's turn */,
    BLOCK = 65536,
    ANSWER_LIMIT = 16384
};

struct clerk;

struct sender {
    struct sender *next;
    struct clerk *clerk;
    struct process *process;
    enum audit_sender role;
    int fd; /* -1: closed */
    ev_io io;
    struct buf in;
    struct receipt last;   /* of its last record that was taken */
    bool sends;            /* it has sent a record on this socket */
    uint64_t urgent, told; /* its last record that a caller waits for; the last WRITTEN */
    int64_t told_ns;
    uint64_t known, written, failing; /* what its answers must say: the record's number */
    bool tell_known, tell_written, tell_failing;
};

struct clerk {
    struct ev_loop *loop;
    int post; /* -1: the keeper is gone */
    ev_io post_io;
    struct timespec start;
    struct writer *writer; /* NULL: no log yet */
    struct sender *senders;
    struct process *processes;
    ev_timer later; /* answers that can wait */
    bool failing;   /* what the senders know */
    bool ending;
    bool asked; /* to end: the keeper waits for the answer */
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

static void watch(struct sender *s)
{
    bool answers = s->tell_known || is_written_due(s) || s->tell_failing;
    int events = (may_read(s->clerk) ? EV_READ : 0) | (answers ? EV_WRITE : 0);
    if (s->fd < 0 || (ev_is_active(&s->io) && s->io.events == events)) return;
    ev_io_stop(s->clerk->loop, &s->io);
    ev_io_set(&s->io, s->fd, events);
    if (events) ev_io_start(s->clerk->loop, &s->io);
}

static void close_sender(struct sender *s)
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
static void give_answers(struct sender *s, bool all)
{
    bool failing = writer_is_failing(s->clerk->writer);
    if (s->fd < 0) return;
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
    watch(s);
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

static void end_if_done(struct clerk *c)
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

/* After each round of the writer. A closed sender is kept while it has records under way. */
static void on_settled(void *context, bool all)
{
    struct clerk *c = context;
    note_state(c);
    for (struct sender **at = &c->senders; *at;) {
        struct sender *s = *at;
        give_answers(s, all);
        if (s->fd >= 0 || s->written < s->last.number) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        free(s);
    }
    processes_report(&c->processes, c->writer);
    end_if_done(c);
}

static void on_later(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    ev_timer_stop(loop, timer);
    on_settled(timer->data, false);
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
    close_sender(s);
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
            close_sender(s);
            return;
        }
        buf_commit(&s->in, (size_t)n);
        taken += (size_t)n;
        if (!take_records(s) || n < BLOCK) return;
    }
}

static void on_sender(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct sender *s = io->data;
    struct clerk *c = s->clerk;
    if (events & EV_READ) receive(s);
    if (events & EV_WRITE) give_answers(s, false);
    watch(s);
    if (s->fd < 0) on_settled(c, false);
}

/* ---- orders ---- */

/* Only names that receipt_name() makes, each of one sender: a new socket replaces its former one,
 * once what came over that is written. */
static bool may_begin(struct clerk *c, const char *role, const char *name)
{
    size_t n = strlen(role);
    for (const char *p = name; *p; p++)
        if (!strchr("-.:0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", *p))
            return false;
    if (strncmp(name, role, n) != 0 || name[n] != '-' || strlen(name) >= RECEIPT_SENDER)
        return false;
    for (struct sender *s = c->senders; s; s = s->next) {
        if (strcmp(s->last.sender, name) != 0) continue;
        if (s->written < s->last.number) return false;
        close_sender(s);
    }
    return true;
}

static bool add_sender(struct clerk *c, const struct text *order, size_t at, int fd,
                       struct text *errors)
{
    const char *role = post_next(order, &at), *name = role ? post_next(order, &at) : NULL;
    bool known = name && (strcmp(role, "keeper") == 0 || strcmp(role, "proxy") == 0);
    bool good = known && fd >= 0 && c->writer && may_begin(c, role, name);
    struct sender *s = good ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        text_add(errors, fd < 0 ? "the clerk has no descriptor for a sender\n"
                                : "the clerk cannot add a sender\n");
        if (fd >= 0) close(fd);
        return false;
    }
    s->clerk = c;
    s->fd = fd;
    s->role = strcmp(role, "keeper") == 0 ? AUDIT_BY_KEEPER : AUDIT_BY_PROXY;
    snprintf(s->last.sender, RECEIPT_SENDER, "%s", name);
    size_t n;
    const struct receipt *earlier = writer_last_receipts(c->writer, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(earlier[i].sender, name) == 0) s->last.number = earlier[i].number;
    s->process = processes_join(&c->processes, name, s->last.number > 0);
    if (!s->process) {
        text_add(errors, "the clerk has no memory for a sender\n");
        free(s);
        close(fd);
        return false;
    }
    s->known = s->told = s->written = s->last.number;
    s->tell_known = true;
    ev_io_init(&s->io, on_sender, fd, EV_READ);
    s->io.data = s;
    s->next = c->senders;
    c->senders = s;
    give_answers(s, false);
    return true;
}

/* Its sockets may still have records. */
static bool note_end(struct clerk *c, const struct text *order, size_t at)
{
    const char *name = post_next(order, &at), *how = name ? post_next(order, &at) : NULL;
    if (!how || !c->writer || !processes_end(&c->processes, name, how)) return false;
    processes_report(&c->processes, c->writer);
    return true;
}

static bool open_log(struct clerk *c, const struct text *order, size_t at, struct text *errors)
{
    struct audit_config config = {0};
    const char *profile = post_next(order, &at), *digest = profile ? post_next(order, &at) : NULL;
    const struct audit_policy policy = {profile, digest};
    struct writer_events events = {on_settled, c};
    char name[RECEIPT_SENDER];
    bool ok = digest && clerk_order_read_config(order, at, &config);
    if (!ok) {
        text_add(errors, "the clerk has no memory\n");
    } else if (c->writer) {
        ok = writer_reopen(c->writer, &config, *profile ? &policy : NULL, errors);
    } else {
        receipt_name("clerk", getpid(), c->start, 0, name);
        c->writer = writer_new(c->loop, &config, &policy, name, &events, errors);
        ok = c->writer != NULL;
    }
    clerk_order_free_config(&config);
    return ok;
}

static void answer_keeper(struct clerk *c, const char *field)
{
    struct text answer = {0};
    post_put(&answer, field);
    if (answer.size > ANSWER_LIMIT) { /* many faults: the first ones */
        answer.size = ANSWER_LIMIT;
        answer.data[ANSWER_LIMIT - 1] = '\0';
    }
    if (c->post >= 0) (void)!post_send(c->post, &answer, -1);
    text_fini(&answer);
}

static void begin_end(struct clerk *c)
{
    c->ending = true;
    for (struct sender *s = c->senders; s; s = s->next) watch(s);
}

static void obey(struct clerk *c, const struct text *order, int fd)
{
    struct text errors = {0};
    size_t at = 0;
    const char *kind = post_next(order, &at);
    if (!kind) return;
    if (strcmp(kind, ORDER_END) == 0) {
        c->asked = true;
        begin_end(c);
        return;
    }
    bool ok = strcmp(kind, ORDER_SENDER) == 0  ? add_sender(c, order, at, fd, &errors)
              : strcmp(kind, ORDER_ENDED) == 0 ? note_end(c, order, at)
              : strcmp(kind, ORDER_PING) == 0  ? true
                                               : open_log(c, order, at, &errors);
    if (!ok && errors.size == 0) text_add(&errors, "out of memory\n");
    answer_keeper(c, ok ? "" : text_string(&errors));
    text_fini(&errors);
}

static void on_post(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct clerk *c = io->data;
    struct text order = {0};
    int fd;
    if (post_receive(c->post, &order, &fd)) {
        obey(c, &order, fd);
    } else if (errno != 0 && errno != ECONNRESET) {
        answer_keeper(c, "the clerk has no descriptor or no memory\n");
    } else { /* the keeper is gone */
        ev_io_stop(loop, &c->post_io);
        close(c->post);
        c->post = -1;
        begin_end(c);
    }
    text_fini(&order);
    end_if_done(c);
}

/* ---- its life ---- */

/* Files, its sockets, names of syslog hosts, threads for further sinks. */
/* clang-format off */
static const char *const calls[] = {
    "read", "pread64", "readv", "write", "pwrite64", "writev", "lseek", "openat", "close",
    "fstat", "newfstatat", "statx", "fstatfs", "statfs", "getdents64", "readlink",
    "readlinkat", "flock", "ftruncate", "fsync", "fdatasync", "fchmod",
    "unlink",
    "socket", "connect", "bind", "send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom",
    "recvmsg", "shutdown", "getsockopt", "setsockopt", "getsockname", "getpeername", "poll",
    "ppoll", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "pipe2",
    "ioctl", "uname", "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mlock",
    "munlock", "futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "gettid",
    "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "sysinfo", "prctl",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
    "exit", "exit_group", NULL};
/* clang-format on */

bool clerk_run(int post)
{
    struct clerk c = {.post = post, .loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV)};
    if (!c.loop) return false;
    clock_gettime(CLOCK_REALTIME, &c.start);
    confine_signals();
    if (!confine_calls(calls, false))
        diag_warning("the kernel does not limit the clerk's system calls (seccomp)");
    ev_io_init(&c.post_io, on_post, post, EV_READ);
    c.post_io.data = &c;
    ev_timer_init(&c.later, on_later, 0., lazy_s);
    c.later.data = &c;
    ev_io_start(c.loop, &c.post_io);
    ev_run(c.loop, 0);
    size_t lost = c.writer ? writer_free(c.writer) : 0;
    while (c.senders) {
        struct sender *s = c.senders;
        c.senders = s->next;
        close_sender(s);
        free(s);
    }
    processes_free(&c.processes);
    char count[TEXT_DECIMAL_SIZE];
    text_decimal(lost, count);
    if (c.asked) answer_keeper(&c, count);
    if (lost && !c.asked) diag_error("%zu audit records could not be written", lost);
    if (c.post >= 0) close(c.post);
    ev_loop_destroy(c.loop);
    random_thread_fini();
    buf_thread_fini();
    return lost == 0;
}
