#include "serve/keeper.h"

#include "base/clock.h"
#include "base/confine.h"
#include "base/diag.h"
#include "base/spawn.h"
#include "serve/ca_care.h"
#include "serve/list_watch.h"
#include "serve/proxy_process.h"
#include "serve/publisher.h"
#include "serve/senders.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DESCRIPTORS_SPARE = 64, DAY_SECONDS = 86400, HOUR_SECONDS = 3600 };
static const int64_t second_ns = 1000000000;
/* A proxy that ended within a second of its start is started again later. */
static const double again_s = .5;

/* The configuration file too, or only the files that it names. */
enum reload { RELOAD_NONE, RELOAD_FILES, RELOAD_ALL };

/* A configuration, and what a proxy needs to serve it. */
struct setting {
    struct loaded_config *loaded; /* NULL: none */
    struct sockets sockets;
    int files; /* its snapshot; -1: none */
};

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
};

/* ---- records ---- */

static void record(struct keeper *k, enum audit_action action, const char *detail)
{
    struct text line = {0};
    const struct audit_policy *policy = &k->now.loaded->audit_policy;
    struct audit_event e = {.action = action,
                            .policy = policy,
                            .duration_ns = -1,
                            .detail = detail,
                            .alert_sent = -1,
                            .alert_received = -1};
    clock_gettime(CLOCK_REALTIME, &e.at);
    struct audit_stamp stamp = audit_render(&e, &line);
    recorder_submit(k->senders.own, stamp, &line, NULL, policy, NULL);
}

/* One line instead of several, for a record. */
static void to_one_line(char *s)
{
    size_t n = strlen(s);
    while (n > 0 && s[n - 1] == '\n') s[--n] = '\0';
    for (; *s; s++)
        if (*s == '\n') *s = ' ';
}

/* Warns the operator about what expires, and adds it to the record of this start or reload. */
static void record_with_warnings(struct keeper *k, enum audit_action action)
{
    struct text warnings = {0};
    loaded_config_warnings(k->now.loaded, time(NULL), &warnings);
    char *detail = warnings.size ? text_take(&warnings) : NULL;
    if (detail) {
        to_one_line(detail);
        diag_warning("%s", detail);
    }
    record(k, action, detail);
    free(detail);
    text_fini(&warnings);
}

static void on_new_day(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    struct text warnings = {0};
    loaded_config_warnings(k->now.loaded, time(NULL), &warnings);
    if (warnings.size) diag_warning("%s", text_string(&warnings));
    text_fini(&warnings);
}

/* ---- settings ---- */

static void setting_fini(struct setting *s)
{
    sockets_close(&s->sockets);
    if (s->files >= 0) close(s->files);
    loaded_config_release(s->loaded);
    *s = (struct setting){.files = -1};
}

/* running: NULL for the first one. */
static bool setting_read(struct setting *s, const char *config_file, const struct setting *running,
                         enum reload what, struct text *errors)
{
    struct snapshot *files = snapshot_new();
    *s = (struct setting){.files = -1};
    if (!files) return false;
    s->loaded = running && what == RELOAD_FILES
                    ? loaded_config_reread(running->loaded, config_file, files, errors)
                    : loaded_config_read(config_file, false, files, errors);
    unsigned before = running ? running->loaded->config->proxy.workers : 0;
    bool ok = s->loaded != NULL;
    if (ok && running && s->loaded->config->proxy.workers != before) {
        text_printf(errors, "[proxy] workers is %u now and %u before: that needs a restart\n",
                    s->loaded->config->proxy.workers, before);
        ok = false;
    }
    ok = ok && sockets_open(&s->sockets, s->loaded, running ? &running->sockets : NULL,
                            running ? running->loaded : NULL, errors);
    if (ok && (s->files = snapshot_seal(files)) < 0) {
        text_printf(errors, "the configuration cannot be handed over: %s\n", strerror(errno));
        ok = false;
    }
    snapshot_free(files);
    if (!ok) setting_fini(s);
    return ok;
}

static void watch_lists(struct keeper *k)
{
    if (!list_watch_use(&k->watch, k->now.loaded->config))
        diag_error("no memory to watch the files of addresses: send SIGHUP after a change");
}

/* ---- reloads ---- */

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
    char *faults = text_take(errors);
    if (faults) to_one_line(faults);
    diag_error("configuration rejected, the old one goes on: %s", faults ? faults : "no memory");
    record(k, AUDIT_CONFIGURATION_REJECTED, faults);
    free(faults);
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
    if (setting_read(&k->next, k->config_file, &k->now, what, &errors)) {
        k->phase = PHASE_RELOADING;
        proxy_process_load(k->proxy, k->config_file, k->next.files, &k->next.sockets);
    } else {
        reject(k, &errors);
    }
    text_fini(&errors);
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
    record_with_warnings(k, AUDIT_CONFIGURATION_LOADED);
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

static void on_new_hour(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    if (ca_care_run(k->now.loaded->config, time(NULL))) reload(k, RELOAD_FILES);
}

/* ---- the proxy ---- */

static void fail(struct keeper *k, const char *faults)
{
    if (k->errors->size == 0) text_add(k->errors, faults);
    k->failed = true;
    ev_break(k->loop, EVBREAK_ALL);
}

/* Prints to standard output, unless the records go there. */
static void announce(const struct keeper *k)
{
    const struct loaded_config *loaded = k->now.loaded;
    const struct config *c = loaded->config;
    bool taken = strcmp(c->audit.file, "-") == 0;
    for (size_t i = 0; i < c->audit.copies.n; i++)
        taken = taken || strcmp(c->audit.copies.items[i], "-") == 0;
    if (k->ready) {
        k->ready->report(k->ready->arg, loaded->listener_addresses, c->listener_count);
        return;
    }
    FILE *out = taken ? stderr : stdout;
    for (size_t i = 0; i < c->listener_count; i++) {
        char where[ADDR_TEXT_SIZE], target[TARGET_TEXT_SIZE] = "";
        const struct listen_config *l = &c->listeners[i];
        addr_format(&loaded->listener_addresses[i], where);
        if (l->upstream.host[0]) target_format(&l->upstream, target);
        fprintf(out, "suitegate: listening on %s (%s, %s%s%s%s)\n", where, l->name,
                listen_type_name(l->type), target[0] ? " to " : "", target,
                l->mode == MODE_OBSERVE ? ", only observes" : "");
    }
    fprintf(out, "suitegate: ready\n");
    fflush(out);
}

/* Its configuration is loaded: it may serve. */
static void let_serve(struct keeper *k)
{
    senders_use(&k->senders, k->proxy, k->now.loaded->config->proxy.workers);
    if (!k->start_recorded) { /* before any connection's record */
        record_with_warnings(k, AUDIT_PROXY_STARTED);
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
    if (k->phase == PHASE_LOADING && !k->announced) {
        fail(k, faults);
    } else if (k->phase == PHASE_LOADING) {
        diag_error("the proxy cannot serve: %.*s", (int)strcspn(faults, "\n"), faults);
        proxy_process_close(k->proxy); /* and another one is started */
    } else if (k->phase == PHASE_RELOADING) {
        k->phase = PHASE_SERVING;
        text_add(&errors, faults);
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
    if (reloaded)
        note_changed(k);
    else if (k->announced)
        diag_info("the proxy serves again");
    else
        announce(k);
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
    reject(k, &errors);
    text_fini(&errors);
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
    k->proxy = NULL;
    k->phase = PHASE_ABSENT;
    k->silent += end->silent;
    k->lost += end->lost;
    if (!wanted) {
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

static void start_proxy(struct keeper *k)
{
    struct text errors = {0};
    const struct proxy_events events = {on_loaded, on_refused, on_used, on_missed, on_ended, k};
    k->proxy_since_ns = clock_steady_ns();
    k->proxy = proxy_process_new(k->loop, &events, &errors);
    if (k->proxy) {
        k->phase = PHASE_LOADING;
        proxy_process_load(k->proxy, k->config_file, k->now.files, &k->now.sockets);
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

static void raise_descriptors(const struct config *c)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    rlim_t wanted = (rlim_t)c->proxy.max_connections * 2 + DESCRIPTORS_SPARE;
    for (size_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].type == LISTEN_PUBLISH) wanted += PUBLISHER_CONNECTIONS;
    if (limit.rlim_cur < wanted)
        diag_warning("max_connections = %u wants %llu open files, the limit is %llu (ulimit -n)",
                     c->proxy.max_connections, (unsigned long long)wanted,
                     (unsigned long long)limit.rlim_cur);
}

static void ignore_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL); /* a file at its limit: an ordinary write error */
}

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
    confine_process();
    spawn_remember();
    ca_care_begin(config_file, time(NULL));
    ignore_signals();
    if (!setting_read(&k.now, config_file, NULL, RELOAD_ALL, errors)) return false;
    raise_descriptors(k.now.loaded->config);
    k.loop = ev_default_loop(EVFLAG_NOENV);
    bool ok = k.loop != NULL;
    if (ok) {
        const struct clerk_events events = {on_clerk_restarted, &k};
        watch(&k);
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
