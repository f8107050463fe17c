#include "runtime/refusals.h"

#include <pthread.h>
#include <stdlib.h>

struct refusals {
    pthread_mutex_t lock;
    struct refusal ring[REFUSALS_KEPT]; /* the newest is before `next` */
    size_t next, n;
};

struct refusals *refusals_new(void)
{
    struct refusals *r = calloc(1, sizeof *r);
    if (r) pthread_mutex_init(&r->lock, NULL);
    return r;
}

void refusals_free(struct refusals *r)
{
    if (!r) return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

struct refusal *refusals_begin(struct refusals *r)
{
    pthread_mutex_lock(&r->lock);
    return &r->ring[r->next];
}

void refusals_end(struct refusals *r)
{
    r->next = (r->next + 1) % REFUSALS_KEPT;
    if (r->n < REFUSALS_KEPT) r->n++;
    pthread_mutex_unlock(&r->lock);
}

void refusals_each(struct refusals *r, size_t most,
                   void (*each)(void *arg, const struct refusal *e), void *arg)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n && i < most; i++)
        each(arg, &r->ring[(r->next + REFUSALS_KEPT - 1 - i) % REFUSALS_KEPT]);
    pthread_mutex_unlock(&r->lock);
}
