#include "clerk_impl.h"

#include "clerk_order.h"

#include "audit/log_kept.h"

#include "base/confine.h"
#include "base/diag.h"
#include "base/snapshot.h"
#include "pki/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double lazy_s = .05;
enum { ANSWER_LIMIT = 16384 };

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
        if (s->fd < 0 && s->written == s->last.number) continue;
        if (s->written < s->last.number) return false;
        clerk_replace_sender(s);
    }
    return true;
}

static bool add_sender(const struct link *l, const struct text *order, size_t at, int fd,
                       struct text *errors)
{
    struct clerk *c = l->clerk;
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
    s->link = l;
    s->fd = fd;
    s->role = strcmp(role, "keeper") == 0 ? AUDIT_BY_KEEPER : AUDIT_BY_PROXY;
    snprintf(s->last.sender, RECEIPT_SENDER, "%s", name);
    size_t n;
    const struct receipt *earlier = writer_last_receipts(c->writer, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(earlier[i].sender, name) == 0) s->last.number = earlier[i].number;
    for (const struct sender *former = c->senders; former; former = former->next)
        if (strcmp(former->last.sender, name) == 0 && former->last.number > s->last.number)
            s->last.number = former->last.number;
    s->process = processes_join(&c->processes, name, s->last.number > 0);
    if (!s->process) {
        text_add(errors, "the clerk has no memory for a sender\n");
        free(s);
        close(fd);
        return false;
    }
    s->known = s->told = s->written = s->last.number;
    s->tell_known = true;
    ev_io_init(&s->io, clerk_on_sender, fd, EV_READ);
    s->io.data = s;
    s->next = c->senders;
    c->senders = s;
    clerk_give_answers(s, false);
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

/* Files, its sockets, names of syslog hosts, threads for further sinks. */
/* clang-format off */
static const char *const calls[] = {
    "read", "pread64", "readv", "write", "pwrite64", "writev", "lseek", "openat", "close",
    "fstat", "newfstatat", "statx", "fstatfs", "statfs", "getdents64", "readlink",
    "readlinkat", "flock", "ftruncate", "fsync", "fdatasync", "fchmod",
    "unlink", "unlinkat", "rename", "renameat", "renameat2", "access", "faccessat", "faccessat2",
    "socket", "connect", "bind", "send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom",
    "recvmsg", "shutdown", "getsockopt", "setsockopt", "getsockname", "getpeername", "poll",
    "ppoll", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "pipe2",
    "uname", "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mlock",
    "munlock", "futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "gettid",
    "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "sysinfo", "prctl",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
    "exit", "exit_group", "memfd_create", NULL};
/* clang-format on */

/* Before the first file is opened, and before the writer has threads. */
static bool confine(struct clerk *c, const struct audit_config *config)
{
    if (!clerk_places_confine(&c->places, config)) return false;
    if (!confine_calls(calls, 0))
        diag_warning("the kernel does not limit the clerk's system calls (seccomp)");
    return true;
}

/* Takes kept: of writer_conclude(), or -1. */
static void put_back(const struct audit_config *config, int kept)
{
    struct snapshot *s = kept >= 0 ? snapshot_open(kept) : NULL;
    if (s) log_put_back(config, s);
    snapshot_free(s);
    if (kept >= 0) close(kept);
}

static bool read_origin(const struct text *order, size_t *at, struct audit_origin *out)
{
    const char *instance = post_next(order, at);
    const char *profile = instance ? post_next(order, at) : NULL;
    const char *digest = profile ? post_next(order, at) : NULL;
    if (!digest) return false;
    text_fill(out->instance, sizeof out->instance, instance);
    text_fill(out->profile, sizeof out->profile, profile);
    text_fill(out->digest, sizeof out->digest, digest);
    return true;
}

/* Takes kept: what the clerk before knew, or -1. */
static bool open_log(struct clerk *c, const struct text *order, size_t at, int kept,
                     struct text *errors)
{
    struct audit_config config = {0};
    struct audit_origin origin;
    struct writer_events events = {clerk_on_settled, c};
    char name[RECEIPT_SENDER];
    bool ok = read_origin(order, &at, &origin) && clerk_order_read_config(order, at, &config);
    if (!ok) {
        text_add(errors, "the clerk has no memory\n");
    } else if (c->writer && !clerk_places_have(&c->places, &config)) {
        text_add(errors, CLERK_ELSEWHERE);
        ok = false;
    } else if (c->writer) {
        ok = writer_reopen(c->writer, &config, *origin.profile ? &origin : NULL, errors);
    } else {
        receipt_name("clerk", getpid(), c->start, 0, name);
        ok = confine(c, &config);
        if (ok) put_back(&config, kept);
        if (ok) kept = -1;
        if (ok) c->writer = writer_new(c->loop, &config, &origin, name, &events, errors);
        ok = c->writer != NULL;
    }
    if (kept >= 0) close(kept);
    clerk_order_free_config(&config);
    return ok;
}

static void describe(const struct clerk *c, struct text *out)
{
    struct log_state state;
    if (!c->writer) return;
    writer_describe(c->writer, &state);
    log_state_put(&state, out);
}

/* more: or NULL; fd: or -1. */
static void answer_keeper(const struct link *l, const char *field, const char *more, int fd)
{
    struct text answer = {0};
    post_put(&answer, field);
    if (more) post_put(&answer, more);
    if (answer.size > ANSWER_LIMIT) { /* many faults: the first ones */
        answer.size = ANSWER_LIMIT;
        answer.data[ANSWER_LIMIT - 1] = '\0';
    }
    (void)!post_send(l->post, &answer, fd);
    text_fini(&answer);
}

static void begin_end(struct clerk *c)
{
    c->ending = true;
    for (struct sender *s = c->senders; s; s = s->next) {
        bool stays = s->link && s->link->first;
        if (stays) {
            clerk_watch_sender(s);
        } else { /* it goes to the next clerk */
            clerk_take_last(s);
            clerk_close_sender(s);
        }
    }
}

static void begin_to_leave(struct clerk *c)
{
    c->ending = true;
    for (struct sender *s = c->senders; s; s = s->next) clerk_take_last(s);
    c->leaving = true;
    for (struct sender *s = c->senders; s; s = s->next) clerk_watch_sender(s);
    clerk_end_if_left(c);
}

static void on_post(struct ev_loop *loop, ev_io *io, int events);

/* Takes post. */
static bool add_link(struct clerk *c, int post)
{
    struct link *l = post < 0 ? NULL : calloc(1, sizeof *l);
    if (!l) {
        if (post >= 0) close(post);
        return false;
    }
    *l = (struct link){.next = c->links, .clerk = c, .post = post, .first = !c->links};
    c->links = l;
    ev_io_init(&l->io, on_post, post, EV_READ);
    l->io.data = l;
    ev_io_start(c->loop, &l->io);
    return true;
}

static void link_free(struct link *l)
{
    ev_io_stop(l->clerk->loop, &l->io);
    close(l->post);
    free(l);
}

static void drop_link(struct link *l)
{
    struct clerk *c = l->clerk;
    for (struct sender *s = c->senders; s; s = s->next)
        if (s->link == l) s->link = NULL;
    struct link **at = &c->links;
    while (*at != l) at = &(*at)->next;
    *at = l->next;
    link_free(l);
}

/* The orders of the first keeper only. */
static bool obey_first(struct link *l, const char *kind, const struct text *order, size_t at,
                       int fd, struct text *errors)
{
    if (l->first && strcmp(kind, ORDER_KEEPER) == 0) return add_link(l->clerk, fd);
    if (l->first && strcmp(kind, ORDER_OPEN) == 0) return open_log(l->clerk, order, at, fd, errors);
    if (fd >= 0) close(fd);
    text_add(errors, "the clerk does not know this order\n");
    return false;
}

static bool is_in_place(const struct clerk *c, struct text *errors)
{
    bool elsewhere = c->writer && clerk_places_have_changed(&c->places);
    if (elsewhere) text_add(errors, CLERK_ELSEWHERE);
    return !elsewhere;
}

static void obey(struct link *l, const struct text *order, int fd)
{
    struct text errors = {0}, state = {0};
    size_t at = 0;
    const char *kind = post_next(order, &at);
    if (!kind) return;
    bool leave = strcmp(kind, ORDER_LEAVE) == 0;
    if (l->first && (leave || strcmp(kind, ORDER_END) == 0)) {
        l->clerk->asked = l;
        if (leave)
            begin_to_leave(l->clerk);
        else
            begin_end(l->clerk);
        return;
    }
    bool ok = strcmp(kind, ORDER_SENDER) == 0  ? add_sender(l, order, at, fd, &errors)
              : strcmp(kind, ORDER_ENDED) == 0 ? note_end(l->clerk, order, at)
              : strcmp(kind, ORDER_PING) == 0  ? is_in_place(l->clerk, &errors)
                                               : obey_first(l, kind, order, at, fd, &errors);
    if (!ok && errors.size == 0) text_add(&errors, "out of memory\n");
    if (strcmp(kind, ORDER_PING) == 0 && post_next(order, &at)) describe(l->clerk, &state);
    answer_keeper(l, ok ? "" : text_string(&errors), text_string(&state), -1);
    text_fini(&errors);
    text_fini(&state);
}

/* It has given no order to end: it was killed, or has ended itself. */
static void note_keeper_gone(struct clerk *c)
{
    if (c->writer && !c->asked)
        writer_submit_own(c->writer, AUDIT_PROCESS_ENDED,
                          "The keeper has ended without notice. The proxy and the clerk end, too.",
                          NULL);
    begin_end(c);
}

static void on_post(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct link *l = io->data;
    struct clerk *c = l->clerk;
    struct text order = {0};
    int fd;
    if (post_receive(l->post, &order, &fd)) {
        obey(l, &order, fd);
    } else if (errno != 0 && errno != ECONNRESET) {
        answer_keeper(l, "the clerk has no descriptor or no memory\n", NULL, -1);
    } else { /* the keeper is gone */
        if (l->first) note_keeper_gone(c);
        drop_link(l);
    }
    text_fini(&order);
    clerk_end_if_done(c);
}

/* ---- its life ---- */

static void on_later(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    ev_timer_stop(loop, timer);
    clerk_on_settled(timer->data, false);
}

bool clerk_run(int post)
{
    struct clerk c = {.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV)};
    if (!c.loop) return false;
    clock_gettime(CLOCK_REALTIME, &c.start);
    confine_signals();
    ev_timer_init(&c.later, on_later, 0., lazy_s);
    c.later.data = &c;
    if (add_link(&c, post)) ev_run(c.loop, 0);
    int kept = c.writer && c.leaving ? writer_conclude(c.writer) : -1;
    size_t lost = c.writer ? writer_free(c.writer) : 0;
    while (c.senders) {
        struct sender *s = c.senders;
        c.senders = s->next;
        clerk_close_sender(s);
        free(s);
    }
    processes_free(&c.processes);
    clerk_places_fini(&c.places);
    char count[TEXT_DECIMAL_SIZE];
    text_decimal(lost, count);
    if (c.asked)
        answer_keeper(c.asked, count, NULL, kept);
    else if (lost)
        diag_error("%zu audit records could not be written", lost);
    if (kept >= 0) close(kept);
    for (struct link *l = c.links, *next; l; l = next) {
        next = l->next;
        link_free(l);
    }
    ev_loop_destroy(c.loop);
    random_thread_fini();
    buf_thread_fini();
    return lost == 0;
}
