#include "check/limiter.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* An address with connections. */
struct busy {
    struct busy *next;
    struct addr address;
    unsigned connections;
};

struct limiter {
    pthread_mutex_t lock;
    pthread_cond_t left;
    struct busy *first;
};

struct limiter *limiter_new(void)
{
    struct limiter *l = calloc(1, sizeof *l);
    pthread_condattr_t steady;
    if (!l) return NULL;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&l->left, &steady);
    pthread_condattr_destroy(&steady);
    return l;
}

void limiter_free(struct limiter *l)
{
    if (!l) return;
    for (struct busy *b = l->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    pthread_cond_destroy(&l->left);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* The entry of this address, created if missing; NULL when out of memory. */
static struct busy *find(struct limiter *l, const struct addr *address)
{
    for (struct busy *b = l->first; b; b = b->next)
        if (addr_same_ip(&b->address, address)) return b;
    struct busy *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    *b = (struct busy){.next = l->first, .address = *address};
    l->first = b;
    return b;
}

bool limiter_enter(struct limiter *l, const struct addr *address, int64_t deadline)
{
    const int64_t second = 1000000000;
    struct timespec until = {.tv_sec = deadline / second, .tv_nsec = deadline % second};
    pthread_mutex_lock(&l->lock);
    struct busy *b = find(l, address);
    int fault = 0;
    while (b && b->connections >= LIMITER_CONNECTIONS && fault == 0)
        fault = pthread_cond_timedwait(&l->left, &l->lock, &until);
    bool entered = b && b->connections < LIMITER_CONNECTIONS;
    if (entered) b->connections++;
    pthread_mutex_unlock(&l->lock);
    return entered;
}

void limiter_leave(struct limiter *l, const struct addr *address)
{
    pthread_mutex_lock(&l->lock);
    struct busy *b = find(l, address);
    if (b && b->connections > 0) b->connections--;
    pthread_cond_broadcast(&l->left);
    pthread_mutex_unlock(&l->lock);
}
