/* What the clerk adds to an open line before it is sealed: when it got the line, and the line's id,
 * which says who sent it. So a sender can neither back-date a line nor write under another name,
 * and a line that is sent twice shows. Pure functions on bytes.
 *
 * A receipt is  ,"created":"T","id":"SENDER-N"  at the end of "event". T: RFC 3339 in UTC with
 * milliseconds. N: counts the sender's lines from 1. */
#ifndef AUDIT_RECEIPT_H
#define AUDIT_RECEIPT_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { RECEIPT_SENDER = 64 /* bytes with the NUL */, RECEIPT_ROOM = 160 };

struct receipt {
    char sender[RECEIPT_SENDER];
    uint64_t number;
};

/* Appends at most RECEIPT_ROOM bytes. */
void receipt_add(const struct receipt *r, struct timespec at, struct text *line);
/* The receipt of a sealed line of n bytes. False when it has none. */
WARN_UNUSED bool receipt_read(const char *line, size_t n, struct receipt *out);

/* The name of a process that sends: its role, its id, and its start. channel: one of its several.
 */
void receipt_name(const char *role, long pid, struct timespec start, unsigned channel,
                  char out[RECEIPT_SENDER]);

#endif
