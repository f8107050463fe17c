/* What goes between a process that records and the clerk, over a stream socket of one machine: to
 * the clerk frames, each a header and one open line (audit/record.h); back from it answers. Pure
 * functions on bytes; the clerk trusts none of them. */
#ifndef AUDIT_FRAME_H
#define AUDIT_FRAME_H

#include "audit/record.h"
#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FRAME_HEADER = 32,
    FRAME_LIMIT = FRAME_HEADER + AUDIT_RECORD_LIMIT,
    FRAME_ANSWER = 9,
    FRAME_LOST = 1 << 20
};

struct frame {
    uint64_t number; /* of the sender's records, from 1 without gaps */
    struct audit_stamp stamp;
    bool urgent;   /* a caller waits for the answer */
    uint32_t lost; /* records that the sender had no memory for since the previous frame, at most
                      FRAME_LOST */
    struct span line;
};

enum frame_result { FRAME_WHOLE, FRAME_PART, FRAME_BAD };

/* The header of a frame with such a line. */
void frame_put_header(const struct frame *f, uint8_t out[FRAME_HEADER]);
/* The frame at the head of these bytes: *used has its size. Its line borrows from them. FRAME_BAD:
 * it is none, or its line is too long; nothing after it can be read. */
WARN_UNUSED enum frame_result frame_read(struct span bytes, struct frame *out, size_t *used);

/* The clerk's answers name a sender's record: all up to it are meant. */
enum frame_answer {
    ANSWER_KNOWN = 1, /* the first one: these are in the log already; now send what is not */
    ANSWER_WRITTEN,   /* they are in the file */
    ANSWER_FAILING    /* the file cannot be written; they stay queued */
};

void frame_put_answer(enum frame_answer answer, uint64_t number, uint8_t out[FRAME_ANSWER]);
/* False when it is none. */
WARN_UNUSED bool frame_read_answer(const uint8_t in[FRAME_ANSWER], enum frame_answer *answer,
                                   uint64_t *number);

#endif
