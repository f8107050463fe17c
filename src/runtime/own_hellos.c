#include "runtime/own_hellos.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

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
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* The last bytes: the first four may be the time. */
static uint64_t key_of(const uint8_t *random)
{
    uint64_t key;
    memcpy(&key, random + HELLO_RANDOM_SIZE - sizeof key, sizeof key);
    return key;
}

static struct own_hello **bucket_of(struct own_hellos *o, uint64_t key)
{
    return &o->buckets[key % BUCKETS];
}

void own_hellos_mark(struct own_hellos *o, struct own_hello *mark, const uint8_t *random,
                     unsigned passes)
{
    own_hellos_unmark(o, mark);
    pthread_mutex_lock(&o->lock);
    mark->key = key_of(random);
    mark->passes = passes;
    mark->marked = true;
    struct own_hello **bucket = bucket_of(o, mark->key);
    mark->next = *bucket;
    *bucket = mark;
    pthread_mutex_unlock(&o->lock);
}

void own_hellos_unmark(struct own_hellos *o, struct own_hello *mark)
{
    if (!mark->marked) return;
    pthread_mutex_lock(&o->lock);
    struct own_hello **place = bucket_of(o, mark->key);
    while (*place != mark) place = &(*place)->next;
    *place = mark->next;
    mark->marked = false;
    pthread_mutex_unlock(&o->lock);
}

unsigned own_hellos_passes(struct own_hellos *o, const uint8_t *random)
{
    uint64_t key = key_of(random);
    unsigned most = 0;
    pthread_mutex_lock(&o->lock);
    for (const struct own_hello *mark = *bucket_of(o, key); mark; mark = mark->next)
        if (mark->key == key && mark->passes > most) most = mark->passes;
    pthread_mutex_unlock(&o->lock);
    return most;
}
