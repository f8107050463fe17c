#include "serve/proxy_process.h"

#include "proxy_order.h"

#include "audit/recorder.h"
#include "base/confine.h"
#include "base/diag.h"
#include "base/post.h"
#include "base/spawn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its records may take RECORDING_END_S. */
static const double close_s = 3 * RECORDING_END_S;
/* Until it has loaded a configuration, or uses it. */
static const double answer_s = 60;
/* It lives on without its post. */
static const double post_closed_s = 10;
enum { LAST_WORDS = 64 };

struct proxy_process {
    struct ev_loop *loop;
    struct proxy_events events;
    struct timespec start;
    pid_t pid; /* 0: none */
    bool ended, told_to_end, told_to_close;
    int post; /* -1: closed */
    struct proxy_end end;
    ev_io news;
    ev_child child;
    ev_timer overdue;
};

static void expect(struct proxy_process *p, double seconds)
{
    ev_now_update(p->loop);
    ev_timer_stop(p->loop, &p->overdue);
    ev_timer_set(&p->overdue, seconds, 0.);
    ev_timer_start(p->loop, &p->overdue);
}

/* ---- what it tells ---- */

static unsigned long at_most(const char *digits, unsigned long most)
{
    unsigned long n = strtoul(digits, NULL, 10);
    return n < most ? n : most;
}

static void note_end(struct proxy_process *p, const struct text *news, size_t at)
{
    const char *silent = post_next(news, &at), *lost = silent ? post_next(news, &at) : NULL;
    if (!lost || !p->told_to_end) return;
    p->end.orderly = true;
    p->end.silent = at_most(silent, UINT32_MAX);
    p->end.lost = at_most(lost, UINT32_MAX);
}

static void take_news(struct proxy_process *p, const struct text *news)
{
    size_t at = 0;
    const char *kind = post_next(news, &at);
    if (!kind) return;
    bool answers = strcmp(kind, NEWS_LOADED) == 0 || strcmp(kind, NEWS_REFUSED) == 0 ||
                   strcmp(kind, NEWS_USED) == 0;
    if (answers && !p->told_to_end) ev_timer_stop(p->loop, &p->overdue);
    if (strcmp(kind, NEWS_LOADED) == 0) {
        p->events.loaded(p->events.arg);
    } else if (strcmp(kind, NEWS_REFUSED) == 0) {
        const char *faults = post_next(news, &at);
        p->events.refused(p->events.arg, faults ? faults : "");
    } else if (strcmp(kind, NEWS_USED) == 0) {
        p->events.used(p->events.arg);
    } else if (strcmp(kind, NEWS_MISSED) == 0) {
        const char *channel = post_next(news, &at);
        p->events.missed(p->events.arg, channel ? (unsigned)strtoul(channel, NULL, 10) : 0);
    } else if (strcmp(kind, NEWS_DRAINED) == 0) {
        p->events.drained(p->events.arg);
    } else if (strcmp(kind, NEWS_ENDED) == 0) {
        note_end(p, news, at);
    }
}

static void close_post(struct proxy_process *p)
{
    ev_io_stop(p->loop, &p->news);
    if (p->post >= 0) close(p->post);
    p->post = -1;
}

static void on_news(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct proxy_process *p = io->data;
    struct text news = {0};
    if (post_receive(p->post, &news, NULL)) { /* it has no descriptor to give */
        take_news(p, &news);
    } else if (errno == 0 || errno == ECONNRESET) {
        close_post(p); /* it ends, or is made to */
        expect(p, post_closed_s);
    }
    text_fini(&news);
}

static bool has_news(const struct proxy_process *p)
{
    struct pollfd news = {.fd = p->post, .events = POLLIN};
    return poll(&news, 1, 0) > 0 && news.revents & POLLIN;
}

static void on_ended(struct ev_loop *loop, ev_child *child, int events)
{
    (void)events;
    struct proxy_process *p = child->data;
    int status = child->rstatus;
    struct text news = {0};
    ev_child_stop(loop, child);
    /* Its last words may not have been read; whoever else has its end is not waited for. */
    for (int i = 0; i < LAST_WORDS && p->post >= 0 && has_news(p); i++) {
        size_t at = 0;
        if (!post_receive(p->post, &news, NULL)) break;
        const char *kind = post_next(&news, &at);
        if (kind && strcmp(kind, NEWS_ENDED) == 0) note_end(p, &news, at);
    }
    text_fini(&news);
    close_post(p);
    p->ended = true;
    if (WIFSIGNALED(status)) {
        p->end.orderly = false;
        snprintf(p->end.how, sizeof p->end.how, "The proxy was ended by signal %d.",
                 WTERMSIG(status));
    } else if (WEXITSTATUS(status) == CONFINE_STATUS) {
        snprintf(p->end.how, sizeof p->end.how,
                 "The proxy made a system call that it never makes.");
    } else {
        snprintf(p->end.how, sizeof p->end.how, "The proxy ended with status %d.",
                 WEXITSTATUS(status));
    }
    const struct proxy_end end = p->end;
    p->events.ended(p->events.arg, &end);
}

/* ---- orders ---- */

static void give(struct proxy_process *p, const struct text *order, int fd)
{
    if (p->post < 0 || post_send(p->post, order, fd)) return;
    diag_error("the proxy takes no orders: %s", errno == EAGAIN ? "it hangs" : strerror(errno));
    if (!p->ended) spawn_signal(p->pid, SIGKILL);
    close_post(p);
}

static void give_word(struct proxy_process *p, const char *word)
{
    struct text order = {0};
    post_put(&order, word);
    give(p, &order, -1);
    text_fini(&order);
}

static void put_number(struct text *order, size_t n)
{
    char digits[TEXT_DECIMAL_SIZE];
    text_decimal(n, digits);
    post_put(order, digits);
}

static void give_socket(struct proxy_process *p, size_t listener, unsigned worker, int fd)
{
    struct text order = {0};
    post_put(&order, ORDER_SOCKET);
    put_number(&order, listener);
    put_number(&order, worker);
    give(p, &order, fd);
    text_fini(&order);
}

/* Takes fd. */
static void give_numbered(struct proxy_process *p, const char *word, unsigned number, int fd)
{
    struct text order = {0};
    post_put(&order, word);
    put_number(&order, number);
    give(p, &order, fd);
    text_fini(&order);
    close(fd);
}

void proxy_process_give_signer(struct proxy_process *p, unsigned worker, int fd)
{
    give_numbered(p, ORDER_SIGNER, worker, fd);
}

void proxy_process_load(struct proxy_process *p, const char *config_file, uint32_t serial,
                        int files, const struct sockets *sockets)
{
    struct text order = {0};
    for (size_t i = 0; i < sockets->n; i++)
        for (unsigned k = 0; k < sockets->items[i]->n; k++)
            give_socket(p, i, k, sockets->items[i]->fds[k]);
    if (sockets->operate) give_socket(p, sockets->n, 0, sockets->operate->fds[0]);
    post_put(&order, ORDER_LOAD);
    post_put(&order, config_file);
    put_number(&order, serial);
    give(p, &order, files);
    text_fini(&order);
    expect(p, answer_s);
}

void proxy_process_use(struct proxy_process *p)
{
    give_word(p, ORDER_USE);
    expect(p, answer_s);
}

void proxy_process_give_names(struct proxy_process *p, int fd)
{
    struct text order = {0};
    post_put(&order, ORDER_NAMES);
    give(p, &order, fd);
    text_fini(&order);
    close(fd);
}

void proxy_process_tell_state(struct proxy_process *p, const char *keeper, const char *clerk)
{
    struct text order = {0};
    post_put(&order, ORDER_STATE);
    post_put(&order, keeper);
    post_put(&order, clerk);
    give(p, &order, -1);
    text_fini(&order);
}

void proxy_process_show(struct proxy_process *p, const char *form, int fd)
{
    struct text order = {0};
    post_put(&order, ORDER_SHOW);
    post_put(&order, form);
    give(p, &order, fd);
    text_fini(&order);
}

void proxy_process_forget(struct proxy_process *p)
{
    give_word(p, ORDER_FORGET);
}

void proxy_process_connect(struct proxy_process *p, unsigned channel, int fd)
{
    give_numbered(p, ORDER_CLERK, channel, fd);
}

void proxy_process_drain(struct proxy_process *p, const struct sockets *sockets, bool all)
{
    struct text order = {0};
    p->told_to_end = true;
    ev_timer_stop(p->loop, &p->overdue);
    post_put(&order, ORDER_DRAIN);
    for (size_t i = 0; i < sockets->n; i++)
        if (all || sockets->items[i]->kept) put_number(&order, i);
    if (all) put_number(&order, sockets->n);
    give(p, &order, -1);
    text_fini(&order);
}

static void on_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct proxy_process *p = timer->data;
    ev_timer_stop(loop, timer);
    diag_error("the proxy does not answer: it is killed");
    if (!p->ended) spawn_signal(p->pid, SIGKILL);
}

void proxy_process_close(struct proxy_process *p)
{
    if (!p->told_to_close) expect(p, close_s);
    p->told_to_end = p->told_to_close = true;
    give_word(p, ORDER_CLOSE);
}

/* ---- its life ---- */

pid_t proxy_process_pid(const struct proxy_process *p)
{
    return p->pid;
}

void proxy_process_name(const struct proxy_process *p, unsigned channel, char out[RECEIPT_SENDER])
{
    receipt_name("proxy", p->pid, p->start, channel, out);
}

static bool start(struct proxy_process *p, struct text *errors)
{
    int ends[2];
    if (!post_pair(ends)) {
        text_printf(errors, "no socket for the proxy: %s\n", strerror(errno));
        return false;
    }
    clock_gettime(CLOCK_REALTIME, &p->start);
    p->pid = spawn_part("proxy", ends[1]);
    int fault = errno;
    close(ends[1]);
    p->post = ends[0];
    if (p->pid > 0) return true;
    p->pid = 0;
    text_printf(errors, "the proxy cannot be started: %s\n", strerror(fault));
    return false;
}

struct proxy_process *proxy_process_new(struct ev_loop *loop, const struct proxy_events *events,
                                        struct text *errors)
{
    struct proxy_process *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    *p = (struct proxy_process){.loop = loop, .events = *events, .post = -1};
    ev_init(&p->news, on_news);
    ev_init(&p->child, on_ended);
    ev_timer_init(&p->overdue, on_overdue, close_s, 0.);
    p->news.data = p->child.data = p->overdue.data = p;
    if (!start(p, errors)) {
        proxy_process_free(p);
        return NULL;
    }
    ev_io_set(&p->news, p->post, EV_READ);
    ev_io_start(loop, &p->news);
    ev_child_set(&p->child, p->pid, 0);
    ev_child_start(loop, &p->child);
    return p;
}

void proxy_process_free(struct proxy_process *p)
{
    int status;
    if (!p) return;
    ev_child_stop(p->loop, &p->child);
    ev_timer_stop(p->loop, &p->overdue);
    close_post(p);
    bool runs = p->pid > 0 && !p->ended;
    if (runs) spawn_signal(p->pid, SIGKILL);
    while (runs && waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    free(p);
}
