/* Run queue: runs entries with more work in each iteration of the loop, first in, first out.
 * Sockets come first, then each entry once; entries that queued themselves again run again until
 * there were RUN_QUEUE_RUNS runs; then the loop polls without waiting. Embedded in the loop's
 * owner, an entry in what it runs. Must not know connections. */
#ifndef RUNTIME_RUN_QUEUE_H
#define RUNTIME_RUN_QUEUE_H

#include <ev.h>
#include <stdbool.h>

enum { RUN_QUEUE_RUNS = 4 }; /* so that few entries do not poll after each run: polling costs too */

struct run_entry {
    struct run_entry *next, **link; /* link NULL: not queued */
    void (*run)(void *owner);
    void *owner;
};

struct run_queue {
    struct ev_loop *loop;
    ev_check after_poll; /* runs the entries, after the iteration's other events */
    ev_idle no_wait;     /* active while entries wait: the loop polls without waiting */
    struct run_entry *first, **end;
};

void run_queue_init(struct run_queue *q, struct ev_loop *loop);
/* Before the loop is destroyed, with nothing queued. */
void run_queue_fini(struct run_queue *q);
/* Appends the entry; an entry that is queued keeps its position. run() is called once, after the
 * entry has left the queue; it may add the entry again or free it. */
void run_queue_add(struct run_queue *q, struct run_entry *entry);
/* No effect if it is not queued. */
void run_queue_remove(struct run_queue *q, struct run_entry *entry);
static inline bool run_entry_waits(const struct run_entry *entry)
{
    return entry->link;
}

#endif
