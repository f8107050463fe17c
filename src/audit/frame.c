#include "audit/frame.h"

#include <string.h>

enum { URGENT = 1, SECOND = 1000000000 };
static const uint64_t last_second = 253402300799; /* of the year 9999 */

static uint8_t *put(uint8_t *p, uint64_t v, size_t width)
{
    for (size_t i = 0; i < width; i++) p[i] = (uint8_t)(v >> 8 * (width - 1 - i));
    return p + width;
}

static uint64_t get_u64(struct reader *r)
{
    uint64_t high = reader_number(r, 4);
    return high << 32 | reader_number(r, 4);
}

void frame_put_header(const struct frame *f, uint8_t out[FRAME_HEADER])
{
    uint8_t *p = put(out, f->line.n, 4);
    p = put(p, f->number, 8);
    p = put(p, (uint64_t)f->stamp.at.tv_sec, 8);
    p = put(p, (uint64_t)f->stamp.at.tv_nsec, 4);
    p = put(p, f->lost, 4);
    p = put(p, f->stamp.action, 2);
    p = put(p, f->stamp.level, 1);
    put(p, f->urgent ? URGENT : 0, 1);
}

enum frame_result frame_read(struct span bytes, struct frame *out, size_t *used)
{
    if (bytes.n < FRAME_HEADER) return FRAME_PART;
    struct reader r = reader_of(bytes);
    size_t size = reader_number(&r, 4);
    *out = (struct frame){.number = get_u64(&r)};
    uint64_t second = get_u64(&r);
    out->stamp.at.tv_sec = (time_t)second;
    out->stamp.at.tv_nsec = (long)reader_number(&r, 4);
    out->lost = reader_number(&r, 4);
    unsigned action = reader_u16(&r), level = reader_u8(&r), flags = reader_u8(&r);
    if (size == 0 || size > AUDIT_RECORD_LIMIT || action >= AUDIT_ACTIONS || level > AUDIT_ERROR ||
        flags > URGENT || out->stamp.at.tv_nsec >= SECOND || second > last_second ||
        out->lost > FRAME_LOST)
        return FRAME_BAD;
    out->stamp.action = (enum audit_action)action;
    out->stamp.level = (enum audit_level)level;
    out->urgent = flags & URGENT;
    if (r.left < size) return FRAME_PART;
    out->line = reader_bytes(&r, size);
    *used = FRAME_HEADER + size;
    return FRAME_WHOLE;
}

void frame_put_answer(enum frame_answer answer, uint64_t number, uint8_t out[FRAME_ANSWER])
{
    put(put(out, answer, 1), number, 8);
}

bool frame_read_answer(const uint8_t in[FRAME_ANSWER], enum frame_answer *answer, uint64_t *number)
{
    struct reader r = reader_of((struct span){in, FRAME_ANSWER});
    *answer = (enum frame_answer)reader_u8(&r);
    *number = get_u64(&r);
    return *answer >= ANSWER_KNOWN && *answer <= ANSWER_FAILING;
}
