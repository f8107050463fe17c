#include "base/diag.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void say(const char *level, const char *format, va_list args)
{
    char line[2048], time_text[CLOCK_TEXT_SIZE];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_format(now, time_text);
    vsnprintf(line, sizeof line, format, args);
    /* One call, so that lines of two threads never mix. */
    fprintf(stderr, "%s suitegate %s: %s\n", time_text, level, line);
}

#define DIAG(name, level)                     \
    void diag_##name(const char *format, ...) \
    {                                         \
        va_list args;                         \
        va_start(args, format);               \
        say(level, format, args);             \
        va_end(args);                         \
    }

DIAG(info, "info")
DIAG(warning, "warning")
DIAG(error, "error")

static pthread_once_t trace_once = PTHREAD_ONCE_INIT;
static bool trace_wanted;

static void read_trace_setting(void)
{
    trace_wanted = getenv("SUITEGATE_TRACE") != NULL;
}

void diag_trace(const char *format, ...)
{
    va_list args;
    pthread_once(&trace_once, read_trace_setting);
    if (!trace_wanted) return;
    va_start(args, format);
    say("trace", format, args);
    va_end(args);
}

bool diag_due(int64_t *last_ns, int64_t interval_ns)
{
    int64_t now = clock_steady_ns();
    int64_t last = __atomic_load_n(last_ns, __ATOMIC_RELAXED);
    if (last && now - last < interval_ns) return false;
    __atomic_store_n(last_ns, now, __ATOMIC_RELAXED);
    return true;
}
