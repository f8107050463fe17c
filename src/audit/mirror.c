#include "audit/mirror.h"

#include "sink.h"

#include "base/clock.h"
#include "base/diag.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t second_ns = 1000000000;

struct mirror {
    struct sink sink; /* for the thread only, except its name */
    struct mirror_report report;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under lock: */
    struct line *queue[MIRROR_QUEUE_LIMIT]; /* a ring */
    size_t first, count, bytes;
    uint64_t dropped; /* and not reported yet */
    unsigned long written, dropped_total;
    int64_t dropped_since;
    bool reopen, closing;
    int64_t closing_at;
    bool ended;     /* the thread has ended */
    bool abandoned; /* the thread frees it */
    bool broken;    /* for the thread only: a warning was given */
};

/* ---- the queue ---- */

static bool may_wait(const struct mirror *m, const struct line *line)
{
    size_t count = MIRROR_QUEUE_LIMIT, bytes = MIRROR_QUEUE_BYTES;
    if (audit_action_is_routine(line->stamp.action)) {
        count = count / 4 * 3;
        bytes = bytes / 4 * 3;
    }
    return m->count < count && m->bytes + line->text.size <= bytes;
}

static void count_dropped(struct mirror *m, const struct line *line)
{
    /* Do not count log-dropped records: they would cause more of themselves. */
    if (line->stamp.action == AUDIT_LOG_DROPPED) return;
    m->dropped_total++;
    if (m->dropped++ == 0) m->dropped_since = clock_steady_ns();
}

void mirror_add(struct mirror *m, struct line *line)
{
    pthread_mutex_lock(&m->lock);
    if (may_wait(m, line)) {
        m->queue[(m->first + m->count++) % MIRROR_QUEUE_LIMIT] = line_hold(line);
        m->bytes += line->text.size;
        if (m->count == 1) pthread_cond_signal(&m->wake);
    } else {
        count_dropped(m, line);
    }
    pthread_mutex_unlock(&m->lock);
}

static void drop_first(struct mirror *m)
{
    struct line *line = m->queue[m->first];
    m->first = (m->first + 1) % MIRROR_QUEUE_LIMIT;
    m->count--;
    m->bytes -= line->text.size;
    line_release(line);
}

/* ---- the thread ---- */

static void wait_until(struct mirror *m, int64_t t)
{
    struct timespec until = {.tv_sec = t / second_ns, .tv_nsec = t % second_ns};
    pthread_cond_timedwait(&m->wake, &m->lock, &until);
}

/* Reports at once when the sink works again, else once per minute. */
static void report_dropped(struct mirror *m, bool works)
{
    int64_t now = clock_steady_ns();
    if (!m->dropped || m->closing ||
        (!works && now < m->dropped_since + MIRROR_REPORT_S * second_ns))
        return;
    uint64_t count = m->dropped;
    m->dropped = 0;
    pthread_mutex_unlock(&m->lock);
    m->report.dropped(m->report.context, m->sink.name, count);
    pthread_mutex_lock(&m->lock);
}

static void warn_operator(struct mirror *m, bool works)
{
    if (m->broken == !works) return;
    m->broken = !works;
    if (works)
        diag_info("audit records go to %s again", m->sink.name);
    else
        diag_warning("audit records cannot be sent to %s (%s); they are kept and tried again",
                     m->sink.name, strerror(errno));
}

static bool over(const struct mirror *m)
{
    return m->closing && (!m->count || clock_steady_ns() >= m->closing_at);
}

/* With the lock held, but not while writing. */
static void deliver(struct mirror *m)
{
    struct line *line = line_hold(m->queue[m->first]);
    bool reopen = m->reopen;
    m->reopen = false;
    pthread_mutex_unlock(&m->lock);
    if (reopen && m->sink.sent == 0) sink_close(&m->sink);
    enum sink_result result = sink_write(&m->sink, line);
    if (result == SINK_DONE || result == SINK_BROKEN) warn_operator(m, result == SINK_DONE);
    pthread_mutex_lock(&m->lock);
    if (reopen && result == SINK_LATER) m->reopen = true;
    if (result == SINK_IMPOSSIBLE) count_dropped(m, line);
    m->written += result == SINK_DONE;
    if (result == SINK_DONE || result == SINK_IMPOSSIBLE) drop_first(m);
    line_release(line);
    report_dropped(m, result == SINK_DONE);
    if (result == SINK_BROKEN && !over(m)) wait_until(m, clock_steady_ns() + second_ns);
}

/* ---- the others' threads ---- */

static void mirror_release(struct mirror *m)
{
    while (m->count) drop_first(m);
    sink_fini(&m->sink);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->wake);
    free(m);
}

static void *run(void *arg)
{
    struct mirror *m = arg;
    pthread_mutex_lock(&m->lock);
    while (!over(m)) {
        if (m->count)
            deliver(m);
        else
            pthread_cond_wait(&m->wake, &m->lock);
    }
    m->ended = true;
    bool abandoned = m->abandoned;
    pthread_mutex_unlock(&m->lock);
    if (abandoned) mirror_release(m);
    return NULL;
}

struct mirror *mirror_new(const char *name, bool is_syslog, const struct mirror_report *report)
{
    struct mirror *m = calloc(1, sizeof *m);
    pthread_condattr_t attributes;
    if (!m) return NULL;
    m->report = *report;
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (sink_init(&m->sink, name, is_syslog) && pthread_create(&m->thread, NULL, run, m) == 0)
        return m;
    mirror_release(m);
    return NULL;
}

void mirror_end(struct mirror *m)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    if (!m->closing) m->closing_at = clock_steady_ns() + second_ns;
    m->closing = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

/* A thread that is stuck in a lookup or a connection is abandoned. */
static bool join(struct mirror *m)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += MIRROR_END_S;
    if (pthread_timedjoin_np(m->thread, NULL, &until) == 0) return true;
    pthread_mutex_lock(&m->lock);
    m->abandoned = !m->ended;
    bool ended = m->ended;
    pthread_mutex_unlock(&m->lock);
    if (ended) return pthread_join(m->thread, NULL) == 0;
    pthread_detach(m->thread);
    return false;
}

void mirror_free(struct mirror *m)
{
    if (!m) return;
    mirror_end(m);
    pthread_mutex_lock(&m->lock);
    char *name = text_copy(m->sink.name, strlen(m->sink.name));
    const struct mirror_report report = m->report;
    uint64_t lost = m->count + m->dropped;
    pthread_mutex_unlock(&m->lock);
    if (join(m)) {
        lost = m->count + m->dropped;
        mirror_release(m);
    }
    if (lost && name) {
        diag_warning("%s did not get %" PRIu64 " audit records", name, lost);
        report.dropped(report.context, name, lost);
    }
    free(name);
}

bool mirror_is(const struct mirror *m, const char *name, bool is_syslog)
{
    return m->sink.is_syslog == is_syslog && strcmp(m->sink.name, name) == 0;
}

void mirror_describe(struct mirror *m, struct log_sink *out)
{
    snprintf(out->name, sizeof out->name, "%s", m->sink.name);
    pthread_mutex_lock(&m->lock);
    out->written = m->written;
    out->waiting = m->count;
    out->dropped = m->dropped_total;
    pthread_mutex_unlock(&m->lock);
}

void mirror_reopen(struct mirror *m)
{
    pthread_mutex_lock(&m->lock);
    m->reopen = !m->sink.is_syslog;
    pthread_mutex_unlock(&m->lock);
}
