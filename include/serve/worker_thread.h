/* Runs a worker: its thread, the runtime it follows, its drain and end.
 * All functions are for the one thread that controls the worker. */
#ifndef SERVE_WORKER_THREAD_H
#define SERVE_WORKER_THREAD_H

#include "base/attr.h"
#include "runtime/runtime.h"
#include "runtime/worker.h"

struct worker_thread;

/* Called on the worker's thread: it follows the runtime that it was sent; its loop is over. */
struct worker_events {
    void (*runtime_taken)(void *arg);
    void (*ended)(void *arg);
    void *arg;
};

/* With its loop, which is not yet running; runtimes are built on it. shared and events outlive it;
 * the key is copied. NULL when out of memory. */
WARN_UNUSED struct worker_thread *worker_thread_new(unsigned number, struct worker_shared *shared,
                                                    const struct worker_events *events,
                                                    const struct ticket_key *first_key);
struct ev_loop *worker_thread_loop(struct worker_thread *t);
/* Takes the runtime, also when this fails. */
WARN_UNUSED bool worker_thread_start(struct worker_thread *t, struct runtime *runtime);
/* Follow this runtime; not again before the former one is taken. Takes it. */
void worker_thread_change_runtime(struct worker_thread *t, struct runtime *runtime);
/* Seal session tickets with this key from now on. False when the former one is still on its
 * way. */
bool worker_thread_change_ticket_key(struct worker_thread *t, const struct ticket_key *key);
/* Stop accepting, and end with the last connection. */
void worker_thread_drain(struct worker_thread *t);
/* End all connections. */
void worker_thread_shut_down(struct worker_thread *t);
/* Waits until the thread has ended (after a drain), adds what it has counted, and frees it. */
void worker_thread_join(struct worker_thread *t, struct counts *total);
/* For one that was never started. */
void worker_thread_free(struct worker_thread *t);

#endif
