/* A bounded map from text to owned pointers; when it is full, the least recently used entry is
 * dropped. The cache frees what it drops with free_value. One thread. */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include "base/attr.h"

#include <stddef.h>

struct cache;

WARN_UNUSED struct cache *cache_new(size_t limit, void (*free_value)(void *value));
void cache_free(struct cache *c);

/* NULL when there is none. The cache keeps the value: valid until the next call. */
void *cache_get(struct cache *c, const char *key);
/* Takes the value, replacing an older one; frees it when out of memory. */
void cache_put(struct cache *c, const char *key, void *value);
void cache_drop(struct cache *c, const char *key);
size_t cache_count(const struct cache *c);

#endif
