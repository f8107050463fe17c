#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: the first unit that divides a value gives its shortest text. */
static const struct unit durations[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {
    {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"MB", 1000000}, {"KB", 1000}, {"B", 1}};

/* Reads digits; *end points to the first other character. */
static bool number(const char *s, uint64_t *value, const char **end)
{
    uint64_t v = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *value = v;
    *end = p;
    return p != s;
}

bool units_count(const char *s, uint64_t max, uint64_t *out)
{
    const char *end;
    return number(s, out, &end) && *end == '\0' && *out <= max;
}

static bool scaled(const char *s, const struct unit *units, size_t n, uint64_t max, uint64_t *out)
{
    const char *end;
    uint64_t v;
    if (!number(s, &v, &end)) return false;
    while (*end == ' ') end++;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(end, units[i].name) != 0) continue;
        if (v > max / units[i].factor) return false;
        *out = v * units[i].factor;
        return true;
    }
    return false;
}

bool units_duration(const char *s, uint64_t max_ms, uint64_t *ms)
{
    return scaled(s, durations, COUNT_OF(durations), max_ms, ms);
}

bool units_size(const char *s, uint64_t max, uint64_t *bytes)
{
    return scaled(s, sizes, COUNT_OF(sizes), max, bytes);
}

bool units_rate(const char *s, uint64_t max, uint64_t *per_second)
{
    const char *end;
    if (!number(s, per_second, &end) || *per_second > max) return false;
    return *per_second > 0 ? strcmp(end, "/s") == 0 : *end == '\0' || strcmp(end, "/s") == 0;
}

static void format(uint64_t v, const struct unit *units, size_t n, char out[UNITS_TEXT_SIZE])
{
    size_t i = 0;
    while (i < n - 1 && (v == 0 || v % units[i].factor != 0)) i++;
    snprintf(out, UNITS_TEXT_SIZE, "%" PRIu64 "%s", v / units[i].factor, units[i].name);
}

void units_format_duration(uint64_t ms, char out[UNITS_TEXT_SIZE])
{
    format(ms, durations, COUNT_OF(durations), out);
}

void units_format_size(uint64_t bytes, char out[UNITS_TEXT_SIZE])
{
    format(bytes, sizes, COUNT_OF(sizes), out);
}

void units_format_rate(uint64_t per_second, char out[UNITS_TEXT_SIZE])
{
    snprintf(out, UNITS_TEXT_SIZE, "%" PRIu64 "%s", per_second, per_second > 0 ? "/s" : "");
}
