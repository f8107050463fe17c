#include "audit/writer.h"

#include "output.h"

#include "audit/log_kept.h"
#include "base/clock.h"
#include "base/diag.h"
#include "pki/keys.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const double retry_s = .2;

struct paths {
    char *file, *key, *state; /* key, state: may be NULL */
};

struct writer {
    struct ev_loop *loop;
    struct writer_events events;
    struct counters counters;
    struct mirrors mirrors;
    struct paths paths; /* of the log in use */
    struct record_queue incoming;
    struct output output;
    ev_prepare soon; /* active: work before the loop waits */
    ev_timer due;
    ev_async reported;
    pthread_mutex_t lock;
    struct record_queue reports; /* under lock: of the mirrors' threads */
    bool concluded;
};

/* ---- work ---- */

static void start_timer(struct writer *w, double seconds)
{
    ev_timer_stop(w->loop, &w->due);
    ev_timer_set(&w->due, seconds, 0.);
    ev_timer_start(w->loop, &w->due);
}

static void schedule(struct writer *w)
{
    int64_t due = output_due(&w->output);
    ev_timer_stop(w->loop, &w->due);
    if (w->counters.failing) {
        start_timer(w, retry_s);
    } else if (due) {
        int64_t left = due - clock_steady_ns();
        ev_now_update(w->loop);
        start_timer(w, left > 0 ? (double)left / 1e9 : 0.);
    }
}

static void take_incoming(struct writer *w)
{
    struct queued *items = w->incoming.head;
    record_queue_clear(&w->incoming);
    output_take(&w->output, items);
}

static void settle(void *context, bool all)
{
    struct writer *w = context;
    if (w->events.settled) w->events.settled(w->events.context, all);
}

static void work(struct writer *w)
{
    ev_prepare_stop(w->loop, &w->soon);
    take_incoming(w);
    output_work(&w->output);
    schedule(w);
    settle(w, false);
}

static void on_soon(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop;
    (void)events;
    work(prepare->data);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    work(timer->data);
}

static void queue(struct writer *w, struct queued *i)
{
    counters_add_queued(&w->counters, i);
    record_queue_add(&w->incoming, i);
    ev_prepare_start(w->loop, &w->soon);
}

void writer_submit(struct writer *w, struct audit_stamp stamp, struct text *line,
                   const struct writer_reply *reply)
{
    /* Many records may have to wait long: use less memory. */
    if (w->counters.failing) text_trim(line, CHAIN_ROOM);
    struct queued *i = queued_new(stamp, line, reply);
    if (i) {
        queue(w, i);
        return;
    }
    counters_add_lost(&w->counters);
    if (reply) reply->answer(reply->context, reply->number, false);
}

void writer_note_lost(struct writer *w, const char *sender, size_t count)
{
    snprintf(w->output.lost_by, sizeof w->output.lost_by, "%s", sender);
    w->counters.lost += count;
}

bool writer_is_failing(const struct writer *w)
{
    return w->counters.failing;
}

bool writer_has_room(const struct writer *w)
{
    return w->counters.queued < WRITER_QUEUE_LIMIT && w->counters.queued_bytes < WRITER_QUEUE_BYTES;
}

const struct receipt *writer_last_receipts(const struct writer *w, size_t *n)
{
    *n = w->output.log->receipt_count;
    return w->output.log->receipts;
}

/* ---- its life ---- */

static void set_origin(struct writer *w, const struct audit_origin *origin)
{
    pthread_mutex_lock(&w->lock);
    w->output.origin = *origin;
    pthread_mutex_unlock(&w->lock);
}

static struct paths paths_of(const struct audit_config *config)
{
    return (struct paths){text_copy(config->file, strlen(config->file)), logfile_key_path(config),
                          logfile_state_path(config)};
}

static void paths_fini(struct paths *p)
{
    free(p->file);
    free(p->key);
    free(p->state);
}

/* A copy must not be a file of the log or of another copy. */
static bool copies_are_apart(const struct audit_config *config, const struct paths *paths,
                             struct text *errors)
{
    const char *taken[] = {paths->file, paths->state, paths->key};
    size_t before = errors->size;
    for (size_t i = 0; i < config->copies.n; i++) {
        const char *copy = config->copies.items[i];
        bool twice = false;
        for (size_t k = 0; k < COUNT_OF(taken); k++)
            twice = twice || (taken[k] && logfile_is_same(copy, taken[k]));
        for (size_t k = 0; k < i; k++)
            twice = twice || logfile_is_same(copy, config->copies.items[k]);
        if (twice) text_printf(errors, "[audit] copy: %s is written already\n", copy);
    }
    return errors->size == before;
}

/* On a mirror's thread. */
static void report_dropped(void *context, const char *sink, uint64_t count)
{
    struct writer *w = context;
    struct text line = {0};
    struct audit_log about = {.sink = sink, .dropped = count};
    struct audit_event e = {.action = AUDIT_LOG_DROPPED,
                            .duration_ns = -1,
                            .alert_sent = -1,
                            .alert_received = -1,
                            .log = &about};
    clock_gettime(CLOCK_REALTIME, &e.at);
    pthread_mutex_lock(&w->lock);
    e.origin = &w->output.origin;
    struct audit_stamp stamp = audit_render(&e, &line);
    struct queued *i = queued_new(stamp, &line, NULL);
    if (i) record_queue_add(&w->reports, i);
    pthread_mutex_unlock(&w->lock);
    if (i)
        ev_async_send(w->loop, &w->reported);
    else
        diag_error("out of memory: an audit record is lost");
}

void writer_submit_own(struct writer *w, enum audit_action action, const char *detail,
                       const struct audit_cut *cut)
{
    struct queued *i = output_own_record(&w->output, action, detail, cut);
    if (i) queue(w, i);
}

static void take_reports(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    struct queued *i = w->reports.head, *next;
    record_queue_clear(&w->reports);
    pthread_mutex_unlock(&w->lock);
    for (; i; i = next) {
        next = i->next;
        w->output.own.number++;
        receipt_add(&w->output.own, i->line->stamp.at, &i->line->text);
        i->line->open_size = i->line->text.size;
        queue(w, i);
    }
}

static void on_reported(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    take_reports(async->data);
}

void writer_describe(const struct writer *w, struct log_state *out)
{
    const struct logfile *log = w->output.log;
    *out = (struct log_state){.written = w->counters.written,
                              .waiting = w->counters.queued,
                              .failing = w->counters.failing};
    if (log) {
        out->sequence = log->written.sequence;
        out->syncs = log->syncs;
        memcpy(out->head, log->written.hash, sizeof out->head);
    }
    for (size_t i = 0; i < w->mirrors.n && i < LOG_STATE_SINKS; i++)
        mirror_describe(w->mirrors.items[i], &out->sinks[out->sink_count++]);
}

static struct mirror *take_mirror(struct mirrors *from, const char *name, bool is_syslog)
{
    for (size_t i = 0; i < from->n; i++) {
        struct mirror *m = from->items[i];
        if (!m || !mirror_is(m, name, is_syslog)) continue;
        from->items[i] = NULL;
        mirror_reopen(m);
        return m;
    }
    return NULL;
}

static void free_mirrors(struct mirror **items, size_t n)
{
    for (size_t i = 0; i < n; i++) mirror_end(items[i]); /* all at once, then one by one */
    for (size_t i = 0; i < n; i++) mirror_free(items[i]);
    free(items);
}

/* Mirrors that stay keep their queue. */
static bool set_mirrors(struct writer *w, const struct audit_config *config, struct text *errors)
{
    const struct string_list *lists[] = {&config->copies, &config->syslog};
    struct mirror_report report = {report_dropped, w};
    struct mirrors old;
    size_t n = config->copies.n + config->syslog.n, k = 0;
    struct mirror **items = calloc(n + 1, sizeof(struct mirror *));
    bool ok = items != NULL;
    old = w->mirrors;
    for (size_t l = 0; ok && l < COUNT_OF(lists); l++)
        for (size_t i = 0; ok && i < lists[l]->n; i++, k++) {
            items[k] = take_mirror(&old, lists[l]->items[i], l == 1);
            if (!items[k]) items[k] = mirror_new(lists[l]->items[i], l == 1, &report);
            ok = items[k] != NULL;
        }
    w->mirrors.items = items;
    w->mirrors.n = ok ? n : 0;
    free_mirrors(old.items, old.n);
    if (!ok) free_mirrors(items, k);
    if (!ok) w->mirrors.items = NULL;
    if (!ok) text_add(errors, "audit: out of memory or threads for the further sinks\n");
    return ok;
}

static void init_watchers(struct writer *w)
{
    pthread_mutex_init(&w->lock, NULL);
    ev_prepare_init(&w->soon, on_soon);
    ev_timer_init(&w->due, on_due, 0., 0.);
    ev_async_init(&w->reported, on_reported);
    w->soon.data = w->due.data = w->reported.data = w;
    ev_async_start(w->loop, &w->reported);
}

/* Returns how many records were left. */
static size_t writer_release(struct writer *w)
{
    ev_prepare_stop(w->loop, &w->soon);
    ev_timer_stop(w->loop, &w->due);
    size_t left = output_fini(&w->output);
    free_mirrors(w->mirrors.items, w->mirrors.n);
    ev_async_stop(w->loop, &w->reported);
    if (w->reports.head) diag_warning("a further sink did not get all records; see above");
    while (w->reports.head) queued_free(record_queue_take_first(&w->reports));
    pthread_mutex_destroy(&w->lock);
    paths_fini(&w->paths);
    free(w);
    return left;
}

struct writer *writer_new(struct ev_loop *loop, const struct audit_config *config,
                          const struct audit_origin *origin, const char *name,
                          const struct writer_events *events, struct text *errors)
{
    struct writer *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->loop = loop;
    if (events) w->events = *events;
    record_queue_clear(&w->incoming);
    record_queue_clear(&w->reports);
    init_watchers(w);
    w->paths = paths_of(config);
    w->output = (struct output){.counters = &w->counters,
                                .mirrors = &w->mirrors,
                                .sync = config->sync,
                                .batch_done = settle,
                                .context = w};
    snprintf(w->output.own.sender, RECEIPT_SENDER, "%s", name);
    record_queue_clear(&w->output.pending);
    set_origin(w, origin);
    struct logfile *log =
        copies_are_apart(config, &w->paths, errors) ? logfile_open(config, errors) : NULL;
    if (log) output_begin(&w->output, log);
    if (log && set_mirrors(w, config, errors) && w->paths.file) {
        ev_prepare_start(w->loop, &w->soon);
        return w;
    }
    if (log && errors->size == 0) text_add(errors, "audit: out of memory or threads\n");
    writer_release(w);
    return NULL;
}

static void conclude(struct writer *w)
{
    if (w->concluded) return;
    w->concluded = true;
    take_reports(w);
    take_incoming(w);
    output_work(&w->output);
    output_conclude(&w->output, "stop");
    /* What the further sinks have not got by now is lost to them, on record. */
    struct mirrors mirrors = w->mirrors;
    w->mirrors.n = 0;
    w->mirrors.items = NULL;
    free_mirrors(mirrors.items, mirrors.n);
    if (w->reports.head) {
        take_reports(w);
        take_incoming(w);
        output_work(&w->output);
        output_conclude(&w->output, "stop");
    }
    settle(w, true);
}

int writer_conclude(struct writer *w)
{
    struct snapshot *kept = snapshot_new();
    conclude(w);
    int fd = kept && log_keep(w->output.log, kept) ? snapshot_seal(kept) : -1;
    snapshot_free(kept);
    return fd;
}

size_t writer_free(struct writer *w)
{
    conclude(w);
    return writer_release(w);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Opens what `to` needs. False with a sentence in errors. */
static bool prepare_change(struct writer *w, const struct audit_config *config,
                           const struct paths *to, struct change *out, struct text *errors)
{
    *out = (struct change){.fd = -1, .sync = config->sync};
    if (!logfile_is_same(to->file, w->paths.file)) {
        if (to->state && w->paths.state && logfile_is_same(to->state, w->paths.state)) {
            text_printf(errors,
                        "audit file %s would share its state %s with %s: give it a name that "
                        "differs in more than its ending, or, where it is no file, a key of its "
                        "own\n",
                        to->file, to->state, w->paths.file);
            return false;
        }
        return (out->log = logfile_open(config, errors)) != NULL;
    }
    if (!same_text(to->key, w->paths.key)) {
        text_add(errors, "[audit] key: another key for the same file needs a restart\n");
        return false;
    }
    return (out->fd = logfile_open_again(w->paths.file, errors)) >= 0;
}

bool writer_reopen(struct writer *w, const struct audit_config *config,
                   const struct audit_origin *origin, struct text *errors)
{
    struct change change;
    struct paths paths = paths_of(config);
    bool ok = paths.file && copies_are_apart(config, &paths, errors) &&
              prepare_change(w, config, &paths, &change, errors);
    if (ok && change.log) {
        struct paths former = w->paths;
        w->paths = paths;
        paths = former;
    }
    paths_fini(&paths);
    if (!ok) return false;
    /* What is in this file is known to its senders before another one begins. */
    take_incoming(w);
    output_work(&w->output);
    settle(w, true);
    output_change(&w->output, change);
    if (origin) set_origin(w, origin);
    ok = set_mirrors(w, config, errors);
    ev_prepare_start(w->loop, &w->soon);
    return ok;
}
