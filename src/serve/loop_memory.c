#include "serve/loop_memory.h"

#include <ev.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { RESERVE = 4 << 20, ALIGN = _Alignof(max_align_t) };

struct block {
    _Alignas(max_align_t) size_t size;
};

static char *reserve;
static size_t used, blocks; /* under lock: bytes up to the last block, and how many live */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_reserved(const void *p)
{
    uintptr_t at = (uintptr_t)p, from = (uintptr_t)reserve;
    return reserve && at >= from && at < from + RESERVE;
}

static void *take(size_t n)
{
    struct block *b = NULL;
    n = (n + sizeof *b + ALIGN - 1) / ALIGN * ALIGN;
    pthread_mutex_lock(&lock);
    if (reserve && n <= RESERVE - used) {
        b = (struct block *)(reserve + used);
        b->size = n - sizeof *b;
        used += n;
        blocks++;
    }
    pthread_mutex_unlock(&lock);
    return b ? b + 1 : NULL;
}

/* All at once, when the last one is. */
static void give_back(void)
{
    pthread_mutex_lock(&lock);
    if (--blocks == 0) {
        used = 0;
        (void)!madvise(reserve, RESERVE, MADV_DONTNEED);
    }
    pthread_mutex_unlock(&lock);
}

static void release(void *p)
{
    if (is_reserved(p))
        give_back();
    else
        free(p);
}

static size_t size_of(void *p)
{
    return is_reserved(p) ? ((struct block *)p - 1)->size : malloc_usable_size(p);
}

/* next: of n bytes, or NULL. */
static void *move(void *p, void *next, size_t n)
{
    if (!p || !next) return next;
    size_t before = size_of(p);
    memcpy(next, p, before < n ? before : n);
    release(p);
    return next;
}

/* As realloc(); size 0: free(). */
static void *resize(void *p, long size) EV_NOEXCEPT
{
    if (size <= 0) {
        release(p);
        return NULL;
    }
    size_t n = (size_t)size;
    void *next;
    if (is_reserved(p)) {
        next = malloc(n);
    } else {
        next = realloc(p, n);
        if (next) return next;
    }
    return move(p, next ? next : take(n), n);
}

bool loop_memory_init(void)
{
    void *p = mmap(NULL, RESERVE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    reserve = p;
    ev_set_allocator(resize);
    return true;
}
