#include "serve/keeper.h"

#include "base/clock.h"
#include "base/confine.h"
#include "base/diag.h"
#include "base/spawn.h"
#include "serve/ca_care.h"
#include "serve/list_watch.h"
#include "serve/own_records.h"
#include "serve/senders.h"
#include "serve/setting.h"
#include "serve/signers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { DAY_SECONDS = 86400, HOUR_SECONDS = 3600, PING_SECONDS = 10 };
static const int64_t second_ns = 1000000000;
/* A proxy that ended within a second of its start is started again later. */
static const double again_s = .5;

enum reload { RELOAD_NONE, RELOAD_FILES, RELOAD_ALL };

/* What the proxy is doing. */
enum phase {
    PHASE_ABSENT,  /* there is none */
    PHASE_LOADING, /* it has been given the configuration, and does not serve yet */
    PHASE_STARTING,
    PHASE_SERVING,
    PHASE_RELOADING, /* it has been given the next one, while it serves */
    PHASE_CHANGING   /* to the next one */
};

struct keeper {
    const char *config_file;
    const struct keeper_ready *ready;
    struct setting now, next; /* next: of a reload under way */
    struct senders senders;
    struct signers *signers;
    uint32_t serial; /* of the last configuration that was read */
    struct proxy_process *proxy;
    enum phase phase;
    int64_t proxy_since_ns; /* steady */
    bool announced, start_recorded, draining, failed;
    enum reload again; /* when the one under way is done */
    unsigned long silent, lost;
    struct text *errors; /* of the start */
    struct list_watch watch;
    struct ev_loop *loop;
    ev_signal hup, term, interrupt;
    ev_timer drain_over, daily, hourly, start_again;
    ev_timer ping;        /* does the clerk live? */
    ev_timer former_over; /* no handshake of a former configuration goes on */
};

static void record(struct keeper *k, enum audit_action action, const char *detail)
{
    own_record(k->senders.own, k->now.loaded, action, detail);
}

static void on_new_day(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    own_warnings(k->now.loaded);
}

/* ---- reloads ---- */

static void watch_lists(struct keeper *k)
{
    if (!list_watch_use(&k->watch, k->now.loaded->config))
        diag_error("no memory to watch the files of addresses: send SIGHUP after a change");
}

static void reload(struct keeper *k, enum reload what);

static void reload_again(struct keeper *k)
{
    enum reload again = k->again;
    k->again = RELOAD_NONE;
    if (again != RELOAD_NONE) reload(k, again);
}

static void reject(struct keeper *k, struct text *errors)
{
    /* The audit file may have been rotated all the same. */
    struct text unused = {0};
    if (!clerk_process_reopen(k->senders.clerk, &k->now.loaded->config->audit, NULL, &unused))
        diag_error("the audit file cannot be opened anew: %s", text_string(&unused));
    text_fini(&unused);
    own_record_rejection(k->senders.own, k->now.loaded, errors);
    if (k->next.loaded) signers_forget(k->signers, k->next.loaded);
    setting_fini(&k->next);
}

static void reload(struct keeper *k, enum reload what)
{
    struct text errors = {0};
    if (k->draining) return;
    if (k->phase != PHASE_SERVING || !clerk_process_runs(k->senders.clerk)) { /* one at a time */
        if (what > k->again) k->again = what;
        return;
    }
    enum setting_scope scope = what == RELOAD_ALL ? SETTING_ALL : SETTING_FILES;
    if (setting_read(&k->next, k->config_file, ++k->serial, &k->now, scope, &errors)) {
        k->phase = PHASE_RELOADING;
        signers_add(k->signers, k->next.loaded);
        setting_give(&k->next, k->config_file, k->proxy);
    } else {
        reject(k, &errors);
    }
    text_fini(&errors);
}

/* Handshakes of the former configurations need its keys for a while. */
static void keep_former(struct keeper *k, const struct config *former)
{
    uint64_t handshake_ms = former->proxy.hello_timeout + former->proxy.connect_timeout +
                            2 * former->proxy.handshake_timeout;
    ev_timer_stop(k->loop, &k->former_over);
    ev_timer_set(&k->former_over, (double)handshake_ms * 2 / 1000., 0.);
    ev_timer_start(k->loop, &k->former_over);
}

static void on_former_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    if (k->next.loaded)
        keep_former(k, k->now.loaded->config); /* a reload is under way */
    else
        signers_keep(k->signers, k->now.loaded);
}

/* The proxy has loaded it: from here on there is no way back. */
static void change(struct keeper *k)
{
    struct text errors = {0};
    if (!clerk_process_reopen(k->senders.clerk, &k->next.loaded->config->audit,
                              &k->next.loaded->audit_policy, &errors)) {
        proxy_process_forget(k->proxy);
        reject(k, &errors);
        k->phase = PHASE_SERVING;
        text_fini(&errors);
        reload_again(k);
        return;
    }
    struct setting old = k->now;
    k->now = k->next;
    k->next = (struct setting){.files = -1};
    keep_former(k, old.loaded->config);
    setting_fini(&old); /* first: the proxy leaves what nobody else has any more */
    watch_lists(k);
    k->phase = PHASE_CHANGING;
    proxy_process_use(k->proxy);
    text_fini(&errors);
}

/* The reload is complete when every worker uses the new configuration. */
static void note_changed(struct keeper *k)
{
    const struct loaded_config *loaded = k->now.loaded;
    diag_info("configuration reloaded");
    for (size_t i = 0; i < loaded->config->listener_count; i++) {
        const struct listen_config *l = &loaded->config->listeners[i];
        char where[ADDR_TEXT_SIZE];
        addr_format(&loaded->listener_addresses[i], where);
        if (addr_port(&l->address) == 0) diag_info("listening on %s (%s)", where, l->name);
    }
    own_record_with_warnings(k->senders.own, k->now.loaded, AUDIT_CONFIGURATION_LOADED);
}

static void on_hup(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = signal->data;
    ca_care_begin(k->config_file, time(NULL));
    reload(k, RELOAD_ALL);
}

static void on_list_changed(void *arg)
{
    diag_info("a file of addresses or destinations has changed");
    reload(arg, RELOAD_FILES);
}

static void on_ping(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    clerk_process_ping(((struct keeper *)timer->data)->senders.clerk);
}

static void on_new_hour(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    if (ca_care_run(k->now.loaded->config, time(NULL)) ||
        loaded_config_is_stale(k->now.loaded, time(NULL)))
        reload(k, RELOAD_FILES);
}

/* ---- the proxy ---- */

static void fail(struct keeper *k, const char *faults)
{
    if (k->errors->size == 0) text_add(k->errors, faults);
    k->failed = true;
    ev_break(k->loop, EVBREAK_ALL);
}

/* Its configuration is loaded: it may serve. */
static void let_serve(struct keeper *k)
{
    senders_use(&k->senders, k->proxy, k->now.loaded->config->proxy.workers);
    if (!k->start_recorded) { /* before any connection's record */
        own_record_with_warnings(k->senders.own, k->now.loaded, AUDIT_PROXY_STARTED);
        (void)!recorder_finish(k->senders.own, clock_steady_ns() + RECORDING_END_S * second_ns);
        k->start_recorded = true;
    }
    k->phase = PHASE_STARTING;
    proxy_process_use(k->proxy);
}

static void on_loaded(void *arg)
{
    struct keeper *k = arg;
    if (k->draining) return;
    if (k->phase == PHASE_LOADING)
        let_serve(k);
    else if (k->phase == PHASE_RELOADING)
        change(k);
}

static void on_refused(void *arg, const char *faults)
{
    struct keeper *k = arg;
    struct text errors = {0};
    if (k->draining) return;
    text_add(&errors, faults);
    to_plain_lines(errors.data);
    faults = text_string(&errors);
    if (k->phase == PHASE_LOADING && !k->announced) {
        fail(k, faults);
    } else if (k->phase == PHASE_LOADING) {
        diag_error("the proxy cannot serve: %.*s", (int)strcspn(faults, "\n"), faults);
        proxy_process_close(k->proxy); /* and another one is started */
    } else if (k->phase == PHASE_RELOADING) {
        k->phase = PHASE_SERVING;
        reject(k, &errors);
        reload_again(k);
    }
    text_fini(&errors);
}

static void on_used(void *arg)
{
    struct keeper *k = arg;
    bool reloaded = k->phase == PHASE_CHANGING;
    if (!reloaded && k->phase != PHASE_STARTING) return;
    k->phase = PHASE_SERVING;
    const struct loaded_config *loaded = k->now.loaded;
    if (reloaded)
        note_changed(k);
    else if (k->announced)
        diag_info("the proxy serves again");
    else if (k->ready)
        k->ready->report(k->ready->arg, loaded->listener_addresses, loaded->config->listener_count);
    else
        setting_announce(&k->now);
    k->announced = true;
    reload_again(k);
}

static void on_missed(void *arg, unsigned channel)
{
    struct keeper *k = arg;
    senders_missed(&k->senders, channel);
}

static void start_proxy(struct keeper *k);

static void on_start_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    start_proxy(timer->data);
}

static void start_proxy_later(struct keeper *k)
{
    bool lived = clock_steady_ns() - k->proxy_since_ns > second_ns;
    ev_now_update(k->loop);
    ev_timer_stop(k->loop, &k->start_again);
    ev_timer_set(&k->start_again, lived ? 0. : again_s, 0.);
    ev_timer_start(k->loop, &k->start_again);
}

/* A reload under way ends with the proxy: the next one gets the configuration that is in use. */
static void give_up_reload(struct keeper *k)
{
    struct text errors = {0};
    if (!k->next.loaded) return;
    text_add(&errors, "the proxy ended while it loaded it\n");
    reject(k, &errors); /* which takes the text */
}

static void on_ended(void *arg, const struct proxy_end *end)
{
    struct keeper *k = arg;
    bool wanted = k->draining && end->orderly;
    char name[RECEIPT_SENDER];
    proxy_process_name(k->proxy, 0, name);
    bool told = clerk_process_note_end(k->senders.clerk, name, wanted ? "" : end->how);
    senders_use(&k->senders, NULL, 0);
    proxy_process_free(k->proxy);
    signers_stop(k->signers);
    k->proxy = NULL;
    if (k->phase == PHASE_CHANGING) note_changed(k); /* the next one begins with it */
    k->phase = PHASE_ABSENT;
    k->silent += end->silent;
    k->lost += end->lost;
    if (!wanted) {
        sockets_mend(&k->now.sockets, k->now.loaded);
        diag_error("%s", end->how);
        if (!told) record(k, AUDIT_PROCESS_ENDED, end->how);
    }
    give_up_reload(k);
    if (k->draining)
        ev_break(k->loop, EVBREAK_ALL);
    else if (!k->announced)
        fail(k, "the proxy ended before it served\n");
    else
        start_proxy_later(k);
}

/* A worker without one refuses to start. */
static void give_signers(struct keeper *k)
{
    for (unsigned i = 0; i < k->now.loaded->config->proxy.workers; i++) {
        int fd = signers_start(k->signers);
        if (fd >= 0)
            proxy_process_give_signer(k->proxy, i, fd);
        else
            diag_error("no thread or socket for signatures: %s", strerror(errno));
    }
}

static void start_proxy(struct keeper *k)
{
    struct text errors = {0};
    const struct proxy_events events = {on_loaded, on_refused, on_used, on_missed, on_ended, k};
    k->proxy_since_ns = clock_steady_ns();
    k->proxy = proxy_process_new(k->loop, &events, &errors);
    if (k->proxy) {
        k->phase = PHASE_LOADING;
        give_signers(k);
        setting_give(&k->now, k->config_file, k->proxy);
    } else if (k->announced) {
        diag_error("%.*s", (int)strcspn(text_string(&errors), "\n"), text_string(&errors));
        start_proxy_later(k);
    } else {
        fail(k, text_string(&errors));
    }
    text_fini(&errors);
}

/* ---- the end ---- */

static void on_drain_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    diag_info("drain_timeout is over: closing what is still open");
    if (k->proxy) proxy_process_close(k->proxy);
}

static void on_term(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)events;
    struct keeper *k = signal->data;
    if (k->draining) { /* a second signal: wait no longer */
        ev_timer_stop(loop, &k->drain_over);
        if (k->proxy) proxy_process_close(k->proxy);
        return;
    }
    k->draining = true;
    ev_timer_stop(loop, &k->start_again);
    diag_info("stopping: open connections have %llu ms to end",
              (unsigned long long)k->now.loaded->config->proxy.drain_timeout);
    setting_fini(&k->next);
    sockets_close(&k->now.sockets); /* first: no connection waits for nobody */
    if (!k->proxy) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    proxy_process_drain(k->proxy);
    ev_timer_set(&k->drain_over, (double)k->now.loaded->config->proxy.drain_timeout / 1000., 0.);
    ev_timer_start(loop, &k->drain_over);
}

/* ---- its life ---- */

static void on_clerk_restarted(void *arg, const char *how)
{
    struct keeper *k = arg;
    senders_connect(&k->senders);
    record(k, AUDIT_PROCESS_ENDED, how);
    reload_again(k);
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
    ev_timer_init(&k->drain_over, on_drain_over, 0., 0.);
    ev_timer_init(&k->start_again, on_start_again, 0., 0.);
    ev_timer_init(&k->daily, on_new_day, DAY_SECONDS, DAY_SECONDS);
    ev_timer_init(&k->hourly, on_new_hour, HOUR_SECONDS, HOUR_SECONDS);
    ev_timer_init(&k->former_over, on_former_over, 0., 0.);
    ev_timer_init(&k->ping, on_ping, PING_SECONDS, PING_SECONDS);
    k->former_over.data = k->ping.data = k;
    ev_timer_start(k->loop, &k->ping);
    k->drain_over.data = k->start_again.data = k->daily.data = k->hourly.data = k;
    ev_timer_start(k->loop, &k->daily);
    ev_timer_start(k->loop, &k->hourly);
    list_watch_init(&k->watch, k->loop, on_list_changed, k);
    watch_lists(k);
}

static void end(struct keeper *k)
{
    senders_use(&k->senders, NULL, 0);
    proxy_process_free(k->proxy);
    signers_free(k->signers);
    if (k->start_recorded) {
        char detail[96];
        snprintf(detail, sizeof detail, "%lu connections ended before their first byte.",
                 k->silent);
        record(k, AUDIT_PROXY_STOPPED, detail);
    }
    k->lost += senders_end(&k->senders);
    if (k->lost) diag_error("%lu audit records could not be written", k->lost);
    list_watch_fini(&k->watch);
    setting_fini(&k->next);
    setting_fini(&k->now);
    if (k->loop) ev_loop_destroy(k->loop);
}

bool keeper_run(const char *config_file, const struct keeper_ready *ready, struct text *errors)
{
    struct keeper k = {.config_file = config_file,
                       .ready = ready,
                       .errors = errors,
                       .now.files = -1,
                       .next.files = -1};
    sigset_t before;
    confine_signals_of_first(&before);
    confine_process();
    spawn_remember();
    ca_care_begin(config_file, time(NULL));
    if (!setting_read(&k.now, config_file, ++k.serial, NULL, SETTING_ALL, errors)) return false;
    k.signers = signers_new();
    setting_raise_descriptors(&k.now);
    k.loop = ev_default_loop(EVFLAG_NOENV);
    bool ok = k.loop && k.signers;
    if (ok) {
        signers_add(k.signers, k.now.loaded);
        const struct clerk_events events = {on_clerk_restarted, &k};
        watch(&k);
        sigprocmask(SIG_SETMASK, &before, NULL);
        ok = senders_start(&k.senders, k.loop, &k.now.loaded->config->audit,
                           &k.now.loaded->audit_policy, &events, errors);
    }
    if (ok) {
        start_proxy(&k);
        if (!k.failed) ev_run(k.loop, 0);
        ok = !k.failed;
    }
    end(&k);
    if (!ok && errors->size == 0) text_add(errors, "out of memory or processes\n");
    return ok && k.lost == 0;
}
