/* Run queue: entries that still have work run in each iteration of the loop, first in, first out.
 * The sockets come first, then each entry once; where that was less than RUN_QUEUE_RUNS runs, those
 * that have queued up again run again; then the sockets are asked without waiting.
 * Embedded in the loop's owner, an entry in what runs. Must not know connections. */
#ifndef RUNTIME_RUN_QUEUE_H
#define RUNTIME_RUN_QUEUE_H

#include <ev.h>
#include <stdbool.h>

enum { RUN_QUEUE_RUNS = 4 }; /* few entries are not asked for so often: a look costs, too */

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
/* Before the loop is destroyed; nothing is queued any more. */
void run_queue_fini(struct run_queue *q);
/* At the end, or where it is when it waits already. run() is called once, with the entry no
 * longer queued; it may add the entry again behind the others, or free it. */
void run_queue_add(struct run_queue *q, struct run_entry *entry);
/* Nothing happens when it does not wait. */
void run_queue_remove(struct run_queue *q, struct run_entry *entry);
static inline bool run_entry_waits(const struct run_entry *entry)
{
    return entry->link;
}

#endif
