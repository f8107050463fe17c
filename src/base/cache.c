#include "base/cache.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

struct entry {
    struct entry *chain;         /* of the bucket */
    struct entry *newer, *older; /* by last use */
    void *value;
    char key[];
};

struct cache {
    struct entry *buckets[BUCKETS];
    struct entry *newest, *oldest;
    size_t count, limit;
    void (*free_value)(void *value);
};

struct cache *cache_new(size_t limit, void (*free_value)(void *value))
{
    struct cache *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->limit = limit;
    c->free_value = free_value;
    return c;
}

/* FNV-1a. Peers choose keys: the limit bounds what a collision can cost. */
static size_t bucket_of(const char *key)
{
    uint32_t h = 2166136261u;
    for (; *key; key++) h = (h ^ (uint8_t)*key) * 16777619u;
    return h % BUCKETS;
}

static struct entry **place_of(struct cache *c, const char *key)
{
    struct entry **p = &c->buckets[bucket_of(key)];
    while (*p && strcmp((*p)->key, key) != 0) p = &(*p)->chain;
    return p;
}

static void take_out(struct cache *c, struct entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void put_newest(struct cache *c, struct entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void drop(struct cache *c, struct entry **place)
{
    struct entry *e = *place;
    if (!e) return;
    *place = e->chain;
    take_out(c, e);
    c->count--;
    c->free_value(e->value);
    free(e);
}

void cache_free(struct cache *c)
{
    if (!c) return;
    while (c->oldest) drop(c, place_of(c, c->oldest->key));
    free(c);
}

void *cache_get(struct cache *c, const char *key)
{
    struct entry *e = *place_of(c, key);
    if (!e) return NULL;
    take_out(c, e);
    put_newest(c, e);
    return e->value;
}

void cache_put(struct cache *c, const char *key, void *value)
{
    drop(c, place_of(c, key));
    if (c->count >= c->limit) drop(c, place_of(c, c->oldest->key));
    size_t n = strlen(key) + 1;
    struct entry *e = malloc(sizeof *e + n);
    if (!e) {
        c->free_value(value);
        return;
    }
    memcpy(e->key, key, n);
    e->value = value;
    struct entry **bucket = &c->buckets[bucket_of(key)];
    e->chain = *bucket;
    *bucket = e;
    put_newest(c, e);
    c->count++;
}

void cache_drop(struct cache *c, const char *key)
{
    drop(c, place_of(c, key));
}

size_t cache_count(const struct cache *c)
{
    return c->count;
}
