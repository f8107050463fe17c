#include "audit/log_state.h"

#include "base/numbers.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW(name, member)                        \
    {                                            \
        name, offsetof(struct log_state, member) \
    }
static const struct number_row rows[] = {
    ROW("written", written),   ROW("waiting", waiting),      ROW("failing", failing),
    ROW("sequence", sequence), ROW("sync_ns", syncs.sum_ns),
};

void log_state_put(const struct log_state *s, struct text *out)
{
    numbers_put(rows, COUNT_OF(rows), s, out);
    for (size_t i = 0; i <= HISTOGRAM_CLASSES; i++)
        text_printf(out, "syncs %zu %lu\n", i, s->syncs.classes[i]);
    if (s->head[0]) text_printf(out, "head %s\n", s->head);
    for (size_t i = 0; i < s->sink_count; i++)
        text_printf(out, "sink %lu %lu %lu %s\n", s->sinks[i].written, s->sinks[i].waiting,
                    s->sinks[i].dropped, s->sinks[i].name);
}

static unsigned long next_number(const char **at)
{
    char *end;
    unsigned long n = strtoul(*at, &end, 10);
    *at = end;
    return n;
}

static void read_sink(const char *rest, struct log_state *out)
{
    if (out->sink_count == LOG_STATE_SINKS) return;
    struct log_sink *s = &out->sinks[out->sink_count++];
    s->written = next_number(&rest);
    s->waiting = next_number(&rest);
    s->dropped = next_number(&rest);
    snprintf(s->name, sizeof s->name, "%s", *rest == ' ' ? rest + 1 : "");
}

static void read_head(const char *rest, struct log_state *out)
{
    if (strlen(rest) == sizeof out->head - 1 && strspn(rest, "0123456789abcdef") == strlen(rest))
        memcpy(out->head, rest, sizeof out->head);
}

static void read_line(void *arg, const char *name, const char *rest)
{
    struct log_state *out = arg;
    numbers_read(rows, COUNT_OF(rows), name, rest, out);
    if (strcmp(name, "head") == 0) read_head(rest, out);
    if (strcmp(name, "sink") == 0) read_sink(rest, out);
    if (strcmp(name, "syncs") == 0) {
        unsigned long at = next_number(&rest);
        if (at <= HISTOGRAM_CLASSES) out->syncs.classes[at] = next_number(&rest);
    }
}

void log_state_read(const char *text, struct log_state *out)
{
    *out = (struct log_state){0};
    numbers_each_line(text, read_line, out);
}
