/* Runs a worker: its thread, the runtime it follows, its drain and end.
 * All functions but worker_thread_call() are for the controlling thread. */
#ifndef SERVE_WORKER_THREAD_H
#define SERVE_WORKER_THREAD_H

#include "base/attr.h"
#include "runtime/runtime.h"
#include "runtime/worker.h"
#include "serve/acceptor.h"

struct worker_thread;

/* Called on the worker's thread: it uses the new runtime; its clerk is gone; it accepts no more;
 * its loop has ended. */
struct worker_events {
    void (*runtime_taken)(void *arg);
    void (*clerk_lost)(void *arg);
    void (*drained)(void *arg);
    void (*ended)(void *arg);
    void *arg;
};

/* Creates it with a loop that does not run yet; runtimes are built on that. shared and events
 * outlive it; the key is copied; takes signer: the socket for runtime/signer.h, or -1. NULL when
 * out of memory. */
WARN_UNUSED struct worker_thread *worker_thread_new(unsigned number, struct worker_shared *shared,
                                                    const struct worker_events *events,
                                                    const struct ticket_key *first_key, int signer);
struct ev_loop *worker_thread_loop(struct worker_thread *t);
/* Takes the runtime, also on failure. */
WARN_UNUSED bool worker_thread_start(struct worker_thread *t, struct runtime *runtime);
/* Switches to this runtime, which it takes. Not again before runtime_taken() was called. */
void worker_thread_change_runtime(struct worker_thread *t, struct runtime *runtime);
/* Seals session tickets with this key from now on. False while the former key is still pending. */
bool worker_thread_change_ticket_key(struct worker_thread *t, const struct ticket_key *key);
/* Its records go to this socket from now on (recorder_connect()), which it takes. */
void worker_thread_connect(struct worker_thread *t, int fd);
/* Has its clerk closed the socket since the last call? */
bool worker_thread_lost_clerk(struct worker_thread *t);
/* Runs this on the worker's thread soon. WAITS: one with the same arguments is on its way already;
 * OVER: the thread has ended. */
enum worker_call { WORKER_CALL_SENT, WORKER_CALL_WAITS, WORKER_CALL_OVER };
WARN_UNUSED enum worker_call worker_thread_call(struct worker_thread *t,
                                                void (*call)(void *arg, const struct worker *w),
                                                void *arg);
/* As they are by now; from any thread. */
const struct counts *worker_thread_counts(const struct worker_thread *t);
/* Stops accepting, then drained() is called; the thread ends with its last connection. kept: see
 * acceptor_leave(); it outlives the thread. */
void worker_thread_drain(struct worker_thread *t, const struct kept *kept);
/* Ends all connections. */
void worker_thread_shut_down(struct worker_thread *t);
/* Waits until the thread has ended (after a drain), and adds its counts. */
void worker_thread_join(struct worker_thread *t, struct counts *total);
/* After that, for the controlling thread. */
struct recorder *worker_thread_recorder(struct worker_thread *t);
/* A thread that was joined, or never started. */
void worker_thread_free(struct worker_thread *t);

#endif
