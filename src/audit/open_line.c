#include "audit/open_line.h"

#include "base/json.h"

#include <string.h>

/* What the clerk itself adds to "event". */
static const char *const clerks[] = {"created", "id", "sequence", "hash"};

struct parser {
    const uint8_t *p, *end;
};

static bool take(struct parser *s, char c)
{
    if (s->p == s->end || *s->p != (uint8_t)c) return false;
    s->p++;
    return true;
}

static bool take_hexadecimal(struct parser *s)
{
    for (int i = 0; i < 4; i++, s->p++)
        if (s->p == s->end || !strchr("0123456789abcdefABCDEF", *s->p) || !*s->p) return false;
    return true;
}

static bool take_escape(struct parser *s)
{
    if (take(s, 'u')) return take_hexadecimal(s);
    if (s->p == s->end || !*s->p || !strchr("\"\\/bfnrt", *s->p)) return false;
    s->p++;
    return true;
}

/* The string without its quotes. */
static bool take_string(struct parser *s, struct span *out)
{
    if (!take(s, '"')) return false;
    const uint8_t *begin = s->p;
    for (;;) {
        s->p += json_plain_length(s->p, (size_t)(s->end - s->p));
        if (s->p == s->end) return false;
        size_t length = *s->p < 0x80 ? 0 : utf8_length(s->p, (size_t)(s->end - s->p));
        if (length > 0)
            s->p += length;
        else if (*s->p == 0x7f)
            s->p++;
        else if (!take(s, '\\'))
            break;
        else if (!take_escape(s))
            return false;
    }
    *out = (struct span){begin, (size_t)(s->p - begin)};
    return take(s, '"');
}

static bool take_digits(struct parser *s)
{
    const uint8_t *begin = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
    return s->p > begin;
}

static bool take_number(struct parser *s)
{
    (void)take(s, '-');
    if (!take(s, '0') && !take_digits(s)) return false;
    if (take(s, '.') && !take_digits(s)) return false;
    if (!take(s, 'e') && !take(s, 'E')) return true;
    if (!take(s, '+')) (void)take(s, '-');
    return take_digits(s);
}

static bool take_word(struct parser *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) return false;
    s->p += n;
    return true;
}

static bool take_value(struct parser *s, unsigned depth);

/* A member's name; one with an escape is none of ours. */
static bool take_name(struct parser *s, struct span *name)
{
    return take_string(s, name) && !memchr(name->p, '\\', name->n) && take(s, ':');
}

static bool take_object(struct parser *s, unsigned depth)
{
    struct span name;
    if (take(s, '}')) return true;
    do
        if (!take_name(s, &name) || !take_value(s, depth)) return false;
    while (take(s, ','));
    return take(s, '}');
}

static bool take_array(struct parser *s, unsigned depth)
{
    if (take(s, ']')) return true;
    do
        if (!take_value(s, depth)) return false;
    while (take(s, ','));
    return take(s, ']');
}

static bool take_value(struct parser *s, unsigned depth) /* NOLINT(misc-no-recursion): bounded */
{
    struct span unused;
    if (s->p == s->end || depth == 0) return false;
    switch (*s->p) {
    case '"':
        return take_string(s, &unused);
    case '{':
        s->p++;
        return take_object(s, depth - 1);
    case '[':
        s->p++;
        return take_array(s, depth - 1);
    default:
        return take_number(s) || take_word(s, "true") || take_word(s, "false") ||
               take_word(s, "null");
    }
}

static bool is(struct span name, const char *s)
{
    return name.n == strlen(s) && memcmp(name.p, s, name.n) == 0;
}

/* The members of "event", up to the end of the line. */
static bool is_open_event(struct parser *s, const char *action)
{
    unsigned actions = 0;
    do {
        struct span name, value;
        if (!take_name(s, &name)) return false;
        for (size_t i = 0; i < COUNT_OF(clerks); i++)
            if (is(name, clerks[i])) return false;
        if (!is(name, "action")) {
            if (!take_value(s, OPEN_LINE_DEPTH - 2)) return false;
        } else {
            if (actions++ || !take_string(s, &value) || !is(value, action)) return false;
        }
    } while (take(s, ','));
    return actions == 1 && s->p == s->end;
}

bool open_line_is_sound(struct span line, const char *action)
{
    struct parser s = {line.p, line.p + line.n};
    struct span name;
    if (!take(&s, '{') || !take_name(&s, &name) || !is(name, "@timestamp")) return false;
    for (;;) {
        if (!take_value(&s, OPEN_LINE_DEPTH - 1) || !take(&s, ',') || !take_name(&s, &name) ||
            is(name, "@timestamp"))
            return false;
        if (is(name, "event")) return take(&s, '{') && is_open_event(&s, action);
    }
}
