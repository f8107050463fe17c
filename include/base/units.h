/* Durations, sizes and rates as people write them: "250ms", "10s", "5m", "1h"; "80KiB", "1MiB";
 * "200/s".
 * Pure; a value without a unit is refused. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

/* A whole number without a sign, up to max. */
WARN_UNUSED bool units_count(const char *s, uint64_t max, uint64_t *out);
/* Milliseconds. */
WARN_UNUSED bool units_duration(const char *s, uint64_t max_ms, uint64_t *ms);
/* Bytes: B, KB, MB (powers of 1000), KiB, MiB (powers of 1024). */
WARN_UNUSED bool units_size(const char *s, uint64_t max, uint64_t *bytes);

/* "200/s", up to max per second; "0" gives 0. */
WARN_UNUSED bool units_rate(const char *s, uint64_t max, uint64_t *per_second);

/* The shortest spelling that reads back as the same value. */
enum { UNITS_TEXT_SIZE = 32 };
void units_format_duration(uint64_t ms, char out[UNITS_TEXT_SIZE]);
void units_format_size(uint64_t bytes, char out[UNITS_TEXT_SIZE]);
void units_format_rate(uint64_t per_second, char out[UNITS_TEXT_SIZE]);

#endif
