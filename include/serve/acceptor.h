/* Accepts a worker's connections and decides which are served, by limits, allow_clients, a drain,
 * and whether the audit log can be written. Makes room when all places are taken, and pauses when
 * it cannot. For the worker's own thread only. */
#ifndef SERVE_ACCEPTOR_H
#define SERVE_ACCEPTOR_H

#include "runtime/runtime.h"
#include "runtime/worker.h"

#include <ev.h>

struct acceptor {
    struct worker *worker;
    struct runtime *runtime; /* accepts from its listeners; borrowed */
    ev_timer pause;          /* no accepting while it is active */
};

/* Listeners, by their number, whose sockets another process serves or keeps: what waits in their
 * queues is not this one's. */
struct kept {
    bool *items;
    size_t n;
};

void acceptor_init(struct acceptor *a, struct worker *worker);
/* Accepts from this runtime's listeners from now on. */
void acceptor_use(struct acceptor *a, struct runtime *runtime);
/* Accepts nothing more from these listeners. */
void acceptor_stop(struct runtime *runtime);
/* The next runtime takes the old one's sockets of the addresses that both have. */
void acceptor_take_over(struct runtime *next, struct runtime *old);
/* Accepts the connections already in the queues of this runtime's sockets, but for those that are
 * kept (NULL: none), and closes these. */
void acceptor_leave(struct acceptor *a, struct runtime *runtime, const struct kept *kept);

#endif
