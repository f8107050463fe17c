#include "base/clock.h"

#include <stdio.h>

int64_t clock_steady_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void clock_format(struct timespec t, char out[CLOCK_TEXT_SIZE])
{
    /* Many records are of the same second. */
    static _Thread_local char seconds[CLOCK_TEXT_SIZE - 8];
    static _Thread_local time_t formatted;
    struct tm tm;
    if (t.tv_sec != formatted || !*seconds) {
        *seconds = '\0';
        if (gmtime_r(&t.tv_sec, &tm)) strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
        formatted = t.tv_sec;
    }
    snprintf(out, CLOCK_TEXT_SIZE, "%s.%03uZ", seconds, (unsigned)(t.tv_nsec / 1000000) % 1000);
}

void clock_format_seconds(time_t t, char out[CLOCK_TEXT_SIZE])
{
    struct tm tm;
    out[0] = '\0';
    if (gmtime_r(&t, &tm)) strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
