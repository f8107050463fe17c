#include "serve/server.h"

#include "base/clock.h"
#include "base/confine.h"
#include "base/diag.h"
#include "front/fronts.h"
#include "route/routes.h"
#include "serve/addresses.h"
#include "serve/ca_care.h"
#include "serve/list_watch.h"
#include "serve/publisher.h"
#include "serve/senders.h"
#include "serve/worker_thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { DESCRIPTORS_SPARE = 64, DAY_SECONDS = 86400 };
static const int64_t second_ns = 1000000000;

/* The configuration file too, or only the files of addresses and destinations. */
enum reload { RELOAD_NONE, RELOAD_LISTS, RELOAD_ALL };

struct server {
    const char *config_file;
    struct loaded_config *loaded;
    struct leaf_keys leaf_keys;
    struct senders senders;
    struct worker_shared shared;
    struct worker_events events;
    struct worker_thread **workers;
    struct runtime **runtimes; /* the last one given to each worker */
    unsigned count, started, ended;
    unsigned runtimes_taken; /* atomic: since the last reload */
    bool start_recorded, reloading;
    enum reload again; /* when the one under way is done */
    struct list_watch watch;
    struct publisher *publisher;
    struct ev_loop *loop;
    ev_signal hup, term, interrupt;
    ev_async worker_ended, runtime_taken;
    ev_timer drain_over, daily, hourly;
    bool draining;
};

static void record(struct server *s, enum audit_action action, const char *detail)
{
    struct text line = {0};
    struct audit_event e = {.action = action,
                            .policy = &s->loaded->audit_policy,
                            .duration_ns = -1,
                            .detail = detail,
                            .alert_sent = -1,
                            .alert_received = -1};
    clock_gettime(CLOCK_REALTIME, &e.at);
    struct audit_stamp stamp = audit_render(&e, &line);
    recorder_submit(s->senders.own, stamp, &line, NULL, &s->loaded->audit_policy, NULL);
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
static void record_with_warnings(struct server *s, enum audit_action action)
{
    struct text warnings = {0};
    loaded_config_warnings(s->loaded, time(NULL), &warnings);
    char *detail = warnings.size ? text_take(&warnings) : NULL;
    if (detail) {
        to_one_line(detail);
        diag_warning("%s", detail);
    }
    record(s, action, detail);
    free(detail);
    text_fini(&warnings);
}

static void on_new_day(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct server *s = timer->data;
    struct text warnings = {0};
    loaded_config_warnings(s->loaded, time(NULL), &warnings);
    if (warnings.size) diag_warning("%s", text_string(&warnings));
    text_fini(&warnings);
}

static bool build_runtimes(struct server *s, struct loaded_config *loaded,
                           struct runtime **runtimes, bool follow, struct text *errors)
{
    for (unsigned i = 0; i < s->count; i++) {
        runtimes[i] = runtime_new(loaded, &s->leaf_keys, worker_thread_loop(s->workers[i]),
                                  follow ? s->runtimes[i] : NULL, errors);
        if (runtimes[i]) continue;
        while (i > 0) {
            runtime_release(runtimes[--i]);
            runtimes[i] = NULL;
        }
        return false;
    }
    return true;
}

/* Builds the runtimes of all workers. follow: they replace the running ones. */
static bool open_runtimes(struct server *s, struct loaded_config *loaded, struct runtime **runtimes,
                          bool follow, struct text *errors)
{
    struct addresses_reserved reserved = {0};
    const struct loaded_config *running = follow ? s->loaded : NULL;
    bool ok = addresses_probe(loaded, running, errors) &&
              addresses_reserve(loaded, running, &reserved, errors) &&
              build_runtimes(s, loaded, runtimes, follow, errors);
    addresses_release(&reserved);
    return ok;
}

static void watch_lists(struct server *s)
{
    if (!list_watch_use(&s->watch, s->loaded->config))
        diag_error("no memory to watch the files of addresses: send SIGHUP after a change");
}

static bool try_reload(struct server *s, enum reload what, struct text *errors)
{
    struct loaded_config *loaded = what == RELOAD_ALL
                                       ? loaded_config_read(s->config_file, false, errors)
                                       : loaded_config_reread(s->loaded, s->config_file, errors);
    struct runtime **runtimes = calloc(s->count, sizeof(struct runtime *));
    struct publisher *publisher = NULL;
    bool ok = loaded && runtimes;
    if (ok && loaded->config->proxy.workers != s->count) {
        text_printf(errors, "[proxy] workers is %u now and %u before: that needs a restart\n",
                    loaded->config->proxy.workers, s->count);
        ok = false;
    }
    ok = ok && open_runtimes(s, loaded, runtimes, true, errors);
    if (ok && (!(publisher = publisher_new(loaded, s->publisher, errors)) ||
               !clerk_process_reopen(s->senders.clerk, &loaded->config->audit,
                                     &loaded->audit_policy, errors))) {
        for (unsigned i = 0; i < s->count; i++) runtime_release(runtimes[i]);
        ok = false;
    }
    if (!ok) {
        publisher_free(publisher);
        free(runtimes);
        loaded_config_release(loaded);
        return false;
    }
    __atomic_store_n(&s->runtimes_taken, 0, __ATOMIC_RELAXED);
    s->reloading = true;
    for (unsigned i = 0; i < s->count; i++)
        worker_thread_change_runtime(s->workers[i], runtimes[i]);
    free(s->runtimes);
    s->runtimes = runtimes;
    publisher_take_over(publisher, s->publisher);
    s->publisher = publisher;
    loaded_config_release(s->loaded);
    s->loaded = loaded;
    watch_lists(s);
    return true;
}

static void reload(struct server *s, enum reload what)
{
    struct text errors = {0};
    if (s->draining) return;
    if (s->reloading || !clerk_process_runs(s->senders.clerk)) { /* one at a time */
        if (what > s->again) s->again = what;
        return;
    }
    if (!try_reload(s, what, &errors)) {
        /* The audit file may have been rotated all the same. */
        struct text unused = {0};
        if (!clerk_process_reopen(s->senders.clerk, &s->loaded->config->audit, NULL, &unused))
            diag_error("the audit file cannot be opened anew: %s", text_string(&unused));
        text_fini(&unused);
        char *faults = text_take(&errors);
        if (faults) to_one_line(faults);
        diag_error("configuration rejected, the old one goes on: %s",
                   faults ? faults : "no memory");
        record(s, AUDIT_CONFIGURATION_REJECTED, faults);
        free(faults);
    }
    text_fini(&errors);
}

static void reload_again(struct server *s)
{
    enum reload again = s->again;
    s->again = RELOAD_NONE;
    if (again != RELOAD_NONE) reload(s, again);
}

static void on_new_hour(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct server *s = timer->data;
    struct ticket_key key;
    if (s->draining) return;
    bool made = ticket_key_generate(&key), taken = made;
    for (unsigned i = 0; made && i < s->started; i++)
        taken = worker_thread_change_ticket_key(s->workers[i], &key) && taken;
    explicit_bzero(&key, sizeof key);
    publisher_renew(s->publisher, time(NULL));
    if (ca_care_run(s->loaded->config, time(NULL))) reload(s, RELOAD_LISTS);
    if (!taken) diag_warning("some workers keep their key for session tickets for another hour");
}

static void on_hup(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    struct server *s = signal->data;
    ca_care_begin(s->config_file, time(NULL));
    reload(s, RELOAD_ALL);
}

static void on_list_changed(void *arg)
{
    diag_info("a file of addresses or destinations has changed");
    reload(arg, RELOAD_LISTS);
}

/* On a worker's thread. */
static void report_runtime_taken(void *arg)
{
    struct server *s = arg;
    __atomic_add_fetch(&s->runtimes_taken, 1, __ATOMIC_RELEASE);
    ev_async_send(s->loop, &s->runtime_taken);
}

/* The reload is complete when every worker uses the new configuration. */
static void on_runtime_taken(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    struct server *s = async->data;
    if (!s->reloading || __atomic_load_n(&s->runtimes_taken, __ATOMIC_ACQUIRE) < s->count) return;
    s->reloading = false;
    diag_info("configuration reloaded");
    for (size_t i = 0; i < s->loaded->config->listener_count; i++) {
        const struct listen_config *l = &s->loaded->config->listeners[i];
        char where[ADDR_TEXT_SIZE];
        addr_format(&s->loaded->listener_addresses[i], where);
        if (addr_port(&l->address) == 0) diag_info("listening on %s (%s)", where, l->name);
    }
    record_with_warnings(s, AUDIT_CONFIGURATION_LOADED);
    reload_again(s);
}

static void each_started(struct server *s, void (*tell)(struct worker_thread *t))
{
    for (unsigned i = 0; i < s->started; i++) tell(s->workers[i]);
}

static void on_drain_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    diag_info("drain_timeout is over: closing what is still open");
    each_started(timer->data, worker_thread_shut_down);
}

static void on_term(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)events;
    struct server *s = signal->data;
    if (s->draining) {
        /* A second signal: wait no longer. */
        ev_timer_stop(loop, &s->drain_over);
        each_started(s, worker_thread_shut_down);
        return;
    }
    s->draining = true;
    diag_info("stopping: open connections have %llu ms to end",
              (unsigned long long)s->loaded->config->proxy.drain_timeout);
    each_started(s, worker_thread_drain);
    publisher_free(s->publisher);
    s->publisher = NULL;
    ev_timer_set(&s->drain_over, (double)s->loaded->config->proxy.drain_timeout / 1000., 0.);
    ev_timer_start(loop, &s->drain_over);
}

/* On a worker's thread. */
static void report_ended(void *arg)
{
    struct server *s = arg;
    __atomic_add_fetch(&s->ended, 1, __ATOMIC_RELEASE);
    ev_async_send(s->loop, &s->worker_ended);
}

static void on_worker_ended(struct ev_loop *loop, ev_async *async, int events)
{
    (void)events;
    struct server *s = async->data;
    if (__atomic_load_n(&s->ended, __ATOMIC_ACQUIRE) == s->started) ev_break(loop, EVBREAK_ALL);
}

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
    struct server *s = arg;
    senders_connect(&s->senders, s->workers, s->count);
    record(s, AUDIT_PROCESS_ENDED, how);
    reload_again(s);
}

static bool start_workers(struct server *s, struct text *errors)
{
    sigset_t all, before;
    s->count = s->loaded->config->proxy.workers;
    s->workers = calloc(s->count, sizeof(struct worker_thread *));
    s->runtimes = calloc(s->count, sizeof(struct runtime *));
    if (!s->workers || !s->runtimes) return false;
    struct ticket_key key;
    bool ok = ticket_key_generate(&key);
    for (unsigned i = 0; ok && i < s->count; i++)
        ok = (s->workers[i] = worker_thread_new(i, &s->shared, &s->events, &key)) != NULL;
    explicit_bzero(&key, sizeof key);
    if (!ok) return false;
    if (!open_runtimes(s, s->loaded, s->runtimes, false, errors)) return false;
    if (!(s->publisher = publisher_new(s->loaded, NULL, errors))) return false;
    senders_connect(&s->senders, s->workers, s->count);
    /* Before any connection's record. */
    record_with_warnings(s, AUDIT_PROXY_STARTED);
    (void)!recorder_finish(s->senders.own, clock_steady_ns() + RECORDING_END_S * second_ns);
    s->start_recorded = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (s->started < s->count &&
           worker_thread_start(s->workers[s->started], s->runtimes[s->started]))
        s->started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (s->started < s->count) text_add(errors, "cannot start threads\n");
    return s->started == s->count;
}

/* Prints to standard output, unless the records go there. */
static void announce(const struct server *s)
{
    const struct config *c = s->loaded->config;
    bool taken = strcmp(c->audit.file, "-") == 0;
    for (size_t i = 0; i < c->audit.copies.n; i++)
        taken = taken || strcmp(c->audit.copies.items[i], "-") == 0;
    FILE *out = taken ? stderr : stdout;
    for (size_t i = 0; i < c->listener_count; i++) {
        char where[ADDR_TEXT_SIZE], target[TARGET_TEXT_SIZE] = "";
        const struct listen_config *l = &c->listeners[i];
        addr_format(&s->loaded->listener_addresses[i], where);
        if (l->upstream.host[0]) target_format(&l->upstream, target);
        fprintf(out, "suitegate: listening on %s (%s, %s%s%s%s)\n", where, l->name,
                listen_type_name(l->type), target[0] ? " to " : "", target,
                l->mode == MODE_OBSERVE ? ", only observes" : "");
    }
    fprintf(out, "suitegate: ready\n");
    fflush(out);
}

static void watch_signals(struct server *s)
{
    ev_signal_init(&s->hup, on_hup, SIGHUP);
    ev_signal_init(&s->term, on_term, SIGTERM);
    ev_signal_init(&s->interrupt, on_term, SIGINT);
    s->hup.data = s->term.data = s->interrupt.data = s;
    ev_signal_start(s->loop, &s->hup);
    ev_signal_start(s->loop, &s->term);
    ev_signal_start(s->loop, &s->interrupt);
    ev_async_init(&s->worker_ended, on_worker_ended);
    s->worker_ended.data = s;
    ev_async_start(s->loop, &s->worker_ended);
    ev_async_init(&s->runtime_taken, on_runtime_taken);
    s->runtime_taken.data = s;
    ev_async_start(s->loop, &s->runtime_taken);
    ev_timer_init(&s->drain_over, on_drain_over, 0., 0.);
    s->drain_over.data = s;
    ev_timer_init(&s->daily, on_new_day, DAY_SECONDS, DAY_SECONDS);
    s->daily.data = s;
    ev_timer_start(s->loop, &s->daily);
    ev_timer_init(&s->hourly, on_new_hour, TICKET_LIFETIME_S, TICKET_LIFETIME_S);
    s->hourly.data = s;
    ev_timer_start(s->loop, &s->hourly);
}

static void serve(struct server *s, const struct server_ready *ready)
{
    if (ready)
        ready->report(ready->arg, s->loaded->listener_addresses, s->loaded->config->listener_count);
    else
        announce(s);
    ev_run(s->loop, 0);
}

static void end(struct server *s, struct counts *total)
{
    for (unsigned i = 0; i < s->started; i++) {
        worker_thread_join(s->workers[i], total);
        senders_settle(&s->senders, worker_thread_recorder(s->workers[i]), i + 1);
        worker_thread_free(s->workers[i]);
    }
    for (unsigned i = s->started; s->workers && i < s->count; i++) {
        if (s->runtimes) runtime_release(s->runtimes[i]);
        if (s->workers[i]) worker_thread_free(s->workers[i]);
    }
    free(s->workers);
    free(s->runtimes);
    leaf_keys_fini(&s->leaf_keys);
}

static bool start_recording(struct server *s, struct text *errors)
{
    const struct clerk_events events = {on_clerk_restarted, s};
    bool ok = senders_start(&s->senders, s->loop, &s->loaded->config->audit,
                            &s->loaded->audit_policy, &events, errors);
    s->shared.recording = s->senders.recording;
    return ok;
}

bool server_run(const char *config_file, const struct server_ready *ready, struct text *errors)
{
    struct server s = {.config_file = config_file};
    confine_process();
    ca_care_begin(config_file, time(NULL));
    s.loaded = loaded_config_read(config_file, false, errors);
    if (!s.loaded) return false;
    leaf_keys_init(&s.leaf_keys);
    ignore_signals();
    raise_descriptors(s.loaded->config);
    s.loop = ev_default_loop(EVFLAG_NOENV);
    s.events = (struct worker_events){report_runtime_taken, report_ended, &s};
    s.shared.front_of = front_of;
    s.shared.route_of = route_of;
    s.shared.recent = recent_new();
    s.shared.own_hellos = own_hellos_new();
    s.shared.sources = sources_new(s.loaded->config->proxy.workers);
    if (s.loop) {
        watch_signals(&s);
        list_watch_init(&s.watch, s.loop, on_list_changed, &s);
        watch_lists(&s);
    }
    bool ok = s.loop && s.shared.recent && s.shared.own_hellos && s.shared.sources &&
              start_recording(&s, errors) && start_workers(&s, errors);
    if (ok) serve(&s, ready);
    if (!ok && s.started) {
        each_started(&s, worker_thread_drain);
        each_started(&s, worker_thread_shut_down);
    }
    struct counts total = {0};
    end(&s, &total);
    if (s.start_recorded) {
        char detail[96];
        snprintf(detail, sizeof detail, "%lu connections ended before their first byte.",
                 total.silent);
        record(&s, AUDIT_PROXY_STOPPED, detail);
    }
    size_t lost = senders_end(&s.senders);
    if (lost) diag_error("%zu audit records could not be written", lost);
    recent_free(s.shared.recent);
    sources_free(s.shared.sources);
    own_hellos_free(s.shared.own_hellos);
    list_watch_fini(&s.watch);
    publisher_free(s.publisher);
    loaded_config_release(s.loaded);
    if (s.loop) ev_loop_destroy(s.loop);
    if (!ok && errors->size == 0) text_add(errors, "out of memory or threads\n");
    return ok && lost == 0;
}
