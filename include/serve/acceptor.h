/* Accepts a worker's connections and decides which are served: limits, allow_clients, a drain, an
 * audit log that cannot be written. Makes room when all places are taken, and rests when there is
 * none. The worker's own thread only. */
#ifndef SERVE_ACCEPTOR_H
#define SERVE_ACCEPTOR_H

#include "runtime/runtime.h"
#include "runtime/worker.h"

#include <ev.h>

struct acceptor {
    struct worker *worker;
    struct runtime *runtime; /* the one whose listeners it accepts from; borrowed */
    ev_timer pause;          /* accepting rests while it is active */
};

void acceptor_init(struct acceptor *a, struct worker *worker);
/* Accepts from this runtime's listeners from now on. */
void acceptor_use(struct acceptor *a, struct runtime *runtime);
/* Accepts nothing more from these listeners. */
void acceptor_stop(struct runtime *runtime);
/* Accepts what is in their queues already, and closes those that are the runtime's own. */
void acceptor_leave(struct acceptor *a, struct runtime *runtime);

#endif
