/* Bounded big-endian reader over borrowed bytes.
 * A read past the end sets `failed` and yields zeros from then on, so that a parser checks once at
 * the end. Knows nothing of what the bytes mean. */
#ifndef BASE_READER_H
#define BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view; never owns its bytes. */
struct span {
    const uint8_t *p;
    size_t n;
};

struct reader {
    const uint8_t *p;
    size_t left;
    bool failed;
};

static inline struct reader reader_of(struct span s)
{
    return (struct reader){.p = s.p, .left = s.n};
}

static inline struct span reader_bytes(struct reader *r, size_t n)
{
    if (r->failed || r->left < n) {
        r->failed = true;
        r->left = 0;
        return (struct span){0};
    }
    struct span s = {r->p, n};
    r->p += n;
    r->left -= n;
    return s;
}

static inline uint32_t reader_number(struct reader *r, size_t width)
{
    struct span s = reader_bytes(r, width);
    uint32_t v = 0;
    for (size_t i = 0; i < s.n; i++) v = v << 8 | s.p[i];
    return v;
}

static inline uint8_t reader_u8(struct reader *r)
{
    return (uint8_t)reader_number(r, 1);
}

static inline uint16_t reader_u16(struct reader *r)
{
    return (uint16_t)reader_number(r, 2);
}

static inline uint32_t reader_u24(struct reader *r)
{
    return reader_number(r, 3);
}

/* A vector with a length prefix of `width` bytes (RFC 5246 section 4.3). */
static inline struct span reader_vector(struct reader *r, size_t width)
{
    return reader_bytes(r, reader_number(r, width));
}

/* All was read and nothing was missing. */
static inline bool reader_done(const struct reader *r)
{
    return !r->failed && r->left == 0;
}

static inline uint16_t span_u16(struct span s, size_t i)
{
    return (uint16_t)(s.p[2 * i] << 8 | s.p[2 * i + 1]);
}

static inline bool span_has_u16(struct span s, uint16_t wanted)
{
    for (size_t i = 0; i < s.n / 2; i++)
        if (span_u16(s, i) == wanted) return true;
    return false;
}

#endif
