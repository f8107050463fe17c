/* Upgrades: this keeper makes way for the next one, and has followed one before. */
#include "keeper_impl.h"

#include "serve/control_order.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/errand.h"
#include "base/notify.h"
#include "base/post.h"
#include "base/spawn.h"
#include "serve/own_records.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The newest keeper answers at once, unless it hangs. */
enum { FIND_SECONDS = 1 };
/* Former keepers have connected by then: to a new one, or again to this one. */
enum { FOLLOW_S = 2 };
/* A next keeper whose clerk does not answer twice in a row, at tries a second apart, is given up:
 * before RECORDING_WAIT_S are over. */
enum { SILENCE_LIMIT = 2 };
static const double look_s = 1;
/* By then this keeper's proxy accepts no more, unless it hangs. */
enum { DRAINED_S = 10 };
static const int64_t second_ns = 1000000000;

/* ---- the clerk of the newest keeper ---- */

static void leave_newest(struct keeper *k)
{
    ev_io_stop(k->loop, &k->news_of_newest);
    if (k->following >= 0) close(k->following);
    k->following = -1;
}

static void on_news_of_newest(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = io->data;
    struct text news = {0};
    size_t at = 0;
    bool told = post_receive(k->following, &news, NULL);
    const char *what = told ? post_next(&news, &at) : NULL;
    if (what && strcmp(what, CONTROL_CLOSE) == 0 && k->superseded) {
        diag_info("the newest process stops: closing what is still open");
        keeper_close(k);
    } else if (!told && errno != ENOMEM) {
        leave_newest(k); /* it has made way for the next one, or is gone */
        clerk_process_find(k->senders.clerk);
    }
    text_fini(&news);
}

struct find_errand {
    const char *config_file;
    int end;
};

static void on_find(void *arg)
{
    struct find_errand *e = arg;
    struct text unused = {0};
    e->end = control_connect(e->config_file, CONTROL_OWN_USER, FIND_SECONDS, &unused);
    text_fini(&unused);
}

static int find_clerk(void *arg)
{
    struct keeper *k = arg;
    struct text answer = {0};
    struct find_errand newest = {.config_file = k->config_file};
    int post = -1;
    if (k->clerk_away) return -1;
    errand_run(on_find, &newest);
    const int end = newest.end;
    bool found = end >= 0 && control_ask(end, CONTROL_FOLLOW, &answer, &post) && post >= 0;
    text_fini(&answer);
    if (!found) {
        if (end >= 0) close(end);
        return -1;
    }
    post_set_wait(post, FIND_SECONDS);
    leave_newest(k); /* not before: a keeper without followers may end */
    k->following = end;
    ev_io_init(&k->news_of_newest, on_news_of_newest, end, EV_READ);
    k->news_of_newest.data = k;
    ev_io_start(k->loop, &k->news_of_newest);
    return post;
}

/* ---- the next keeper ---- */

static void reject(struct keeper *k, const char *why)
{
    struct text line = {0};
    text_add(&line, why);
    to_plain_lines(line.data);
    char *faults = text_take(&line);
    if (faults) to_one_line(faults);
    diag_error("upgrade rejected, this process goes on: %s", faults ? faults : "no memory");
    keeper_record(k, AUDIT_UPGRADE_REJECTED, faults);
    control_answer(k->control, CONTROL_UPGRADE, false, why);
    free(faults);
}

static void give_up(struct keeper *k, const char *why)
{
    upgrade_free(k->upgrade);
    k->upgrade = NULL;
    ev_timer_stop(k->loop, &k->look);
    if (k->clerk_left) {
        leave_newest(k);
        clerk_process_return(k->senders.clerk);
    }
    k->clerk_left = k->clerk_away = false;
    control_listen(k->control, true);
    k->may_end_ns = clock_steady_ns() + FOLLOW_S * second_ns; /* they had followed the next one */
    reject(k, why);
    keeper_go_on(k);
}

static void on_checked(void *arg)
{
    struct keeper *k = arg;
    const struct clerk_elsewhere next = {find_clerk, k};
    control_listen(k->control, false); /* the next one does, from the same socket */
    k->clerk_away = true;
    k->clerk_left = clerk_process_leave(k->senders.clerk, &next);
    if (k->clerk_left)
        upgrade_go(k->upgrade);
    else
        give_up(k, "the clerk is not running\n");
}

static void on_recording(void *arg)
{
    struct keeper *k = arg;
    k->clerk_away = false;
    k->silences = 0;
    ev_now_update(k->loop);
    ev_timer_again(k->loop, &k->look);
    senders_connect(&k->senders); /* last: it may take FIND_SECONDS */
}

/* If its clerk hangs, this keeper's proxy cannot record. */
static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    if (k->superseded) { /* the former proxy hangs */
        ev_timer_stop(k->loop, timer);
        keeper_note_drained(k);
        return;
    }
    bool answers = senders_are_connected(&k->senders) && clerk_process_ping(k->senders.clerk);
    k->silences = answers ? 0 : k->silences + 1;
    if (k->silences >= SILENCE_LIMIT) give_up(k, "the next process does not answer\n");
}

void keeper_watch_upgrade(struct keeper *k)
{
    ev_timer_init(&k->look, on_look, 0., look_s);
    k->look.data = k;
}

static void on_serving(void *arg, const char *version)
{
    struct keeper *k = arg;
    struct text detail = {0};
    pid_t next = upgrade_process(k->upgrade);
    upgrade_free(k->upgrade);
    k->upgrade = NULL;
    k->superseded = true;
    if (k->now.sockets.operate) k->now.sockets.operate->kept = true;
    ev_timer_stop(k->loop, &k->watchdog); /* the next one tells it */
    ev_now_update(k->loop);
    k->look.repeat = DRAINED_S;
    ev_timer_again(k->loop, &k->look);
    notify_manager("MAINPID=%ld", (long)next);
    text_printf(&detail, "Process %ld, version %s, serves now.", (long)next, version);
    to_plain_lines(detail.data);
    diag_info("upgraded: %s", text_string(&detail));
    keeper_record(k, AUDIT_PROXY_UPGRADED, text_string(&detail));
    k->upgraded = text_take(&detail);
    control_retire(k->control);
    if (k->again != RELOAD_NONE) { /* it may have read what was there before */
        spawn_signal(next, SIGHUP);
        control_answer(k->control, CONTROL_RELOAD, false, "an upgrade came first: ask again\n");
    }
    ev_timer_stop(k->loop, &k->daily);
    ev_timer_stop(k->loop, &k->hourly);
    file_watch_fini(&k->watch);
    keeper_drain(k, k->now.loaded->config->proxy.drain_timeout);
    if (!k->proxy) keeper_note_drained(k);
}

void keeper_note_drained(struct keeper *k)
{
    if (!k->superseded || !k->control) return;
    control_answer(k->control, CONTROL_UPGRADE, true, k->upgraded ? k->upgraded : "");
    control_free(k->control);
    k->control = NULL;
    free(k->upgraded);
    k->upgraded = NULL;
}

static void on_failed(void *arg, const char *why)
{
    give_up(arg, why);
}

static void on_read_next(void *arg)
{
    struct keeper *k = arg;
    struct text unread = {0};
    k->to_follow = config_load(k->config_file, &unread);
    text_fini(&unread);
}

/* Former keepers trust their own user only, and find the next one no more. */
static bool same_users(struct keeper *k, struct text *errors)
{
    errand_run(on_read_next, k);
    bool same = !k->to_follow || /* else: the next one says so */
                users_are_same(k->now.loaded->config, k->to_follow, errors);
    config_free(k->to_follow);
    k->to_follow = NULL;
    return same;
}

static void begin(struct keeper *k)
{
    struct text errors = {0};
    if (!k->control) keeper_open_control(k, -1); /* the name may be free by now */
    if (!k->control) {
        reject(k, "another process has the name of its control socket, by which former processes "
                  "find the next one: it needs a restart\n");
        return;
    }
    if (!same_users(k, &errors)) {
        reject(k, text_string(&errors));
        text_fini(&errors);
        return;
    }
    const struct upgrade_events events = {on_checked, on_recording, on_serving, on_failed, k};
    const struct upgrade_with with = {.config_file = k->config_file,
                                      .sockets = &k->now.sockets,
                                      .loaded = k->now.loaded,
                                      .control = control_socket(k->control)};
    k->upgrade = upgrade_new(k->loop, &with, &events, &errors);
    if (k->upgrade)
        diag_info("upgrade: process %ld starts", (long)upgrade_process(k->upgrade));
    else
        reject(k, text_string(&errors));
    text_fini(&errors);
}

void keeper_upgrade(struct keeper *k)
{
    if (k->ready || k->upgrade || k->superseded)
        return; /* not for exec; whoever asks gets the answer of this one */
    if (k->draining)
        control_answer(k->control, CONTROL_UPGRADE, false, "it is stopping\n");
    else if (k->phase != PHASE_SERVING || !clerk_process_runs(k->senders.clerk))
        k->upgrade_wanted = true;
    else
        begin(k);
}

void keeper_end_upgrade(struct keeper *k)
{
    keeper_note_drained(k);
    if (k->upgrade) give_up(k, "it was stopped\n");
    control_answer(k->control, CONTROL_UPGRADE, false, "it is stopping\n");
    control_answer(k->control, CONTROL_RELOAD, false, "it is stopping\n");
}

/* ---- the control socket ---- */

static void on_upgrade_asked(void *arg)
{
    keeper_upgrade(arg);
}

static void on_reload_asked(void *arg)
{
    keeper_reload_all(arg);
}

static void on_stop_asked(void *arg)
{
    keeper_stop(arg);
}

static int on_clerk_wanted(void *arg)
{
    struct keeper *k = arg;
    return clerk_process_add_keeper(k->senders.clerk);
}

static bool on_status_asked(void *arg, const char *form, int pipe)
{
    struct keeper *k = arg;
    if (!k->proxy || !k->announced) return false;
    keeper_tell_state(k);
    proxy_process_show(k->proxy, form, pipe);
    return true;
}

static bool is_part(void *arg, pid_t process)
{
    const struct keeper *k = arg;
    return process == clerk_process_pid(k->senders.clerk) ||
           (k->proxy && process == proxy_process_pid(k->proxy));
}

static void on_left(void *arg)
{
    keeper_end_if_done(arg);
}

struct control_errand {
    struct keeper *keeper;
    int given;
    struct text errors;
};

static void on_open_control(void *arg)
{
    struct control_errand *e = arg;
    struct keeper *k = e->keeper;
    const struct control_events events = {
        on_upgrade_asked, on_reload_asked, on_stop_asked, on_status_asked,
        on_clerk_wanted,  on_left,         is_part,       k};
    k->control = control_new(k->loop, k->config_file, e->given, &events, &e->errors);
}

void keeper_open_control(struct keeper *k, int given)
{
    struct control_errand opening = {.keeper = k, .given = given};
    errand_run(on_open_control, &opening);
    struct text errors = opening.errors;
    if (!k->control)
        diag_warning("%.*s", (int)strcspn(text_string(&errors), "\n"), text_string(&errors));
    control_listen(k->control, true);
    text_fini(&errors);
    if (k->former >= 0) successor_recording(k->former);
}

/* ---- the keeper before ---- */

static void forget_former(struct keeper *k)
{
    ev_io_stop(k->loop, &k->news_of_former);
    if (k->former >= 0) close(k->former);
    k->former = -1;
}

static void on_news_of_former(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = io->data;
    forget_former(k);
    keeper_fail(k, "the process before has given up\n");
}

bool keeper_succeed(struct keeper *k, struct text *errors)
{
    if (k->former < 0) return true;
    if (!successor_checked(k->former)) {
        text_add(errors, "the process before has given up\n");
        return false;
    }
    ev_io_init(&k->news_of_former, on_news_of_former, k->former, EV_READ);
    k->news_of_former.data = k;
    ev_io_start(k->loop, &k->news_of_former);
    return true;
}

void keeper_note_serving(struct keeper *k)
{
    notify_manager("READY=1\nSTATUS=%s", "Serving.");
    if (k->former < 0) return;
    k->may_end_ns = clock_steady_ns() + FOLLOW_S * second_ns;
    successor_serving(k->former);
    forget_former(k);
}

void keeper_tell_former(struct keeper *k, struct text *errors)
{
    if (k->former < 0) return;
    successor_refused(k->former, errors);
    close(k->former);
    k->former = -1;
    text_fini(errors);
}
