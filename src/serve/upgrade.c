#include "serve/upgrade.h"

#include "upgrade_order.h"

#include "base/errand.h"
#include "base/post.h"
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The next one has this long to serve: a configuration with large lists takes a while. */
static const double patience_s = 60;
/* Nothing can be recorded while it starts its clerk: less than RECORDING_WAIT_S. */
static const double clerk_s = 4;

struct upgrade {
    struct ev_loop *loop;
    struct upgrade_events events;
    pid_t pid; /* 0: none */
    int post;  /* -1: closed */
    bool serving, failed;
    ev_io news;
    ev_child ended;
    ev_timer overdue;
};

/* ---- the next keeper ---- */

static void fail(struct upgrade *u, const char *why)
{
    if (u->serving || u->failed) return;
    u->failed = true;
    ev_timer_stop(u->loop, &u->overdue);
    u->events.failed(u->events.arg, why);
}

static void close_post(struct upgrade *u)
{
    ev_io_stop(u->loop, &u->news);
    if (u->post >= 0) close(u->post);
    u->post = -1;
}

static void expect(struct upgrade *u, double seconds)
{
    ev_now_update(u->loop);
    ev_timer_stop(u->loop, &u->overdue);
    ev_timer_set(&u->overdue, seconds, 0.);
    ev_timer_start(u->loop, &u->overdue);
}

static void take(struct upgrade *u, const struct text *news)
{
    size_t at = 0;
    const char *what = post_next(news, &at), *field = what ? post_next(news, &at) : NULL;
    if (!field) return;
    if (strcmp(what, NEXT_CHECKED) == 0) {
        u->events.checked(u->events.arg);
    } else if (strcmp(what, NEXT_RECORDING) == 0) {
        expect(u, patience_s);
        u->events.recording(u->events.arg);
    } else if (strcmp(what, NEXT_SERVING) == 0) {
        u->serving = true;
        ev_timer_stop(u->loop, &u->overdue);
        u->events.serving(u->events.arg, field);
    } else if (strcmp(what, NEXT_REFUSED) == 0) {
        fail(u, field);
    }
}

static void on_news(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct upgrade *u = io->data;
    struct text news = {0};
    if (post_receive(u->post, &news, NULL))
        take(u, &news);
    else if (errno == 0 || errno == ECONNRESET)
        close_post(u); /* how it has ended is known in a moment */
    text_fini(&news);
}

static void describe_end(int status, struct text *why)
{
    if (WIFSIGNALED(status))
        text_printf(why, "the next process was ended by signal %d\n", WTERMSIG(status));
    else if (WEXITSTATUS(status) == SPAWN_FAILED)
        text_printf(why, "%s cannot be started\n", spawn_path());
    else
        text_printf(why, "the next process ended with status %d\n", WEXITSTATUS(status));
}

static void on_ended(struct ev_loop *loop, ev_child *child, int events)
{
    (void)events;
    struct upgrade *u = child->data;
    struct text why = {0}, news = {0};
    ev_child_stop(loop, child);
    u->pid = 0;
    while (u->post >= 0 && post_receive(u->post, &news, NULL)) { /* its last words */
        size_t at = 0;
        const char *what = post_next(&news, &at), *field = what ? post_next(&news, &at) : NULL;
        if (field && strcmp(what, NEXT_REFUSED) == 0) text_add(&why, field);
    }
    if (why.size == 0) describe_end(child->rstatus, &why);
    fail(u, text_string(&why)); /* last: it may be freed */
    text_fini(&why);
    text_fini(&news);
}

static void on_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    fail(timer->data, "the next process does not serve in time\n");
}

/* ---- the start ---- */

/* Descriptors for it and their names. */
struct baggage {
    int *fds;
    size_t n;
    struct text names;
};

static void pack(struct baggage *b, int fd, const char *mark, const char *name)
{
    text_printf(&b->names, "%s%s%s", b->n ? ":" : "", mark, name);
    b->fds[b->n++] = fd;
}

static bool pack_all(struct baggage *b, const struct upgrade_with *with, int post)
{
    size_t count = 3;
    for (size_t i = 0; i < with->sockets->n; i++) count += with->sockets->items[i]->n;
    b->fds = calloc(count, sizeof *b->fds);
    if (!b->fds) return false;
    pack(b, post, "", INHERITED_POST);
    if (with->control >= 0) pack(b, with->control, "", INHERITED_CONTROL);
    if (with->sockets->operate) pack(b, with->sockets->operate->fds[0], "", INHERITED_OPERATE);
    for (size_t i = 0; i < with->sockets->n; i++)
        for (unsigned k = 0; k < with->sockets->items[i]->n; k++)
            pack(b, with->sockets->items[i]->fds[k],
                 with->sockets->items[i]->kept ? INHERITED_KEPT : "",
                 with->loaded->config->listeners[i].name);
    return !b->names.failed;
}

static bool start(struct upgrade *u, const struct upgrade_with *with, struct text *errors)
{
    struct baggage b = {0};
    int ends[2];
    char *file = text_copy(with->config_file, strlen(with->config_file));
    char program[] = "suitegate", run[] = "run", option[] = "-c";
    char *const argv[] = {program, run, option, file, NULL};
    bool ok = file && post_pair(ends);
    if (ok) {
        u->post = ends[0];
        ok = pack_all(&b, with, ends[1]);
        u->pid = ok ? spawn_successor(argv, b.fds, b.n, text_string(&b.names)) : -1;
        int fault = errno;
        close(ends[1]);
        ok = u->pid > 0;
        errno = fault;
    }
    if (!ok) text_printf(errors, "%s cannot be started: %s\n", spawn_path(), strerror(errno));
    if (!ok) u->pid = 0;
    free(file);
    free(b.fds);
    text_fini(&b.names);
    return ok;
}

struct upgrade *upgrade_new(struct ev_loop *loop, const struct upgrade_with *with,
                            const struct upgrade_events *events, struct text *errors)
{
    struct upgrade *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    *u = (struct upgrade){.loop = loop, .events = *events, .post = -1};
    ev_init(&u->news, on_news);
    ev_init(&u->ended, on_ended);
    ev_timer_init(&u->overdue, on_overdue, 0., 0.);
    u->news.data = u->ended.data = u->overdue.data = u;
    if (!start(u, with, errors)) {
        upgrade_free(u);
        return NULL;
    }
    ev_io_set(&u->news, u->post, EV_READ);
    ev_io_start(loop, &u->news);
    ev_child_set(&u->ended, u->pid, 0);
    ev_child_start(loop, &u->ended);
    expect(u, patience_s);
    return u;
}

static bool say(int post, const char *what, const char *field)
{
    struct text message = {0};
    post_put(&message, what);
    post_put(&message, field);
    if (!message.failed && message.size > POST_LIMIT) {
        message.size = POST_LIMIT;
        message.data[POST_LIMIT - 1] = '\0';
    }
    bool ok = post >= 0 && post_send(post, &message, -1);
    text_fini(&message);
    return ok;
}

void upgrade_go(struct upgrade *u)
{
    expect(u, clerk_s);
    (void)!say(u->post, FORMER_GO, ""); /* if it is gone, that is known in a moment */
}

pid_t upgrade_process(const struct upgrade *u)
{
    return u->pid;
}

static void kill_children(const char *list)
{
    char text[256], *next;
    int fd = open(list, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0) close(fd);
    for (long part = strtol(text, &next, 10); part > 1; part = strtol(next, &next, 10))
        kill((pid_t)part, SIGKILL);
}

/* With its clerk and proxy: one that hangs would keep the log locked. */
static void kill_all(void *arg)
{
    const pid_t pid = *(const pid_t *)arg;
    char pattern[64];
    glob_t lists = {0}; /* each thread has its own children */
    snprintf(pattern, sizeof pattern, "/proc/%ld/task/*/children", (long)pid);
    kill(pid, SIGSTOP); /* it starts no others meanwhile */
    if (glob(pattern, GLOB_NOSORT, NULL, &lists) == 0)
        for (size_t i = 0; i < lists.gl_pathc; i++) kill_children(lists.gl_pathv[i]);
    globfree(&lists);
    kill(pid, SIGKILL);
}

void upgrade_free(struct upgrade *u)
{
    int status;
    if (!u) return;
    ev_timer_stop(u->loop, &u->overdue);
    ev_child_stop(u->loop, &u->ended);
    close_post(u);
    bool runs = u->pid > 0 && !u->serving;
    if (runs) errand_run(kill_all, &u->pid);
    while (runs && waitpid(u->pid, &status, 0) < 0 && errno == EINTR)
        ;
    free(u);
}

/* ---- in the next keeper ---- */

bool successor_checked(int post)
{
    struct text answer = {0};
    size_t at = 0;
    post_set_wait(post, POST_WAIT_S);
    bool told = say(post, NEXT_CHECKED, "") && post_receive(post, &answer, NULL);
    const char *what = told ? post_next(&answer, &at) : NULL;
    bool go = what && strcmp(what, FORMER_GO) == 0;
    text_fini(&answer);
    return go;
}

void successor_recording(int post)
{
    (void)!say(post, NEXT_RECORDING, "");
}

void successor_serving(int post)
{
    (void)!say(post, NEXT_SERVING, SUITEGATE_VERSION);
}

void successor_refused(int post, const struct text *why)
{
    (void)!say(post, NEXT_REFUSED, why->size ? text_string(why) : "out of memory\n");
}
