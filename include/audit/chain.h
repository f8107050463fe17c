/* The chain through the lines of an audit log, which reveals any changed, removed, added or moved
 * line. Pure functions on bytes; knows neither files nor keys.
 *
 * A sealed line ends in  ,"sequence":N,"hash":"H"}}  and a line end. N counts from 1 without gaps.
 * H is 64 lower-case hexadecimal digits: SHA-256 over the previous line's H (64 times "0" for line
 * 1) and then this line's bytes before its own H. */
#ifndef AUDIT_CHAIN_H
#define AUDIT_CHAIN_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum { CHAIN_HASH = 64, CHAIN_ROOM = 128 };

/* The last line; sequence 0: none yet. */
struct chain {
    uint64_t sequence;
    char hash[CHAIN_HASH + 1];
};

void chain_begin(struct chain *c);
/* Turns an open line (audit/record.h) into the next sealed one. Allocates nothing if CHAIN_ROOM
 * bytes are reserved. False when memory or the digest failed. */
WARN_UNUSED bool chain_seal(struct chain *c, struct text *line);

struct chain_line {
    uint64_t sequence;
    const char *hash; /* CHAIN_HASH digits within the line */
    size_t covered;   /* how many of the line's bytes the hash is over */
};

/* A line of n bytes, without its line end. False when it is not a sealed one. */
WARN_UNUSED bool chain_read(const char *line, size_t n, struct chain_line *out);
/* The hash that this line must have after a line with the hash `previous`. */
WARN_UNUSED bool chain_hash(const char previous[CHAIN_HASH], const char *line, size_t covered,
                            char out[CHAIN_HASH + 1]);

#endif
