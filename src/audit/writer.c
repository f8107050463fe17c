#include "audit/writer.h"

#include "output.h"
#include "repeats.h"

#include "base/clock.h"
#include "base/diag.h"
#include "pki/keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Records without a waiting caller are gathered for GATHER_MS: a wake-up of this thread costs more
 * than a record. */
enum { RETRY_MS = 200, GATHER_MS = 5 };
static const int64_t second_ns = 1000000000;

struct paths {
    char *file, *key, *state; /* key, state: may be NULL */
};

struct writer {
    pthread_t thread;
    struct counters counters;
    struct mirrors mirrors;
    struct paths paths; /* of the log in use; for the controlling thread only */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under lock: */
    struct record_queue incoming;
    bool stopping;
    bool urgent; /* a caller waits for one of them */
    bool asleep; /* the next record must wake the thread */
    struct change change;
    char profile[16], digest[65];
    struct repeats *repeats;

    struct output output; /* for the thread only */
};

/* ---- the thread ---- */

static struct timespec at_ns(int64_t t)
{
    return (struct timespec){.tv_sec = t / second_ns, .tv_nsec = t % second_ns};
}

static bool something_new(const struct writer *w)
{
    return w->stopping || w->change.log || w->change.fd >= 0;
}

/* Waits until there is urgent work, at most ms. */
static void rest(struct writer *w, int64_t ms)
{
    struct timespec until = at_ns(clock_steady_ns() + ms * 1000000);
    while (!w->urgent && !something_new(w) &&
           pthread_cond_timedwait(&w->wake, &w->lock, &until) == 0)
        ;
}

static void wait_for_work(struct writer *w)
{
    bool retry = atomic_load(&w->counters.failing);
    rest(w, retry ? RETRY_MS : GATHER_MS);
    w->asleep = true;
    while (!retry && !w->incoming.head && !something_new(w)) {
        int64_t a = output_due(&w->output), b = repeats_due(w->repeats);
        int64_t due = !a || (b && b < a) ? b : a;
        struct timespec until = at_ns(due);
        if (!due)
            pthread_cond_wait(&w->wake, &w->lock);
        else if (pthread_cond_timedwait(&w->wake, &w->lock, &until) == ETIMEDOUT)
            break;
    }
    w->asleep = false;
    w->urgent = false;
}

/* With the lock held. */
static void queue(struct writer *w, struct queued *i)
{
    counters_add_queued(&w->counters, i);
    record_queue_add(&w->incoming, i);
}

/* With the lock held. A count that cannot be recorded counts as a lost record. */
static void queue_repeated(struct writer *w, const struct audit_repeated *r)
{
    struct text line = {0};
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    struct audit_stamp stamp =
        audit_render_repeated(r, at, &(struct audit_policy){w->profile, w->digest}, &line);
    struct queued *i = queued_new(stamp, &line, NULL, NULL);
    if (i) {
        queue(w, i);
        return;
    }
    atomic_fetch_add(&w->counters.lost, r->count - 1);
    counters_add_lost(&w->counters);
}

/* With the lock held: the counts that are due, or all. */
static void queue_counts(struct writer *w, bool all)
{
    struct audit_repeated r;
    int64_t until = all ? INT64_MAX : clock_steady_ns();
    while (repeats_take(w->repeats, until, &r)) queue_repeated(w, &r);
}

static void *run(void *arg)
{
    struct writer *w = arg;
    for (;;) {
        pthread_mutex_lock(&w->lock);
        wait_for_work(w);
        queue_counts(w, something_new(w));
        struct queued *items = w->incoming.head;
        record_queue_clear(&w->incoming);
        struct change change = w->change;
        w->change.log = NULL;
        w->change.fd = -1;
        bool stopping = w->stopping;
        output_set_policy(&w->output, &(struct audit_policy){w->profile, w->digest});
        pthread_mutex_unlock(&w->lock);

        output_change(&w->output, change);
        output_take(&w->output, items);
        output_work(&w->output);
        if (!stopping) continue;
        output_conclude(&w->output, "stop");
        random_thread_fini(); /* used by the checkpoints' signatures */
        return NULL;
    }
}

/* ---- the controlling thread ---- */

static void set_policy(struct writer *w, const struct audit_policy *policy)
{
    snprintf(w->profile, sizeof w->profile, "%s", policy->profile);
    snprintf(w->digest, sizeof w->digest, "%s", policy->digest);
}

static void init_wake(struct writer *w)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->mirrors.lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
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
    e.policy = &(struct audit_policy){w->profile, w->digest};
    struct audit_stamp stamp = audit_render(&e, &line);
    pthread_mutex_unlock(&w->lock);
    writer_submit(w, stamp, &line, NULL, NULL);
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
    pthread_mutex_lock(&w->mirrors.lock);
    old = w->mirrors;
    for (size_t l = 0; ok && l < COUNT_OF(lists); l++)
        for (size_t i = 0; ok && i < lists[l]->n; i++, k++) {
            items[k] = take_mirror(&old, lists[l]->items[i], l == 1);
            if (!items[k]) items[k] = mirror_new(lists[l]->items[i], l == 1, &report);
            ok = items[k] != NULL;
        }
    w->mirrors.items = items;
    w->mirrors.n = ok ? n : 0;
    pthread_mutex_unlock(&w->mirrors.lock);
    free_mirrors(old.items, old.n);
    if (!ok) free_mirrors(items, k);
    if (!ok) w->mirrors.items = NULL;
    if (!ok) text_add(errors, "audit: out of memory or threads for the further sinks\n");
    return ok;
}

/* Returns how many records were left. */
static size_t writer_release(struct writer *w)
{
    size_t left = output_fini(&w->output);
    free_mirrors(w->mirrors.items, w->mirrors.n);
    pthread_mutex_destroy(&w->mirrors.lock);
    /* Records that the mirrors queued after the thread's end. */
    if (w->incoming.head) diag_warning("a further sink did not get all records; see above");
    while (w->incoming.head) queued_free(record_queue_take_first(&w->incoming));
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    repeats_free(w->repeats);
    paths_fini(&w->paths);
    free(w);
    return left;
}

struct writer *writer_new(const struct audit_config *config, const struct audit_policy *policy,
                          struct text *errors)
{
    struct writer *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    record_queue_clear(&w->incoming);
    w->change = (struct change){.fd = -1, .sync = config->sync};
    set_policy(w, policy);
    init_wake(w);
    w->paths = paths_of(config);
    w->repeats = repeats_new();
    w->output = (struct output){.counters = &w->counters,
                                .mirrors = &w->mirrors,
                                .sync = config->sync,
                                .memory = fallback_memory_new()};
    record_queue_clear(&w->output.pending);
    output_set_policy(&w->output, policy);
    struct logfile *log =
        copies_are_apart(config, &w->paths, errors) ? logfile_open(config, errors) : NULL;
    if (log) output_begin(&w->output, log);
    if (log && set_mirrors(w, config, errors) && w->output.memory && w->repeats && w->paths.file &&
        pthread_create(&w->thread, NULL, run, w) == 0)
        return w;
    if (log && errors->size == 0) text_add(errors, "audit: out of memory or threads\n");
    writer_release(w);
    return NULL;
}

size_t writer_free(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    return writer_release(w);
}

void writer_submit(struct writer *w, struct audit_stamp stamp, struct text *line,
                   const struct audit_offer *offer, const struct writer_reply *reply)
{
    /* Many records may have to wait long: use less memory. */
    if (atomic_load_explicit(&w->counters.failing, memory_order_relaxed))
        text_trim(line, CHAIN_ROOM);
    struct queued *i = queued_new(stamp, line, offer, reply);
    if (!i) {
        counters_add_lost(&w->counters);
        if (reply) reply->answer(reply->context, reply->token, false);
        return;
    }
    pthread_mutex_lock(&w->lock);
    if (stamp.action == AUDIT_PROXY_STOPPED) queue_counts(w, true); /* the last record */
    queue(w, i);
    bool wake = w->asleep || (reply && !w->urgent);
    w->asleep = false;
    w->urgent = w->urgent || reply;
    if (wake) pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

/* An IPv6 /64 counts as one source: one host may have all of it. */
static struct addr source_of(const struct addr *a)
{
    struct addr source = *a;
    uint8_t bytes[16];
    if (addr_bytes(a, bytes) == sizeof bytes)
        memset(source.v6.sin6_addr.s6_addr + 8, 0, sizeof bytes - 8);
    return source;
}

bool writer_count_refusal(struct writer *w, const struct addr *source, const char *listener,
                          const char *destination, enum reason reason,
                          const struct writer_reply *reply)
{
    struct audit_repeated refusal = {.source = source_of(source), .reason = reason}, displaced;
    clock_gettime(CLOCK_REALTIME, &refusal.first);
    refusal.last = refusal.first;
    snprintf(refusal.listener, sizeof refusal.listener, "%s", listener);
    pthread_mutex_lock(&w->lock);
    int64_t due = repeats_due(w->repeats);
    bool counted = repeats_count(w->repeats, &refusal, destination, clock_steady_ns(), &displaced);
    if (displaced.count) queue_repeated(w, &displaced);
    if (due != repeats_due(w->repeats) || displaced.count) pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    if (counted && reply)
        reply->answer(reply->context, reply->token, !atomic_load(&w->counters.failing));
    return counted;
}

bool writer_available(struct writer *w)
{
    return !atomic_load_explicit(&w->counters.failing, memory_order_relaxed) && writer_has_room(w);
}

bool writer_has_room(struct writer *w)
{
    return atomic_load_explicit(&w->counters.queued, memory_order_relaxed) < WRITER_QUEUE_LIMIT &&
           atomic_load_explicit(&w->counters.queued_bytes, memory_order_relaxed) <
               WRITER_QUEUE_BYTES;
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

static void hand_over(struct writer *w, struct change change)
{
    if (w->change.log && change.fd >= 0) { /* same path, and still pending */
        close(change.fd);
        w->change.sync = change.sync;
        return;
    }
    if (w->change.fd >= 0) close(w->change.fd);
    logfile_close(w->change.log);
    w->change = change;
}

bool writer_reopen(struct writer *w, const struct audit_config *config,
                   const struct audit_policy *policy, struct text *errors)
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
    pthread_mutex_lock(&w->lock);
    hand_over(w, change);
    if (policy) set_policy(w, policy);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    return set_mirrors(w, config, errors);
}
