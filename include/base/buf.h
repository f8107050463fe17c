/* Byte queue: bytes are appended at the end and consumed from the head.
 * The caller embeds the struct; an empty queue holds no memory.
 * Knows nothing of sockets or TLS; one thread uses one queue. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t start, end, capacity;
};

/* A zeroed struct buf is empty; buf_fini() frees what it holds and leaves it empty. */
void buf_fini(struct buf *b);

static inline size_t buf_size(const struct buf *b)
{
    return b->end - b->start;
}

/* The head of the queued bytes; valid until the next call that changes the queue. */
static inline const uint8_t *buf_head(const struct buf *b)
{
    return b->data ? b->data + b->start : NULL;
}

/* Room for at least n more bytes, at the returned place, or NULL when out of memory. Bytes written
 * there belong to the queue after buf_commit(). */
WARN_UNUSED uint8_t *buf_reserve(struct buf *b, size_t n);
/* How many bytes may be written at the place buf_reserve() returned. */
static inline size_t buf_room(const struct buf *b)
{
    return b->capacity - b->end;
}
void buf_commit(struct buf *b, size_t n);

/* False when out of memory: the queue is unchanged. */
WARN_UNUSED bool buf_append(struct buf *b, const void *p, size_t n);

/* Drops n bytes from the head (n <= buf_size); an empty queue frees its memory. */
void buf_consume(struct buf *b, size_t n);

/* Frees the blocks kept for the thread's next queues; for a thread that ends. */
void buf_thread_fini(void);

#endif
