/* Reloads: one at a time, while the proxy serves. */
#include "keeper_impl.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/errand.h"
#include "base/notify.h"
#include "serve/ca_care.h"
#include "serve/control_order.h"
#include "serve/own_records.h"

void keeper_watch_files(struct keeper *k)
{
    if (!file_watch_use(&k->watch, k->now.loaded->config))
        diag_error("no memory to watch the configuration's files: send SIGHUP after a change");
}

void keeper_go_on(struct keeper *k)
{
    if (k->upgrade_wanted) {
        k->upgrade_wanted = false;
        keeper_upgrade(k);
    }
    enum reload again = k->again;
    if (k->upgrade || again == RELOAD_NONE) return; /* the next keeper reads all anew */
    k->again = RELOAD_NONE;
    keeper_reload(k, again);
}

/* Whoever has asked meanwhile gets the answer of the next one, which has read what is there by now.
 */
static void answer(struct keeper *k, bool done, const char *text)
{
    if (k->again == RELOAD_ALL) return;
    control_answer(k->control, CONTROL_RELOAD, done, text);
    notify_manager("READY=1\nSTATUS=Serving.%s",
                   done ? "" : " The last configuration was rejected.");
}

void keeper_reject(struct keeper *k, struct text *errors)
{
    /* The audit file may have been rotated all the same. */
    struct text unused = {0};
    k->rejecting = true;
    if (!clerk_process_reopen(k->senders.clerk, &k->now.loaded->config->audit, NULL, &unused))
        diag_error("the audit file cannot be opened anew: %s", text_string(&unused));
    text_fini(&unused);
    k->state.rejections++;
    answer(k, false, text_string(errors));
    own_record_rejection(k->senders.own, k->now.loaded, errors);
    if (k->next.loaded) signers_forget(k->signers, k->next.loaded);
    setting_fini(&k->next);
    k->rejecting = false;
}

struct read_errand {
    struct setting *next;
    const struct setting_source *from;
    struct text *errors;
    bool ok;
};

static void on_read(void *arg)
{
    struct read_errand *e = arg;
    e->ok = setting_read(e->next, e->from, e->errors);
}

static void on_care(void *arg)
{
    const struct keeper *k = arg;
    ca_care_begin(k->config_file, time(NULL));
}

void keeper_reload_all(struct keeper *k)
{
    if (k->draining) {
        control_answer(k->control, CONTROL_RELOAD, false, "it is stopping\n");
        return;
    }
    notify_manager("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_steady_ns() / 1000));
    errand_run(on_care, k);
    keeper_reload(k, RELOAD_ALL);
}

void keeper_reload(struct keeper *k, enum reload what)
{
    struct text errors = {0};
    if (k->draining) return;
    bool busy = k->phase != PHASE_SERVING || !clerk_process_runs(k->senders.clerk) || k->upgrade;
    if (busy) { /* one at a time */
        if (what > k->again) k->again = what;
        return;
    }
    enum setting_scope scope = what == RELOAD_ALL ? SETTING_ALL : SETTING_FILES;
    const struct setting_source from = {
        .config_file = k->config_file, .serial = ++k->serial, .running = &k->now, .scope = scope};
    struct read_errand reading = {.next = &k->next, .from = &from, .errors = &errors};
    errand_run(on_read, &reading);
    if (reading.ok) {
        k->phase = PHASE_RELOADING;
        signers_add(k->signers, k->next.loaded);
        setting_give(&k->next, k->config_file, k->proxy);
    } else {
        keeper_reject(k, &errors);
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

void keeper_change(struct keeper *k)
{
    struct text errors = {0};
    if (!clerk_process_reopen(k->senders.clerk, &k->next.loaded->config->audit,
                              &k->next.loaded->origin, &errors)) {
        proxy_process_forget(k->proxy);
        keeper_reject(k, &errors);
        k->phase = PHASE_SERVING;
        text_fini(&errors);
        keeper_go_on(k);
        return;
    }
    struct setting old = k->now;
    k->now = k->next;
    k->next = (struct setting){.files = -1};
    keep_former(k, old.loaded->config);
    setting_fini(&old); /* first: the proxy leaves what nobody else has any more */
    keeper_watch_files(k);
    k->phase = PHASE_CHANGING;
    proxy_process_use(k->proxy);
    text_fini(&errors);
}

/* The reload is complete when every worker uses the new configuration. */
void keeper_note_changed(struct keeper *k)
{
    const struct loaded_config *loaded = k->now.loaded;
    k->state.loads++;
    k->state.loaded = (unsigned long)loaded->at;
    diag_info("configuration reloaded");
    for (size_t i = 0; i < loaded->config->listener_count; i++) {
        const struct listen_config *l = &loaded->config->listeners[i];
        char where[ADDR_TEXT_SIZE];
        addr_format(&loaded->listener_addresses[i], where);
        if (addr_port(&l->address) == 0) diag_info("listening on %s (%s)", where, l->name);
    }
    own_record_with_warnings(k->senders.own, k->now.loaded, AUDIT_CONFIGURATION_LOADED);
    answer(k, true, "");
}

void keeper_watch_former_keys(struct keeper *k)
{
    ev_timer_init(&k->former_over, on_former_over, 0., 0.);
    k->former_over.data = k;
}
