#include "ledger/lines.h"

#include "base/input.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 256 << 10 };

struct lines {
    char *name;
    struct input *input;
    char *buffer; /* bytes read and not yet returned: from `from` to `to` */
    size_t size, from, to;
    bool ended, failed, skipping;
    bool peeked;
    struct line_view next;
    uint64_t number;
};

struct lines *lines_open(const char *path, struct text *errors)
{
    struct lines *l = calloc(1, sizeof *l);
    bool standard = strcmp(path, "-") == 0;
    if (!l) {
        text_add(errors, "out of memory\n");
        return NULL;
    }
    l->name =
        text_copy(standard ? "standard input" : path, strlen(standard ? "standard input" : path));
    l->buffer = malloc(FIRST_SIZE);
    l->size = FIRST_SIZE;
    l->input = l->name && l->buffer ? input_open(path, errors) : NULL;
    if (l->input) return l;
    if (!l->name || !l->buffer) text_add(errors, "out of memory\n");
    lines_close(l);
    return NULL;
}

void lines_close(struct lines *l)
{
    if (!l) return;
    input_close(l->input);
    free(l->buffer);
    free(l->name);
    free(l);
}

/* Makes room after `to`, also for a NUL. */
static bool make_room(struct lines *l)
{
    if (l->from > 0) {
        memmove(l->buffer, l->buffer + l->from, l->to - l->from);
        l->to -= l->from;
        l->from = 0;
    }
    if (l->to + 1 < l->size) return true;
    char *larger = realloc(l->buffer, l->size * 2);
    if (!larger) return false;
    l->buffer = larger;
    l->size *= 2;
    return true;
}

/* False at the end of data. */
static bool read_more(struct lines *l)
{
    if (l->ended) return false;
    if (!make_room(l)) {
        l->failed = l->ended = true;
        return false;
    }
    ssize_t n = input_read(l->input, l->buffer + l->to, l->size - l->to - 1);
    l->failed = n < 0;
    l->ended = n <= 0;
    if (n > 0) l->to += (size_t)n;
    return n > 0;
}

/* Returns the bytes up to `stop`. ended: a line end follows them. */
static struct line_view take(struct lines *l, size_t stop, bool ended)
{
    struct line_view v = {l->buffer + l->from, stop - l->from, ended};
    l->buffer[stop] = '\0';
    l->from = stop + ended;
    return v;
}

static bool find_line(struct lines *l, struct line_view *out)
{
    size_t searched = 0;
    for (;;) {
        char *at = l->buffer + l->from + searched;
        char *newline = memchr(at, '\n', l->to - l->from - searched);
        if (newline) {
            *out = take(l, (size_t)(newline - l->buffer), true);
            return true;
        }
        searched = l->to - l->from;
        if (searched >= LINES_LIMIT) {
            *out = take(l, l->to, false);
            l->skipping = true;
            return true;
        }
        if (read_more(l)) continue;
        if (l->failed || searched == 0) return false;
        *out = take(l, l->to, false);
        return true;
    }
}

static bool advance(struct lines *l, struct line_view *out)
{
    for (;;) {
        bool rest = l->skipping; /* of a line that was too long */
        if (!find_line(l, out)) return false;
        if (rest) {
            l->skipping = !out->ended;
            continue;
        }
        return true;
    }
}

bool lines_peek(struct lines *l, struct line_view *out)
{
    if (!l->peeked) {
        if (!advance(l, &l->next)) return false;
        l->peeked = true;
    }
    *out = l->next;
    return true;
}

bool lines_next(struct lines *l, struct line_view *out)
{
    if (!lines_peek(l, out)) return false;
    l->peeked = false;
    l->number++;
    return true;
}

bool lines_failed(const struct lines *l)
{
    return l->failed;
}

const char *lines_fault(const struct lines *l)
{
    const char *fault = input_fault(l->input);
    return fault[0] ? fault : "out of memory";
}

const char *lines_name(const struct lines *l)
{
    return l->name;
}

uint64_t lines_number(const struct lines *l)
{
    return l->number;
}
