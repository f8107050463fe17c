#include "serve/worker_thread.h"

#include "base/buf.h"
#include "base/clock.h"
#include "conn/conn.h"
#include "pki/keys.h"
#include "serve/acceptor.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t second_ns = 1000000000;

/* A call for the worker: who takes it from ON_WAY to FREE makes it, or takes it back. */
enum call_state { CALL_FREE, CALL_PREPARED, CALL_ON_WAY };

struct worker_thread {
    struct worker worker;
    struct acceptor acceptor;
    pthread_t thread;
    const struct worker_events *events;
    struct runtime *runtime;           /* in use */
    struct runtime *next_runtime;      /* sent, not yet taken */
    struct ticket_key next_ticket_key; /* for the worker while it is pending */
    bool ticket_key_on_way;            /* atomic */
    int next_clerk;                    /* atomic: a socket to be taken; -1: none */
    bool lost_clerk;                   /* atomic */
    bool over;                         /* atomic */
    enum call_state call_state;        /* atomic */
    void (*call)(void *arg, const struct worker *w);
    void *call_arg;
    bool asked_to_drain, asked_to_shut_down; /* for the controlling thread */
    bool started;                            /* for the controlling thread */
    const struct kept *kept;                 /* at the drain */
    ev_async clerk_changed;
    struct mail runtime_mail, ticket_mail, call_mail, drain_mail, shut_down_mail;
};

static struct worker_thread *thread_of(struct worker *w)
{
    return (struct worker_thread *)((char *)w - offsetof(struct worker_thread, worker));
}

/* ---- on the worker's thread ---- */

static void change_runtime(struct worker *w, struct mail *mail)
{
    (void)mail;
    struct worker_thread *t = thread_of(w);
    struct runtime *old = t->runtime, *next = t->next_runtime;
    t->next_runtime = NULL;
    t->runtime = next;
    acceptor_stop(old);
    acceptor_take_over(next, old);
    acceptor_use(&t->acceptor, next);
    acceptor_leave(&t->acceptor, old, NULL);
    runtime_release(old);
    t->events->runtime_taken(t->events->arg);
}

static void change_ticket_key(struct worker *w, struct mail *mail)
{
    (void)mail;
    struct worker_thread *t = thread_of(w);
    ticket_keys_rotate(&w->ticket_keys, &t->next_ticket_key);
    explicit_bzero(&t->next_ticket_key, sizeof t->next_ticket_key);
    __atomic_store_n(&t->ticket_key_on_way, false, __ATOMIC_RELEASE);
}

static bool take_call(struct worker_thread *t)
{
    enum call_state from = CALL_ON_WAY;
    return __atomic_compare_exchange_n(&t->call_state, &from, CALL_FREE, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static void make_call(struct worker *w, struct mail *mail)
{
    (void)mail;
    struct worker_thread *t = thread_of(w);
    void (*call)(void *arg, const struct worker *w) = t->call;
    void *arg = t->call_arg;
    if (take_call(t)) call(arg, w);
}

/* May be sent again before it was taken, unlike mail. */
static void change_clerk(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    struct worker_thread *t = async->data;
    int fd = __atomic_exchange_n(&t->next_clerk, -1, __ATOMIC_ACQ_REL);
    if (fd >= 0) recorder_connect(t->worker.recorder, fd);
}

static void note_lost_clerk(void *arg)
{
    struct worker_thread *t = arg;
    __atomic_store_n(&t->lost_clerk, true, __ATOMIC_RELEASE);
    t->events->clerk_lost(t->events->arg);
}

static void drain(struct worker *w, struct mail *mail)
{
    (void)mail;
    struct worker_thread *t = thread_of(w);
    w->draining = true;
    acceptor_leave(&t->acceptor, t->runtime, t->kept);
    t->events->drained(t->events->arg);
    if (w->count == 0) ev_break(w->loop, EVBREAK_ALL);
}

static void shut_down(struct worker *w, struct mail *mail)
{
    (void)mail;
    struct conn *next;
    for (struct conn *c = w->connections; c; c = next) {
        next = conn_next(c);
        conn_shut_down(c);
    }
}

static void *run(void *arg)
{
    struct worker_thread *t = arg;
    acceptor_use(&t->acceptor, t->runtime);
    ev_run(t->worker.loop, 0);
    __atomic_store_n(&t->over, true, __ATOMIC_SEQ_CST);
    make_call(&t->worker, NULL); /* one that came too late for the loop */
    recorder_submit_counts(t->worker.recorder, &t->runtime->loaded->origin, INT64_MAX);
    (void)!recorder_finish(t->worker.recorder, clock_steady_ns() + RECORDING_END_S * second_ns);
    signer_free(t->worker.signer); /* a leaf under way has a runtime */
    t->worker.signer = NULL;
    runtime_release(t->runtime);
    t->runtime = NULL;
    random_thread_fini();
    buf_thread_fini();
    t->events->ended(t->events->arg);
    return NULL;
}

/* ---- on the controlling thread ---- */

struct ev_loop *worker_thread_loop(struct worker_thread *t)
{
    return t->worker.loop;
}

void worker_thread_change_runtime(struct worker_thread *t, struct runtime *runtime)
{
    t->next_runtime = runtime;
    t->runtime_mail = (struct mail){.deliver = change_runtime};
    worker_post(&t->worker, &t->runtime_mail);
}

bool worker_thread_change_ticket_key(struct worker_thread *t, const struct ticket_key *key)
{
    if (__atomic_load_n(&t->ticket_key_on_way, __ATOMIC_ACQUIRE)) return false;
    __atomic_store_n(&t->ticket_key_on_way, true, __ATOMIC_RELAXED);
    t->next_ticket_key = *key;
    t->ticket_mail = (struct mail){.deliver = change_ticket_key};
    worker_post(&t->worker, &t->ticket_mail);
    return true;
}

enum worker_call worker_thread_call(struct worker_thread *t,
                                    void (*call)(void *arg, const struct worker *w), void *arg)
{
    enum call_state from = CALL_FREE;
    if (__atomic_load_n(&t->over, __ATOMIC_ACQUIRE)) return WORKER_CALL_OVER;
    if (!__atomic_compare_exchange_n(&t->call_state, &from, CALL_PREPARED, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return WORKER_CALL_WAITS;
    t->call = call;
    t->call_arg = arg;
    t->call_mail = (struct mail){.deliver = make_call};
    __atomic_store_n(&t->call_state, CALL_ON_WAY, __ATOMIC_SEQ_CST);
    worker_post(&t->worker, &t->call_mail);
    bool over = __atomic_load_n(&t->over, __ATOMIC_SEQ_CST) && take_call(t);
    return over ? WORKER_CALL_OVER : WORKER_CALL_SENT;
}

const struct counts *worker_thread_counts(const struct worker_thread *t)
{
    return &t->worker.counts;
}

void worker_thread_connect(struct worker_thread *t, int fd)
{
    if (!t->started) {
        recorder_connect(t->worker.recorder, fd);
        return;
    }
    int former = __atomic_exchange_n(&t->next_clerk, fd, __ATOMIC_ACQ_REL);
    if (former >= 0) close(former);
    ev_async_send(t->worker.loop, &t->clerk_changed);
}

bool worker_thread_lost_clerk(struct worker_thread *t)
{
    return __atomic_exchange_n(&t->lost_clerk, false, __ATOMIC_ACQ_REL);
}

void worker_thread_drain(struct worker_thread *t, const struct kept *kept)
{
    if (t->asked_to_drain) return;
    t->kept = kept;
    t->asked_to_drain = true;
    t->drain_mail = (struct mail){.deliver = drain};
    worker_post(&t->worker, &t->drain_mail);
}

void worker_thread_shut_down(struct worker_thread *t)
{
    if (t->asked_to_shut_down) return;
    t->asked_to_shut_down = true;
    t->shut_down_mail = (struct mail){.deliver = shut_down};
    worker_post(&t->worker, &t->shut_down_mail);
}

struct worker_thread *worker_thread_new(unsigned number, struct worker_shared *shared,
                                        const struct worker_events *events,
                                        const struct ticket_key *first_key, int signer)
{
    struct worker_thread *t = calloc(1, sizeof *t);
    if (!t || !worker_init(&t->worker, number, shared)) {
        if (signer >= 0) close(signer);
        free(t);
        return NULL;
    }
    t->worker.signer = signer_new(t->worker.loop, signer);
    if (!t->worker.signer) {
        worker_fini(&t->worker);
        free(t);
        return NULL;
    }
    ticket_keys_rotate(&t->worker.ticket_keys, first_key);
    t->events = events;
    recorder_watch(t->worker.recorder, note_lost_clerk, t);
    acceptor_init(&t->acceptor, &t->worker);
    t->next_clerk = -1;
    ev_async_init(&t->clerk_changed, change_clerk);
    t->clerk_changed.data = t;
    ev_async_start(t->worker.loop, &t->clerk_changed);
    return t;
}

bool worker_thread_start(struct worker_thread *t, struct runtime *runtime)
{
    t->runtime = runtime;
    t->started = true;
    return pthread_create(&t->thread, NULL, run, t) == 0;
}

void worker_thread_join(struct worker_thread *t, struct counts *total)
{
    pthread_join(t->thread, NULL);
    t->started = false;
    counts_sum(total, &t->worker.counts);
    /* A clerk that came after the loop's end. */
    if (t->next_clerk >= 0) recorder_connect(t->worker.recorder, t->next_clerk);
    t->next_clerk = -1;
}

struct recorder *worker_thread_recorder(struct worker_thread *t)
{
    return t->worker.recorder;
}

void worker_thread_free(struct worker_thread *t)
{
    runtime_release(t->next_runtime); /* the thread ended before taking it */
    if (t->next_clerk >= 0) close(t->next_clerk);
    ev_async_stop(t->worker.loop, &t->clerk_changed);
    conn_unprepare(&t->worker);
    worker_fini(&t->worker);
    explicit_bzero(&t->next_ticket_key, sizeof t->next_ticket_key);
    free(t);
}
