/* Connections of one worker that may have to make room, grouped by their source: whose oldest
 * comes first is the source with the most of them. Every call takes constant time.
 * A waiter is embedded in its connection; a queue belongs to the crowd and its address is kept
 * where the source says. Knows nothing of connections, sources or threads. */
#ifndef RUNTIME_CROWD_H
#define RUNTIME_CROWD_H

#include "base/attr.h"

#include <stddef.h>

/* All zero: in no crowd. */
struct waiter {
    struct waiter *newer, **link; /* link: what points to this one */
    struct queue *queue;          /* NULL: in no crowd */
};

/* The queues that have the same number of waiters, the one that has had it longest first. */
struct level {
    struct queue *first, *last;
};

/* All zero: empty. */
struct crowd {
    struct level *levels; /* by count */
    size_t room;          /* for levels */
    size_t most;          /* the count of the largest queue */
};

/* home: where the source keeps its queue in this crowd, NULL while it has none there. Out of
 * memory leaves the waiter out: it then makes room for nobody. */
void crowd_join(struct crowd *c, struct queue **home, struct waiter *w);
/* Nothing happens to one that is in no crowd. */
void crowd_leave(struct crowd *c, struct waiter *w);
/* The oldest waiter of the largest queue, of equal ones that which has been so longest; or NULL. */
struct waiter *crowd_first(const struct crowd *c);
/* Every waiter has left. */
void crowd_fini(struct crowd *c);

#endif
