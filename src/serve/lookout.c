#include "serve/lookout.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const int64_t second_ns = 1000000000;
enum {
    STATE_LIMIT_S =
        15, /* the keeper tells it every few seconds, if it does not wait for the clerk */
    DESCRIPTORS_MOST = 1 << 18,
};

struct lookout {
    struct worker_shared *shared;
    pthread_mutex_t showing; /* one overview at a time */
    pthread_mutex_t lock;    /* for what follows */
    struct loaded_config *loaded;
    struct worker_thread **workers;
    unsigned worker_count;
    bool draining;
    struct keeper_state keeper;
    struct log_state log;
    int64_t keeper_ns, log_ns; /* steady: when they were told; 0: not yet */
    struct overview_sample samples[OVERVIEW_SAMPLES];
    size_t sample_count;
    /* The answers of a round. */
    pthread_cond_t answered;
    bool here[CONFIG_WORKERS];
    unsigned long open_bytes[CONFIG_WORKERS][COUNTS_LEGS]; /* as each worker told last */
    unsigned answers;
    struct census census;
    struct counts counts;
};

struct lookout *lookout_new(struct worker_shared *shared)
{
    struct lookout *l = calloc(1, sizeof *l);
    pthread_condattr_t attributes;
    if (!l) return NULL;
    l->shared = shared;
    pthread_mutex_init(&l->showing, NULL);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&l->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    return l;
}

void lookout_free(struct lookout *l)
{
    if (!l) return;
    loaded_config_release(l->loaded);
    pthread_cond_destroy(&l->answered);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->showing);
    free(l);
}

void lookout_watch(struct lookout *l, struct worker_thread **workers, unsigned n)
{
    pthread_mutex_lock(&l->showing); /* nobody asks them any more */
    pthread_mutex_lock(&l->lock);
    l->workers = workers;
    l->worker_count = n;
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_unlock(&l->showing);
}

void lookout_use(struct lookout *l, struct loaded_config *loaded)
{
    pthread_mutex_lock(&l->showing); /* it may be on show */
    pthread_mutex_lock(&l->lock);
    loaded_config_release(l->loaded);
    l->loaded = loaded_config_hold(loaded);
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_unlock(&l->showing);
}

void lookout_note_state(struct lookout *l, const char *keeper, const char *clerk)
{
    pthread_mutex_lock(&l->lock);
    keeper_state_read(keeper, &l->keeper);
    l->keeper_ns = clock_steady_ns();
    if (*clerk) {
        log_state_read(clerk, &l->log);
        l->log_ns = l->keeper_ns;
    }
    pthread_mutex_unlock(&l->lock);
}

void lookout_note_drain(struct lookout *l)
{
    pthread_mutex_lock(&l->lock);
    l->draining = true;
    pthread_mutex_unlock(&l->lock);
}

/* With the lock held. */
static void sum_counts(const struct lookout *l, struct counts *total)
{
    for (unsigned i = 0; i < l->worker_count; i++)
        counts_sum(total, worker_thread_counts(l->workers[i]));
}

void lookout_sample(struct lookout *l)
{
    struct counts total = {0};
    pthread_mutex_lock(&l->lock);
    sum_counts(l, &total);
    if (l->sample_count == OVERVIEW_SAMPLES)
        memmove(l->samples, l->samples + 1, --l->sample_count * sizeof l->samples[0]);
    l->samples[l->sample_count++] =
        (struct overview_sample){time(NULL), total.opened, overview_refused(&total)};
    pthread_mutex_unlock(&l->lock);
}

bool lookout_allows(struct lookout *l, const struct addr *client)
{
    pthread_mutex_lock(&l->lock);
    bool allowed = l->loaded && list_has_address(&l->loaded->config->operate.allow_clients, client);
    pthread_mutex_unlock(&l->lock);
    return allowed;
}

/* ---- a round ---- */

/* On the worker's thread: what it has counted, and what its connections are doing, at the same
 * moment. It may come a round late. */
static void answer(void *arg, const struct worker *w)
{
    struct lookout *l = arg;
    pthread_mutex_lock(&l->lock);
    if (!l->here[w->number]) {
        l->here[w->number] = true;
        unsigned long before[COUNTS_LEGS];
        memcpy(before, l->census.bytes, sizeof before);
        census_take(w, &l->census);
        counts_sum(&l->counts, &w->counts);
        for (int leg = 0; leg < COUNTS_LEGS; leg++)
            l->open_bytes[w->number][leg] = l->census.bytes[leg] - before[leg];
        l->answers++;
        pthread_cond_signal(&l->answered);
    }
    pthread_mutex_unlock(&l->lock);
}

/* Its counts, and of what it told last the bytes: sums must not fall. */
static void take_late(struct lookout *l, unsigned worker)
{
    counts_sum(&l->counts, worker_thread_counts(l->workers[worker]));
    for (int leg = 0; leg < COUNTS_LEGS; leg++) l->census.bytes[leg] += l->open_bytes[worker][leg];
}

/* With the lock held. False: some did not answer in time; nobody waits for these again. */
static bool ask_workers(struct lookout *l)
{
    unsigned asked = 0, over = 0;
    bool all = true;
    memset(&l->census, 0, sizeof l->census);
    memset(l->here, 0, sizeof l->here);
    l->counts = (struct counts){0};
    l->answers = 0;
    for (unsigned i = 0; i < l->worker_count; i++)
        switch (worker_thread_call(l->workers[i], answer, l)) {
        case WORKER_CALL_SENT:
            asked++;
            break;
        case WORKER_CALL_WAITS:
            break;
        case WORKER_CALL_OVER:
            over++;
        }
    int64_t until_ns = clock_steady_ns() + LOOKOUT_WAIT_S * second_ns;
    const struct timespec until = {.tv_sec = until_ns / second_ns, .tv_nsec = until_ns % second_ns};
    while (l->answers < asked && all)
        all = pthread_cond_timedwait(&l->answered, &l->lock, &until) != ETIMEDOUT;
    for (unsigned i = 0; i < l->worker_count; i++)
        if (!l->here[i]) take_late(l, i);
    return l->answers + over >= l->worker_count;
}

static int64_t age_s(int64_t told_ns)
{
    return told_ns ? (clock_steady_ns() - told_ns) / second_ns : -1;
}

static const char *find_fault(const struct lookout *l, bool all_answered)
{
    if (l->log.failing) return "The audit log cannot be written: new connections are refused";
    if (!all_answered) return "A worker thread does not answer";
    if (age_s(l->keeper_ns) > STATE_LIMIT_S) return "The keeper does not answer";
    return NULL;
}

/* This process may not look into /proc. */
static unsigned count_descriptors(unsigned limit)
{
    enum { AT_ONCE = 1024 };
    unsigned open = 0;
    for (unsigned first = 0; first < limit; first += AT_ONCE) {
        struct pollfd some[AT_ONCE];
        unsigned n = limit - first < AT_ONCE ? limit - first : AT_ONCE;
        for (unsigned i = 0; i < n; i++) some[i] = (struct pollfd){.fd = (int)(first + i)};
        if (poll(some, n, 0) < 0) break;
        for (unsigned i = 0; i < n; i++) open += !(some[i].revents & POLLNVAL);
    }
    return open;
}

static unsigned descriptor_limit(void)
{
    struct rlimit limit;
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
    return known && limit.rlim_cur < INT32_MAX ? (unsigned)limit.rlim_cur : INT32_MAX;
}

bool lookout_show(struct lookout *l, void (*show)(const struct overview *o, void *arg), void *arg)
{
    const unsigned limit = descriptor_limit();
    pthread_mutex_lock(&l->showing);
    unsigned open = count_descriptors(limit < DESCRIPTORS_MOST ? limit : DESCRIPTORS_MOST);
    pthread_mutex_lock(&l->lock);
    bool known = l->loaded != NULL;
    if (known) {
        bool all = ask_workers(l);
        l->log.failing = !recording_available(l->shared->recording);
        for (int leg = 0; leg < COUNTS_LEGS; leg++) l->counts.bytes[leg] += l->census.bytes[leg];
        const struct overview o = {
            .now = time(NULL),
            .ready = !l->draining,
            .fault = find_fault(l, all),
            .workers = l->worker_count,
            .active = __atomic_load_n(&l->shared->active, __ATOMIC_RELAXED),
            .loaded = l->loaded,
            .counts = &l->counts,
            .census = &l->census,
            .samples = l->samples,
            .sample_count = l->sample_count,
            .refusals = l->shared->refusals,
            .log = &l->log,
            .keeper = &l->keeper,
            .state_age_s = age_s(l->log_ns),
            .descriptors = open,
            .descriptor_limit = limit,
        };
        show(&o, arg);
    }
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_unlock(&l->showing);
    return known;
}
