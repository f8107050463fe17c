#include "runtime/crowd.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct queue {
    struct queue *next, *before; /* of its level */
    struct queue **home;
    struct waiter *oldest, **end; /* end: the place for the next waiter */
    size_t count;
};

static bool make_room(struct crowd *c, size_t level)
{
    enum { FIRST_ROOM = 64 };
    if (level < c->room) return true;
    size_t room = c->room ? 2 * c->room : FIRST_ROOM;
    struct level *levels = realloc(c->levels, room * sizeof *levels);
    if (!levels) return false;
    for (size_t i = c->room; i < room; i++) levels[i] = (struct level){0};
    c->levels = levels;
    c->room = room;
    return true;
}

static void put_on_level(struct crowd *c, struct queue *q)
{
    struct level *level = &c->levels[q->count];
    q->next = NULL;
    q->before = level->last;
    *(q->before ? &q->before->next : &level->first) = q;
    level->last = q;
}

static void take_from_level(struct crowd *c, struct queue *q)
{
    struct level *level = &c->levels[q->count];
    *(q->before ? &q->before->next : &level->first) = q->next;
    *(q->next ? &q->next->before : &level->last) = q->before;
}

static struct queue *queue_of(struct crowd *c, struct queue **home)
{
    struct queue *q = *home;
    if (q) return q;
    q = calloc(1, sizeof *q);
    if (!q) return NULL;
    q->home = home;
    q->end = &q->oldest;
    put_on_level(c, q);
    *home = q;
    return q;
}

void crowd_join(struct crowd *c, struct queue **home, struct waiter *w)
{
    assert(!w->queue);
    if (!make_room(c, *home ? (*home)->count + 1 : 1)) return;
    struct queue *q = queue_of(c, home);
    if (!q) return;
    w->queue = q;
    w->newer = NULL;
    w->link = q->end;
    *q->end = w;
    q->end = &w->newer;
    take_from_level(c, q);
    q->count++;
    put_on_level(c, q);
    if (q->count > c->most) c->most = q->count;
}

void crowd_leave(struct crowd *c, struct waiter *w)
{
    struct queue *q = w->queue;
    if (!q) return;
    *w->link = w->newer;
    if (w->newer)
        w->newer->link = w->link;
    else
        q->end = w->link;
    *w = (struct waiter){0};
    take_from_level(c, q);
    /* Counts change by one: if only this queue had `most`, it is still the largest. */
    if (q->count == c->most && !c->levels[q->count].first) c->most--;
    q->count--;
    if (q->count > 0) {
        put_on_level(c, q);
        return;
    }
    *q->home = NULL;
    free(q);
}

struct waiter *crowd_first(const struct crowd *c)
{
    return c->most > 0 ? c->levels[c->most].first->oldest : NULL;
}

void crowd_fini(struct crowd *c)
{
    assert(c->most == 0);
    free(c->levels);
    *c = (struct crowd){0};
}
