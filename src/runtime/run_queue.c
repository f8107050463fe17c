#include "runtime/run_queue.h"

#include <assert.h>

static void unlink_entry(struct run_queue *q, struct run_entry *entry)
{
    assert(entry->link);
    *entry->link = entry->next;
    if (entry->next)
        entry->next->link = entry->link;
    else
        q->end = entry->link;
    entry->link = NULL;
    entry->next = NULL;
}

/* Runs every queued entry once and returns the count. `end` separates them from entries added
 * meanwhile. */
static unsigned run_all(struct run_queue *q)
{
    struct run_entry end = {0};
    unsigned runs = 0;
    run_queue_add(q, &end);
    for (; q->first != &end; runs++) {
        struct run_entry *entry = q->first;
        unlink_entry(q, entry);
        entry->run(entry->owner);
    }
    run_queue_remove(q, &end);
    return runs;
}

static void on_polled(struct ev_loop *loop, ev_check *check, int events)
{
    (void)loop;
    (void)events;
    struct run_queue *q = check->data;
    for (unsigned runs = 0; q->first && runs < RUN_QUEUE_RUNS;) runs += run_all(q);
}

static void on_idle(struct ev_loop *loop, ev_idle *idle, int events)
{
    (void)loop;
    (void)idle;
    (void)events;
}

void run_queue_init(struct run_queue *q, struct ev_loop *loop)
{
    q->loop = loop;
    q->first = NULL;
    q->end = &q->first;
    ev_idle_init(&q->no_wait, on_idle);
    ev_check_init(&q->after_poll, on_polled);
    ev_set_priority(&q->after_poll, EV_MINPRI);
    q->after_poll.data = q;
    ev_check_start(loop, &q->after_poll);
}

void run_queue_fini(struct run_queue *q)
{
    assert(!q->first);
    ev_check_stop(q->loop, &q->after_poll);
    ev_idle_stop(q->loop, &q->no_wait);
}

void run_queue_add(struct run_queue *q, struct run_entry *entry)
{
    if (entry->link) return;
    entry->next = NULL;
    entry->link = q->end;
    *q->end = entry;
    q->end = &entry->next;
    ev_idle_start(q->loop, &q->no_wait);
}

void run_queue_remove(struct run_queue *q, struct run_entry *entry)
{
    if (!entry->link) return;
    unlink_entry(q, entry);
    if (!q->first) ev_idle_stop(q->loop, &q->no_wait);
}
