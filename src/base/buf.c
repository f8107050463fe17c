#include "base/buf.h"

#include "base/shortage.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Blocks of the usual size are kept for the thread's next queue: a busy relay takes and returns one
 * per wake-up. Under a sanitizer every block goes back to malloc. */
enum { SMALL = 4096, BLOCK = 65536, BLOCKS_KEPT = 16 };

#if !defined(__has_feature)
#define __has_feature(x) 0 /* a clang builtin */
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define BLOCK_CACHE 0
#else
#define BLOCK_CACHE 1
#endif

static _Thread_local uint8_t *block_cache[BLOCKS_KEPT];
static _Thread_local unsigned block_count;

static uint8_t *block_take(void)
{
    if (block_count > 0) return block_cache[--block_count];
    return malloc(BLOCK);
}

static void block_give(uint8_t *data, size_t capacity)
{
    if (BLOCK_CACHE && capacity == BLOCK && block_count < BLOCKS_KEPT)
        block_cache[block_count++] = data;
    else
        free(data);
}

void buf_fini(struct buf *b)
{
    if (b->data) block_give(b->data, b->capacity);
    *b = (struct buf){0};
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    size_t have = buf_size(b);
    if (b->data && b->capacity - b->end >= n) return b->data + b->end;
    if (b->data && b->capacity - have >= n && b->start >= have) {
        memcpy(b->data, b->data + b->start, have);
        b->start = 0;
        b->end = have;
        return b->data + have;
    }
    /* A hello or a handshake is small; anything larger gets a block. */
    size_t capacity = have + n <= SMALL ? SMALL : b->capacity > BLOCK ? b->capacity : BLOCK;
    while (capacity - have < n) {
        if (capacity > SIZE_MAX / 2) return NULL;
        capacity *= 2;
    }
    uint8_t *data = capacity == BLOCK ? block_take() : malloc(capacity);
    if (!data) {
        shortage_note();
        return NULL;
    }
    if (b->data) {
        memcpy(data, b->data + b->start, have);
        block_give(b->data, b->capacity);
    }
    *b = (struct buf){.data = data, .end = have, .capacity = capacity};
    return data + have;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->capacity - b->end);
    b->end += n;
}

bool buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0) return true;
    uint8_t *place = buf_reserve(b, n);
    if (!place) return false;
    memcpy(place, p, n);
    buf_commit(b, n);
    return true;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= buf_size(b));
    b->start += n;
    if (b->start == b->end) buf_fini(b);
}

void buf_thread_fini(void)
{
    while (block_count > 0) free(block_cache[--block_count]);
}
