/* The proxy as the keeper's: started, told what to serve, started again. */
#include "keeper_impl.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/errand.h"
#include "net/names.h"
#include "serve/own_records.h"

#include <errno.h>
#include <string.h>

static const int64_t second_ns = 1000000000;
/* One that ended within a second of its start is started again later. */
static const double again_s = .5;
/* How often /etc/hosts and the like are looked at. */
static const double look_s = 1;

/* Its configuration is loaded: it may serve. */
static void let_serve(struct keeper *k)
{
    senders_use(&k->senders, k->proxy, k->now.loaded->config->proxy.workers);
    if (!k->start_recorded) { /* before any connection's record */
        own_record_with_warnings(k->senders.own, k->now.loaded, AUDIT_PROXY_STARTED);
        int64_t patience = (k->former >= 0 ? RECORDING_WAIT_S : RECORDING_END_S) * second_ns;
        bool written = recorder_finish(k->senders.own, clock_steady_ns() + patience);
        k->start_recorded = true;
        if (!written && k->former >= 0) {
            keeper_fail(k, "its start cannot be recorded\n");
            return;
        }
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
        keeper_change(k);
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
        keeper_fail(k, faults);
    } else if (k->phase == PHASE_LOADING) {
        diag_error("the proxy cannot serve: %.*s", (int)strcspn(faults, "\n"), faults);
        proxy_process_close(k->proxy); /* and another one is started */
    } else if (k->phase == PHASE_RELOADING) {
        k->phase = PHASE_SERVING;
        keeper_reject(k, &errors);
        keeper_go_on(k);
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
        keeper_note_changed(k);
    else if (k->announced)
        diag_info("the proxy serves again");
    else if (k->ready)
        k->ready->report(k->ready->arg, loaded->listener_addresses, loaded->config->listener_count);
    else
        setting_announce(&k->now);
    (void)!clerk_process_ping(k->senders.clerk);
    if (!k->announced) {
        k->state.loads = 1;
        k->state.loaded = (unsigned long)loaded->at;
        keeper_note_serving(k);
    }
    keeper_tell_state(k);
    k->announced = true;
    keeper_go_on(k);
}

static void on_missed(void *arg, unsigned channel)
{
    struct keeper *k = arg;
    senders_missed(&k->senders, channel);
}

static void on_drained(void *arg)
{
    keeper_note_drained(arg);
}

static void on_start_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    keeper_start_proxy(timer->data);
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
    keeper_reject(k, &errors); /* which takes the text */
}

static void on_mend(void *arg)
{
    struct keeper *k = arg;
    sockets_mend(&k->now.sockets, k->now.loaded);
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
    keeper_note_drained(k);
    if (k->phase == PHASE_CHANGING) keeper_note_changed(k); /* the next one begins with it */
    k->phase = PHASE_ABSENT;
    k->silent += end->silent;
    k->lost += end->lost;
    if (!wanted) {
        errand_run(on_mend, k);
        diag_error("%s", end->how);
        if (!told) keeper_record(k, AUDIT_PROCESS_ENDED, end->how);
    }
    give_up_reload(k);
    if (k->draining)
        keeper_end_if_done(k);
    else if (!k->announced)
        keeper_fail(k, "the proxy ended before it served\n");
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

/* ---- names ---- */

/* It may open no file, and would not see that they have changed. */
static void give_names(struct keeper *k)
{
    int fd = k->proxy && k->names ? names_seal(k->names) : -1;
    if (fd >= 0)
        proxy_process_give_names(k->proxy, fd);
    else if (k->proxy)
        diag_error("the system's name servers cannot be handed to the proxy: %s", strerror(errno));
}

static void on_read_names(void *arg)
{
    *(struct names **)arg = names_use();
}

static bool names_have_changed(struct keeper *k)
{
    struct names *now = NULL;
    errand_run(on_read_names, &now);
    bool changed = now && now != k->names;
    names_release(changed ? k->names : now);
    if (changed) k->names = now;
    return changed;
}

static void on_look_at_names(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct keeper *k = timer->data;
    if (names_have_changed(k)) give_names(k);
}

void keeper_tell_state(struct keeper *k)
{
    struct text own = {0};
    const char *clerk = clerk_process_state(k->senders.clerk);
    if (!k->proxy) return;
    keeper_state_put(&k->state, &own);
    proxy_process_tell_state(k->proxy, text_string(&own), clerk);
    text_fini(&own);
}

void keeper_start_proxy(struct keeper *k)
{
    struct text errors = {0};
    const struct proxy_events events = {on_loaded,  on_refused, on_used, on_missed,
                                        on_drained, on_ended,   k};
    k->proxy_since_ns = clock_steady_ns();
    k->proxy = proxy_process_new(k->loop, &events, &errors);
    if (k->proxy) {
        k->state.proxy_starts++;
        k->phase = PHASE_LOADING;
        give_signers(k);
        (void)names_have_changed(k);
        give_names(k);
        setting_give(&k->now, k->config_file, k->proxy);
    } else if (k->announced) {
        diag_error("%.*s", (int)strcspn(text_string(&errors), "\n"), text_string(&errors));
        start_proxy_later(k);
    } else {
        keeper_fail(k, text_string(&errors));
    }
    text_fini(&errors);
}

void keeper_watch_proxy(struct keeper *k)
{
    ev_timer_init(&k->start_again, on_start_again, 0., 0.);
    k->start_again.data = k;
    ev_timer_init(&k->look_at_names, on_look_at_names, look_s, look_s);
    k->look_at_names.data = k;
    ev_timer_start(k->loop, &k->look_at_names);
}
