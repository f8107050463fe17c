#include "keeper_impl.h"

#include "base/clock.h"
#include "base/confine.h"
#include "base/diag.h"
#include "base/errand.h"
#include "base/notify.h"
#include "base/spawn.h"
#include "net/names.h"
#include "serve/ca_care.h"
#include "serve/keeper_confine.h"
#include "serve/own_records.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DAY_SECONDS = 86400, HOUR_SECONDS = 3600, PING_SECONDS = 2 };
enum {
    STOP_MS = 30000,     /* for open connections, if drain_timeout is off */
    FOLLOWERS_MS = 30000 /* for the proxy and former keepers to end, once they are told to */
};

void keeper_record(struct keeper *k, enum audit_action action, const char *detail)
{
    own_record(k->senders.own, k->now.loaded, action, detail);
}

void keeper_fail(struct keeper *k, const char *faults)
{
    if (k->errors->size == 0) text_add(k->errors, faults);
    k->failed = true;
    ev_break(k->loop, EVBREAK_ALL);
}

/* ---- at their times ---- */

static void on_new_day(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    own_warnings(k->now.loaded);
}

static void on_ping(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    (void)!clerk_process_ping(k->senders.clerk);
    if (endpoint_is_given(&k->now.loaded->config->operate.address)) keeper_tell_state(k);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    notify_manager("WATCHDOG=1");
}

static void watch_for_manager(struct keeper *k)
{
    double seconds = notify_watchdog_seconds();
    if (seconds <= 0) return;
    ev_timer_init(&k->watchdog, on_watchdog, 0., seconds / 2);
    ev_timer_start(k->loop, &k->watchdog);
}

struct care_errand {
    const struct config *config;
    bool changed;
};

static void on_care(void *arg)
{
    struct care_errand *e = arg;
    e->changed = ca_care_run(e->config, time(NULL));
}

static void on_new_hour(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    struct care_errand care = {.config = k->now.loaded->config};
    errand_run(on_care, &care);
    if (care.changed || loaded_config_is_stale(k->now.loaded, time(NULL)))
        keeper_reload(k, RELOAD_FILES);
}

/* ---- signals ---- */

static void on_hup(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    keeper_reload_all(signal->data);
}

static void on_usr2(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    keeper_upgrade(signal->data);
}

static void on_file_changed(void *arg, const char *path)
{
    diag_info("%s has changed: the configuration's files are read again", path);
    keeper_reload(arg, RELOAD_FILES);
}

/* ---- the end ---- */

void keeper_end_if_done(struct keeper *k)
{
    if (!k->draining || k->proxy || control_followers(k->control) > 0) return;
    double left = (double)(k->may_end_ns - clock_steady_ns()) / 1e9;
    if (left <= 0 || k->superseded) {
        ev_break(k->loop, EVBREAK_ALL);
    } else if (!ev_is_active(&k->may_end)) {
        ev_now_update(k->loop);
        ev_timer_set(&k->may_end, left, 0.);
        ev_timer_start(k->loop, &k->may_end);
    }
}

static void on_may_end(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    keeper_end_if_done(timer->data);
}

static void start_drain_timer(struct keeper *k, uint64_t ms)
{
    ev_timer_stop(k->loop, &k->drain_over);
    if (ms == 0) return;
    ev_now_update(k->loop);
    ev_timer_set(&k->drain_over, (double)ms / 1000., 0.);
    ev_timer_start(k->loop, &k->drain_over);
}

void keeper_close(struct keeper *k)
{
    k->closing = true;
    if (k->proxy) proxy_process_close(k->proxy);
    control_close_followers(k->control);
    start_drain_timer(k, FOLLOWERS_MS);
}

static void on_drain_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct keeper *k = timer->data;
    if (k->closing) { /* whoever has not ended by now */
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    diag_info("drain_timeout is over: closing what is still open");
    keeper_close(k);
}

void keeper_drain(struct keeper *k, uint64_t limit_ms)
{
    k->draining = true;
    ev_timer_stop(k->loop, &k->start_again);
    setting_fini(&k->next);
    if (k->proxy) proxy_process_drain(k->proxy, &k->now.sockets, k->superseded);
    sockets_close(&k->now.sockets);
    start_drain_timer(k, limit_ms);
    keeper_end_if_done(k);
}

/* A stop has a limit, whatever an upgrade has. */
static uint64_t stop_ms(const struct keeper *k)
{
    uint64_t ms = k->now.loaded->config->proxy.drain_timeout;
    return ms ? ms : STOP_MS;
}

void keeper_stop(struct keeper *k)
{
    if (k->former >= 0) { /* the one before serves, and goes on */
        keeper_fail(k, "it was told to stop\n");
        return;
    }
    if (k->stopping) { /* a second signal: wait no longer */
        keeper_close(k);
        return;
    }
    k->stopping = true;
    keeper_end_upgrade(k);
    diag_info("stopping: open connections have %llu ms to end", (unsigned long long)stop_ms(k));
    notify_manager("STOPPING=1");
    keeper_drain(k, stop_ms(k));
}

static void on_term(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    keeper_stop(signal->data);
}

/* ---- its life ---- */

static void on_clerk_restarted(void *arg, const char *how)
{
    struct keeper *k = arg;
    k->state.clerk_starts += *how != '\0'; /* else it was told to make way */
    senders_connect(&k->senders);
    if (*how) keeper_record(k, AUDIT_PROCESS_ENDED, how);
    if (!k->rejecting) keeper_go_on(k);
}

static void watch_signal(struct keeper *k, ev_signal *watcher, int signal,
                         void (*call)(struct ev_loop *loop, ev_signal *signal, int events))
{
    ev_signal_init(watcher, call, signal);
    watcher->data = k;
    ev_signal_start(k->loop, watcher);
}

static void watch(struct keeper *k)
{
    watch_signal(k, &k->hup, SIGHUP, on_hup);
    watch_signal(k, &k->term, SIGTERM, on_term);
    watch_signal(k, &k->interrupt, SIGINT, on_term);
    watch_signal(k, &k->usr2, SIGUSR2, on_usr2);
    keeper_watch_proxy(k);
    keeper_watch_former_keys(k);
    keeper_watch_upgrade(k);
    ev_timer_init(&k->drain_over, on_drain_over, 0., 0.);
    ev_timer_init(&k->may_end, on_may_end, 0., 0.);
    k->may_end.data = k;
    ev_timer_init(&k->daily, on_new_day, DAY_SECONDS, DAY_SECONDS);
    ev_timer_init(&k->hourly, on_new_hour, HOUR_SECONDS, HOUR_SECONDS);
    ev_timer_init(&k->ping, on_ping, PING_SECONDS, PING_SECONDS);
    k->ping.data = k;
    ev_timer_start(k->loop, &k->ping);
    watch_for_manager(k);
    k->drain_over.data = k->daily.data = k->hourly.data = k;
    ev_timer_start(k->loop, &k->daily);
    ev_timer_start(k->loop, &k->hourly);
    file_watch_init(&k->watch, k->loop, on_file_changed, k);
    keeper_watch_files(k);
}

static void end(struct keeper *k)
{
    keeper_end_upgrade(k);
    senders_use(&k->senders, NULL, 0);
    proxy_process_free(k->proxy);
    signers_free(k->signers);
    if (k->start_recorded) {
        char detail[96];
        snprintf(detail, sizeof detail, "%lu connections ended before their first byte.",
                 k->silent);
        keeper_record(k, AUDIT_PROXY_STOPPED, detail);
    }
    k->lost += senders_end(&k->senders);
    if (k->following >= 0) close(k->following);
    control_free(k->control);
    free(k->upgraded);
    if (k->lost) diag_error("%lu audit records could not be written", k->lost);
    file_watch_fini(&k->watch);
    names_release(k->names);
    setting_fini(&k->next);
    setting_fini(&k->now);
    if (k->loop) ev_loop_destroy(k->loop);
}

/* exec's are those of whoever runs it. A configuration that cannot be read is told of later. */
static bool prepare_users(struct keeper *k, struct text *errors)
{
    struct text unread = {0};
    struct config *c = config_load(k->config_file, &unread);
    account_keep_to_itself();
    bool ok = !c || users_prepare(&k->users, c, errors);
    config_free(c);
    text_fini(&unread);
    return ok;
}

/* The configuration, and what this process was started with. */
static bool prepare(struct keeper *k, struct inherited *given, struct text *errors)
{
    const struct setting_source from = {
        .config_file = k->config_file, .serial = ++k->serial, .inherited = given};
    if (!k->ready && !inherited_take(given, errors)) return false;
    k->former = given->post;
    given->post = -1;
    if (!k->ready && !prepare_users(k, errors)) return false;
    ca_care_begin(k->config_file, time(NULL));
    k->signers = signers_new();
    k->loop = ev_default_loop(EVFLAG_NOENV);
    return k->loop && k->signers && setting_read(&k->now, &from, errors);
}

static bool start(struct keeper *k, struct inherited *given, const sigset_t *before,
                  struct text *errors)
{
    const struct clerk_events events = {on_clerk_restarted, k};
    setting_raise_descriptors(&k->now);
    signers_add(k->signers, k->now.loaded);
    if (!users_change(&k->users, errors) || !keeper_confine(errors)) return false;
    watch(k);
    sigprocmask(SIG_SETMASK, before, NULL);
    if (!keeper_succeed(k, errors)) return false;
    bool ok = senders_start(&k->senders, k->loop, &k->now.loaded->config->audit,
                            &k->now.loaded->origin, &events, errors);
    if (!ok) return false;
    if (!k->ready) keeper_open_control(k, given->control);
    given->control = -1;
    keeper_start_proxy(k);
    return !k->failed;
}

bool keeper_run(const char *config_file, const struct keeper_ready *ready, struct text *errors)
{
    struct keeper k = {.config_file = config_file,
                       .ready = ready,
                       .errors = errors,
                       .state = {.started = (unsigned long)time(NULL), .clerk_starts = 1},
                       .now.files = -1,
                       .next.files = -1,
                       .following = -1,
                       .former = -1};
    struct inherited given = {.post = -1, .control = -1, .operate = -1};
    sigset_t before;
    confine_signals_of_first(&before);
    confine_process();
    spawn_remember();
    bool ok = prepare(&k, &given, errors) && start(&k, &given, &before, errors);
    inherited_fini(&given, ok);
    if (ok) {
        ev_run(k.loop, 0);
        ok = !k.failed;
    }
    end(&k);
    if (!ok && errors->size == 0) text_add(errors, "out of memory or processes\n");
    if (!ok) keeper_tell_former(&k, errors);
    return ok && k.lost == 0;
}
