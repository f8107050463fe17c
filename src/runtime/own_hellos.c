#include "runtime/own_hellos.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

struct own_hello {
    uint64_t key;
    struct own_hello *next;
    unsigned passes;
    int64_t expires_ns; /* INT64_MAX: its connection is there */
};

struct own_hellos {
    pthread_mutex_t lock;
    struct own_hello *buckets[BUCKETS];
};

struct own_hellos *own_hellos_new(void)
{
    struct own_hellos *o = calloc(1, sizeof *o);
    if (o && pthread_mutex_init(&o->lock, NULL) != 0) {
        free(o);
        return NULL;
    }
    return o;
}

void own_hellos_free(struct own_hellos *o)
{
    if (!o) return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct own_hello *next, *mark = o->buckets[i]; mark; mark = next) {
            next = mark->next;
            free(mark);
        }
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* The last bytes: the first four may be the time. */
static uint64_t key_of(const uint8_t *random)
{
    uint64_t key;
    memcpy(&key, random + (HELLO_RANDOM_SIZE - sizeof key), sizeof key);
    return key;
}

struct own_hello *own_hellos_mark(struct own_hellos *o, const uint8_t *random, unsigned passes)
{
    struct own_hello *mark = malloc(sizeof *mark);
    if (!mark) return NULL;
    uint64_t key = key_of(random);
    struct own_hello **bucket = &o->buckets[key % BUCKETS];
    pthread_mutex_lock(&o->lock);
    *mark = (struct own_hello){key, *bucket, passes, INT64_MAX};
    *bucket = mark;
    pthread_mutex_unlock(&o->lock);
    return mark;
}

void own_hellos_answered(struct own_hellos *o, struct own_hello *mark)
{
    if (!mark) return;
    pthread_mutex_lock(&o->lock);
    struct own_hello **place = &o->buckets[mark->key % BUCKETS];
    while (*place != mark) place = &(*place)->next;
    *place = mark->next;
    pthread_mutex_unlock(&o->lock);
    free(mark);
}

/* Frees what has expired in a bucket. */
static void expire(struct own_hello **place, int64_t now_ns)
{
    while (*place) {
        struct own_hello *mark = *place;
        if (mark->expires_ns > now_ns) {
            place = &mark->next;
            continue;
        }
        *place = mark->next;
        free(mark);
    }
}

void own_hellos_abandon(struct own_hellos *o, struct own_hello *mark, int64_t now_ns)
{
    if (!mark) return;
    pthread_mutex_lock(&o->lock);
    mark->expires_ns = now_ns + OWN_HELLO_LASTS_S * INT64_C(1000000000);
    expire(&o->buckets[mark->key % BUCKETS], now_ns);
    pthread_mutex_unlock(&o->lock);
}

unsigned own_hellos_passes(struct own_hellos *o, const uint8_t *random, int64_t now_ns)
{
    uint64_t key = key_of(random);
    unsigned most = 0;
    pthread_mutex_lock(&o->lock);
    struct own_hello **bucket = &o->buckets[key % BUCKETS];
    expire(bucket, now_ns);
    for (const struct own_hello *mark = *bucket; mark; mark = mark->next)
        if (mark->key == key && mark->passes > most) most = mark->passes;
    pthread_mutex_unlock(&o->lock);
    return most;
}
