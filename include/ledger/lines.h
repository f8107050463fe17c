/* Reads the lines of an audit log, front to back, in bounded memory, also if it is compressed with
 * gzip.
 * The reader owns the line that lines_next() returns; it is valid until the next call. */
#ifndef LEDGER_LINES_H
#define LEDGER_LINES_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINES_LIMIT = 16 << 20 }; /* a longer line is cut and has no line end */

struct line_view {
    const char *p; /* NUL-terminated, without its line end */
    size_t n;
    bool ended; /* it has a line end */
};

struct lines;

/* path: a file, or "-" for standard input. NULL with a sentence in errors. */
WARN_UNUSED struct lines *lines_open(const char *path, struct text *errors);
void lines_close(struct lines *l);

/* The next line, which may be empty. False at the end of data, or when reading failed
 * (lines_failed). */
WARN_UNUSED bool lines_next(struct lines *l, struct line_view *out);
/* The line that lines_next() will give. */
WARN_UNUSED bool lines_peek(struct lines *l, struct line_view *out);
bool lines_failed(const struct lines *l);
/* Why reading failed, as a clause. */
const char *lines_fault(const struct lines *l);
const char *lines_name(const struct lines *l);
/* Of the last line returned, counted from 1. */
uint64_t lines_number(const struct lines *l);

#endif
