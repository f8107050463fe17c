#include "audit/receipt.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_KEY "\",\"id\":\""
#define SEQUENCE_KEY "\",\"sequence\":"

void receipt_add(const struct receipt *r, struct timespec at, struct text *line)
{
    char when[CLOCK_TEXT_SIZE], number[TEXT_DECIMAL_SIZE];
    clock_format(at, when);
    text_decimal(r->number, number);
    text_add(line, ",\"created\":\"");
    text_add(line, when);
    text_add(line, ID_KEY);
    text_add(line, r->sender);
    text_add(line, "-");
    text_add(line, number);
    text_add(line, "\"");
}

static const char *last_of(const char *line, size_t n, const char *what)
{
    size_t size = strlen(what);
    for (size_t i = n; i >= size; i--)
        if (memcmp(line + i - size, what, size) == 0) return line + i - size;
    return NULL;
}

bool receipt_read(const char *line, size_t n, struct receipt *out)
{
    const char *end = last_of(line, n, SEQUENCE_KEY);
    const char *id = end ? last_of(line, (size_t)(end - line), ID_KEY) : NULL;
    if (!id) return false;
    id += strlen(ID_KEY);
    const char *dash = memrchr(id, '-', (size_t)(end - id));
    if (!dash || dash == id || (size_t)(dash - id) >= RECEIPT_SENDER || dash + 1 == end ||
        end - dash > TEXT_DECIMAL_SIZE || memchr(id, '"', (size_t)(end - id)))
        return false;
    *out = (struct receipt){0};
    memcpy(out->sender, id, (size_t)(dash - id));
    for (const char *p = dash + 1; p < end; p++) {
        if (*p < '0' || *p > '9') return false;
        out->number = out->number * 10 + (uint64_t)(*p - '0');
    }
    return true;
}

void receipt_name(const char *role, long pid, struct timespec start, unsigned channel,
                  char out[RECEIPT_SENDER])
{
    char when[CLOCK_TEXT_SIZE];
    clock_format(start, when);
    snprintf(out, RECEIPT_SENDER, "%.16s-%ld-%.24s-%u", role, pid, when, channel);
}
