/* Connections of one worker that may have to make room, grouped by source: first comes the oldest
 * of the source that has the most. Every call takes constant time. A waiter is embedded in its
 * connection; the crowd owns the queues, and each source keeps its queue's address. Knows nothing
 * of connections, sources or threads. */
#ifndef RUNTIME_CROWD_H
#define RUNTIME_CROWD_H

#include "base/attr.h"

#include <stddef.h>

/* Zeroed: in no crowd. */
struct waiter {
    struct waiter *newer, **link; /* link: the pointer to this one */
    struct queue *queue;          /* NULL: in no crowd */
};

/* The queues with the same number of waiters; first the one that has had that number longest. */
struct level {
    struct queue *first, *last;
};

/* Zeroed: empty. */
struct crowd {
    struct level *levels; /* by count */
    size_t room;          /* for levels */
    size_t most;          /* the count of the largest queue */
};

/* home: where the source keeps its queue of this crowd; *home is NULL while it has none. Out of
 * memory the waiter stays out and never has to make room. */
void crowd_join(struct crowd *c, struct queue **home, struct waiter *w);
/* No effect on a waiter in no crowd. */
void crowd_leave(struct crowd *c, struct waiter *w);
/* The oldest waiter of the largest queue (of equal ones, the first of its level), or NULL. */
struct waiter *crowd_first(const struct crowd *c);
/* After every waiter has left. */
void crowd_fini(struct crowd *c);

#endif
