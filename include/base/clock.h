/* Time: a steady clock for deadlines, the calendar for records and certificates. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/attr.h"
#include <stddef.h>

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Steady nanoseconds since an arbitrary start (CLOCK_MONOTONIC). */
int64_t clock_steady_ns(void);
/* Calendar time as RFC 3339 in UTC with milliseconds: 24 characters and a NUL; empty for a year
 * that does not have four digits. */
enum { CLOCK_TEXT_SIZE = 32 };
void clock_format(struct timespec t, char out[CLOCK_TEXT_SIZE]);
/* Calendar seconds as RFC 3339 in UTC without a fraction. */
void clock_format_seconds(time_t t, char out[CLOCK_TEXT_SIZE]);

/* Reads RFC 3339 in UTC: a date, or a date and a time to the minute, second or fraction, with or
 * without the Z. */
WARN_UNUSED bool clock_parse(const char *s, struct timespec *out);

#endif
