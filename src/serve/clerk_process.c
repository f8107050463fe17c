#include "serve/clerk_process.h"

#include "audit/clerk.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/diag.h"
#include "base/post.h"
#include "base/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* One that ended within a second of its start is started again later. */
static const double again_s = .2;
static const int64_t second_ns = 1000000000;

struct clerk_process {
    struct ev_loop *loop;
    struct clerk_events events;
    const struct audit_config *config;
    const struct audit_origin *origin;
    pid_t pid;        /* 0: none */
    int post;         /* -1: none */
    int64_t since_ns; /* steady: when it was started */
    int kept;         /* what the former one knew (clerk_end()); -1: nothing */
    char how[64];     /* the former one ended */
    ev_child ended;
    ev_timer again;
    struct text state;           /* of the last ping that was answered */
    struct clerk_elsewhere next; /* find NULL: the clerk is this keeper's */
};

/* ---- one clerk ---- */

static void forget_kept(struct clerk_process *p)
{
    if (p->kept >= 0) close(p->kept);
    p->kept = -1;
}

static void drop(struct clerk_process *p)
{
    if (p->post >= 0) close(p->post);
    p->post = -1;
}

/* One that hangs would keep the log locked: it must not outlive its post. Another keeper's is only
 * left. */
static void end_hanging(struct clerk_process *p, bool alive)
{
    if (!alive && p->pid > 0) spawn_signal(p->pid, SIGKILL);
    if (!alive && p->next.find) drop(p);
}

/* There may be a post to another keeper's clerk by now. */
static bool has_post(struct clerk_process *p)
{
    if (p->post < 0 && p->next.find) p->post = p->next.find(p->next.arg);
    return p->post >= 0;
}

static bool start(struct clerk_process *p, struct text *errors)
{
    int ends[2];
    p->since_ns = clock_steady_ns();
    if (!post_pair(ends)) {
        text_printf(errors, "no socket for the clerk: %s\n", strerror(errno));
        return false;
    }
    p->pid = spawn_part("clerk", ends[1]);
    int fault = errno;
    close(ends[1]);
    p->post = ends[0];
    if (p->pid < 0) {
        p->pid = 0;
        drop(p);
        text_printf(errors, "the clerk cannot be started: %s\n", strerror(fault));
        return false;
    }
    bool alive, ok = clerk_open(p->post, p->config, p->origin, p->kept, &alive, errors);
    end_hanging(p, alive);
    if (ok) forget_kept(p);
    return ok;
}

static void watch(struct clerk_process *p)
{
    ev_child_stop(p->loop, &p->ended);
    if (p->pid == 0) return;
    ev_child_set(&p->ended, p->pid, 0);
    ev_child_start(p->loop, &p->ended);
}

static void start_again(struct clerk_process *p, double seconds)
{
    ev_now_update(p->loop);
    ev_timer_stop(p->loop, &p->again);
    ev_timer_set(&p->again, seconds, 0.);
    ev_timer_start(p->loop, &p->again);
}

static void try_again(struct clerk_process *p)
{
    struct text errors = {0};
    if (start(p, &errors)) {
        watch(p);
        diag_info("the clerk runs again");
        p->events.restarted(p->events.arg, p->how);
    } else {
        static int64_t last;
        size_t n = strcspn(text_string(&errors), "\n");
        if (diag_due(&last, (int64_t)10 * 1000000000))
            diag_error("the clerk cannot write the audit log: %.*s", (int)n, text_string(&errors));
        drop(p); /* it ends */
        watch(p);
        if (p->pid == 0) start_again(p, again_s);
    }
    text_fini(&errors);
}

static void on_ended(struct ev_loop *loop, ev_child *child, int events)
{
    (void)events;
    struct clerk_process *p = child->data;
    int status = child->rstatus;
    ev_child_stop(loop, child);
    if (WIFSIGNALED(status))
        snprintf(p->how, sizeof p->how, "The clerk was ended by signal %d.", WTERMSIG(status));
    else if (WEXITSTATUS(status) == CONFINE_STATUS)
        snprintf(p->how, sizeof p->how, "The clerk made a system call that it never makes.");
    else if (p->post >= 0)
        snprintf(p->how, sizeof p->how, "The clerk ended with status %d.", WEXITSTATUS(status));
    if (p->post >= 0) diag_error("%s", p->how);
    p->pid = 0;
    drop(p);
    start_again(p, clock_steady_ns() - p->since_ns > second_ns ? 0. : again_s);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    try_again(timer->data);
}

/* ---- its keeper's calls ---- */

struct clerk_process *clerk_process_new(struct ev_loop *loop, const struct audit_config *config,
                                        const struct audit_origin *origin,
                                        const struct clerk_events *events, struct text *errors)
{
    struct clerk_process *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    *p = (struct clerk_process){.loop = loop,
                                .events = *events,
                                .config = config,
                                .origin = origin,
                                .post = -1,
                                .kept = -1};
    spawn_remember();
    ev_child_init(&p->ended, on_ended, 0, 0);
    ev_timer_init(&p->again, on_again, again_s, 0.);
    p->ended.data = p->again.data = p;
    if (start(p, errors)) {
        watch(p);
        return p;
    }
    clerk_process_free(p);
    return NULL;
}

bool clerk_process_runs(const struct clerk_process *p)
{
    return p->post >= 0;
}

void clerk_process_revive(struct clerk_process *p)
{
    struct text errors = {0};
    int status;
    if (p->next.find) return;
    if (p->pid > 0 && waitpid(p->pid, &status, WNOHANG) == p->pid) {
        p->pid = 0;
        drop(p);
    }
    if (p->pid == 0 && !start(p, &errors)) drop(p);
    text_fini(&errors);
}

static void await_end(struct clerk_process *p)
{
    int status;
    while (p->pid > 0 && waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    p->pid = 0;
}

/* What has arrived is answered; its senders have the rest still. */
static void send_away(struct clerk_process *p)
{
    struct text unused = {0};
    size_t lost;
    ev_child_stop(p->loop, &p->ended);
    if (!clerk_end(p->post, &lost, &p->kept, &unused)) spawn_signal(p->pid, SIGKILL);
    text_fini(&unused);
    drop(p);
    await_end(p);
}

/* Another clerk, for other folders. If that cannot open the log, one as before goes on. */
static bool replace(struct clerk_process *p, const struct audit_config *config,
                    const struct audit_origin *origin, struct text *errors)
{
    const struct audit_config *former = p->config;
    const struct audit_origin *former_origin = p->origin;
    send_away(p);
    p->config = config;
    if (origin) p->origin = origin;
    p->how[0] = '\0'; /* nobody has failed */
    errors->size = 0;
    if (start(p, errors)) {
        watch(p);
        diag_info("another clerk writes the audit log: its folders are other ones");
        p->events.restarted(p->events.arg, p->how);
        return true;
    }
    drop(p);
    await_end(p);
    p->config = former;
    p->origin = former_origin;
    try_again(p);
    return false;
}

static bool has_same_key(const struct clerk_process *p, const struct audit_config *config,
                         struct text *errors)
{
    const char *before = p->config->key ? p->config->key : "";
    if (strcmp(p->config->file, config->file) != 0 || strcmp(p->config->file, "-") == 0 ||
        strcmp(before, config->key ? config->key : "") == 0)
        return true;
    errors->size = 0;
    text_add(errors, "[audit] key: another key for the same file needs a restart\n");
    return false;
}

bool clerk_process_reopen(struct clerk_process *p, const struct audit_config *config,
                          const struct audit_origin *origin, struct text *errors)
{
    if (p->post < 0) {
        text_add(errors, "the clerk is not running\n");
        return false;
    }
    bool alive, ok = clerk_open(p->post, config, origin, -1, &alive, errors);
    end_hanging(p, alive);
    if (!ok && strcmp(text_string(errors), CLERK_ELSEWHERE) == 0)
        return has_same_key(p, config, errors) && replace(p, config, origin, errors);
    if (!ok) return false;
    p->config = config;
    if (origin) p->origin = origin;
    return true;
}

int clerk_process_connect(struct clerk_process *p, enum audit_sender role, const char *name)
{
    struct text errors = {0};
    int fd = -1;
    bool alive = true;
    if (has_post(p) && !clerk_add_sender(p->post, role, name, &fd, &alive, &errors)) {
        end_hanging(p, alive);
        /* Another keeper's clerk may have made way for the next one: that is found anew. */
        if (!p->next.find)
            diag_error("%.*s", (int)strcspn(text_string(&errors), "\n"), text_string(&errors));
        fd = -1;
    }
    text_fini(&errors);
    return fd;
}

pid_t clerk_process_pid(const struct clerk_process *p)
{
    return p->pid;
}

bool clerk_process_ping(struct clerk_process *p)
{
    struct text errors = {0};
    bool alive = true, answers = p->post >= 0 && clerk_ping(p->post, &p->state, &alive, &errors);
    end_hanging(p, alive);
    if (!answers) p->state.size = 0;
    if (strcmp(text_string(&errors), CLERK_ELSEWHERE) == 0 && !p->next.find)
        answers = replace(p, p->config, p->origin, &errors);
    text_fini(&errors);
    return answers;
}

const char *clerk_process_state(const struct clerk_process *p)
{
    return p->state.size ? text_string(&p->state) : "";
}

bool clerk_process_note_end(struct clerk_process *p, const char *name, const char *how)
{
    struct text errors = {0};
    bool alive = true, ok = has_post(p) && clerk_note_end(p->post, name, how, &alive, &errors);
    end_hanging(p, alive);
    text_fini(&errors);
    return ok;
}

/* ---- at an upgrade ---- */

bool clerk_process_leave(struct clerk_process *p, const struct clerk_elsewhere *next)
{
    (void)!clerk_process_ping(p); /* a log whose folder was made anew begins there first */
    if (p->post < 0) return false;
    send_away(p);
    forget_kept(p);
    p->next = *next;
    return true;
}

void clerk_process_find(struct clerk_process *p)
{
    drop(p);
    (void)has_post(p);
}

void clerk_process_return(struct clerk_process *p)
{
    drop(p);
    p->next = (struct clerk_elsewhere){0};
    p->how[0] = '\0'; /* nobody has failed */
    try_again(p);
}

int clerk_process_add_keeper(struct clerk_process *p)
{
    struct text errors = {0};
    bool alive = true;
    int fd = -1;
    if (p->post >= 0 && !p->next.find && !clerk_add_keeper(p->post, &fd, &alive, &errors)) {
        end_hanging(p, alive);
        diag_error("%.*s", (int)strcspn(text_string(&errors), "\n"), text_string(&errors));
    }
    text_fini(&errors);
    return fd;
}

/* ---- the end ---- */

size_t clerk_process_free(struct clerk_process *p)
{
    struct text unused = {0};
    size_t lost = 0;
    if (!p) return 0;
    ev_child_stop(p->loop, &p->ended);
    ev_timer_stop(p->loop, &p->again);
    if (p->post >= 0 && !p->next.find && !clerk_end(p->post, &lost, NULL, &unused)) {
        end_hanging(p, false);
        lost = 1; /* at least: what it had is not known to be written */
    }
    if (unused.size)
        diag_error("%.*s", (int)strcspn(text_string(&unused), "\n"), text_string(&unused));
    drop(p);
    await_end(p);
    forget_kept(p);
    text_fini(&unused);
    text_fini(&p->state);
    free(p);
    return lost;
}
