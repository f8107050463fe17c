#include "runtime/ticket_file.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum { DIGITS = 2 * sizeof((struct ticket_key *)0)->key };

/* "TIME DIGITS" */
static bool read_key(const struct text_line *line, struct ticket_key *out)
{
    char when[CLOCK_TEXT_SIZE];
    struct timespec from;
    const char *blank = memchr(line->p, ' ', line->n);
    size_t n = blank ? (size_t)(blank - line->p) : sizeof when;
    if (n >= sizeof when || line->n - n - 1 != DIGITS) return false;
    snprintf(when, sizeof when, "%.*s", (int)n, line->p);
    if (!clock_parse(when, &from) || !text_from_hex(blank + 1, sizeof out->key, out->key))
        return false;
    out->from = from.tv_sec;
    return ticket_key_name(out);
}

/* Why this key may not follow the others; NULL: it may. */
static const char *fault_of(const struct ticket_keys *keys, const struct ticket_key *next)
{
    if (keys->n == TICKET_KEYS) return "more than 16 keys";
    for (size_t i = 0; i < keys->n; i++)
        if (memcmp(keys->items[i].name, next->name, TICKET_NAME) == 0) return "the same key again";
    if (keys->n > 0 && next->from <= keys->items[keys->n - 1].from)
        return "begins no later than the key before it";
    return NULL;
}

bool ticket_file_read(const struct text *content, const char *file, struct ticket_keys *out,
                      struct text *errors)
{
    struct text_line line = {0};
    struct ticket_key key = {.from = 0};
    const char *fault = NULL;
    *out = (struct ticket_keys){.n = 0};
    while (!fault && text_next_line(content, &line)) {
        if (line.n == 0 || line.p[0] == '#') continue;
        fault = read_key(&line, &key)
                    ? fault_of(out, &key)
                    : "not a time and 64 hexadecimal digits, as suitegate tickets rotate writes";
        if (!fault) out->items[out->n++] = key;
    }
    explicit_bzero(&key, sizeof key);
    if (fault)
        text_printf(errors, "%s:%u: %s\n", file, line.number, fault);
    else if (out->n == 0)
        text_printf(errors, "%s has no key: suitegate tickets rotate makes one\n", file);
    if (!fault && out->n > 0) return true;
    explicit_bzero(out, sizeof *out);
    return false;
}

void ticket_file_print(const struct ticket_keys *keys, struct text *out)
{
    text_reserve(out, 256 + keys->n * (CLOCK_TEXT_SIZE + DIGITS + 2)); /* no copies are left */
    text_add(out, "# Keys of session tickets, for all instances of suitegate that share them.\n"
                  "# From when each seals, and the key. Made by: suitegate tickets rotate\n");
    for (size_t i = 0; i < keys->n; i++) {
        const struct ticket_key *k = &keys->items[i];
        char when[CLOCK_TEXT_SIZE], digits[DIGITS + 1];
        clock_format_seconds(k->from, when);
        text_hex(k->key, sizeof k->key, digits);
        text_printf(out, "%s %s\n", when, digits);
        explicit_bzero(digits, sizeof digits);
    }
}

static void remove_first(struct ticket_keys *keys)
{
    memmove(&keys->items[0], &keys->items[1], (keys->n - 1) * sizeof keys->items[0]);
    explicit_bzero(&keys->items[--keys->n], sizeof keys->items[0]);
}

/* An instance that got the next key late has sealed with this one for a while longer. */
static bool is_over(const struct ticket_keys *keys, size_t i, time_t now)
{
    return i + 1 < keys->n &&
           keys->items[i + 1].from + TICKET_LIFETIME_S + TICKET_KEY_AHEAD_S <= now;
}

enum ticket_rotation ticket_file_rotate(struct ticket_keys *keys, time_t now)
{
    struct ticket_key next;
    if (keys->n > 0 && keys->items[keys->n - 1].from > now) return TICKETS_WAIT;
    while (is_over(keys, 0, now)) remove_first(keys);
    if (keys->n == TICKET_KEYS) remove_first(keys);
    next.from = keys->n > 0 ? now + TICKET_KEY_AHEAD_S : now;
    if (!ticket_key_generate(&next) || !ticket_key_name(&next)) return TICKETS_FAILED;
    keys->items[keys->n++] = next;
    explicit_bzero(&next, sizeof next);
    return TICKETS_ROTATED;
}
