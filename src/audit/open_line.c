#include "audit/open_line.h"

#include "base/json.h"

#include <string.h>

/* What the clerk itself adds to "event". */
static const char *const clerks[] = {"created", "id", "sequence", "hash"};

enum { DIGITS = 18 };

struct parser {
    const uint8_t *p, *end;
};

static bool take(struct parser *s, char c)
{
    if (s->p == s->end || *s->p != (uint8_t)c) return false;
    s->p++;
    return true;
}

/* No half of a surrogate pair: no line of ours needs one (RFC 8259 section 8.2). */
static bool take_hexadecimal(struct parser *s)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const uint8_t *begin = s->p;
    for (int i = 0; i < 4; i++, s->p++)
        if (s->p == s->end || !*s->p || !strchr(digits, *s->p)) return false;
    return !((begin[0] == 'd' || begin[0] == 'D') && strchr("89abcdefABCDEF", begin[1]));
}

static bool take_escape(struct parser *s)
{
    if (take(s, 'u')) return take_hexadecimal(s);
    if (s->p == s->end || !*s->p || !strchr("\"\\/bfnrt", *s->p)) return false;
    s->p++;
    return true;
}

/* With bytes that are not plain: the rest of it. */
static bool take_rest_of_string(struct parser *s)
{
    while (s->p < s->end && *s->p != '"') {
        size_t length = *s->p < 0x80 ? 0 : utf8_length(s->p, (size_t)(s->end - s->p));
        if (length > 0)
            s->p += length;
        else if (*s->p == 0x7f)
            s->p++;
        else if (!take(s, '\\') || !take_escape(s))
            return false;
        s->p += json_plain_length(s->p, (size_t)(s->end - s->p));
    }
    return s->p < s->end;
}

/* The string without its quotes. */
static inline bool take_string(struct parser *s, struct span *out)
{
    if (!take(s, '"')) return false;
    const uint8_t *begin = s->p;
    s->p += json_plain_length(begin, (size_t)(s->end - begin));
    if ((s->p == s->end || *s->p != '"') && !take_rest_of_string(s)) return false;
    *out = (struct span){begin, (size_t)(s->p - begin)};
    s->p++;
    return true;
}

static bool take_digits(struct parser *s)
{
    const uint8_t *begin = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
    return s->p > begin;
}

/* Whole numbers that fit into 64 bits, as ours are. */
static bool take_number(struct parser *s)
{
    const uint8_t *begin = s->p;
    (void)take(s, '-');
    return (take(s, '0') || take_digits(s)) && s->p - begin <= DIGITS;
}

static bool take_word(struct parser *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) return false;
    s->p += n;
    return true;
}

static bool take_value(struct parser *s, unsigned depth);

static bool is(struct span name, const char *s)
{
    return name.n == strlen(s) && memcmp(name.p, s, name.n) == 0;
}

/* A member's name; ours are plain. Only event has a dataset: ledger/entry.c looks for that. */
static bool take_name(struct parser *s, struct span *name)
{
    if (!take(s, '"')) return false;
    *name = (struct span){s->p, json_plain_length(s->p, (size_t)(s->end - s->p))};
    s->p += name->n;
    return take(s, '"') && take(s, ':') && !is(*name, "dataset");
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

/* No object: a reader that looks for a member must find none but event's own. */
static bool take_flat_value(struct parser *s)
{
    if (take(s, '[')) {
        if (take(s, ']')) return true;
        do
            if (!take_flat_value(s)) return false;
        while (take(s, ','));
        return take(s, ']');
    }
    return s->p < s->end && *s->p != '{' && take_value(s, 1);
}

/* The members of "event", up to the end of the line. */
static bool is_open_event(struct parser *s, const char *action)
{
    bool has_action = false;
    do {
        struct span name, value;
        if (take_word(s, OPEN_LINE_ACTION)) {
            if (has_action || !take_string(s, &value) || !is(value, action)) return false;
            has_action = true;
            continue;
        }
        if (!take_name(s, &name) || is(name, "action")) return false;
        for (size_t i = 0; i < COUNT_OF(clerks); i++)
            if (is(name, clerks[i])) return false;
        if (!take_flat_value(s)) return false;
    } while (take(s, ','));
    return has_action && s->p == s->end;
}

/* RFC 3339 in UTC with milliseconds, as clock_format() writes it. */
static bool is_time(struct span value)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    if (value.n != sizeof form - 1) return false;
    for (size_t i = 0; i < value.n; i++) {
        bool digit = value.p[i] >= '0' && value.p[i] <= '9';
        if (form[i] == '0' ? !digit : value.p[i] != (uint8_t)form[i]) return false;
    }
    return true;
}

bool open_line_is_sound(struct span line, const char *action)
{
    struct parser s = {line.p, line.p + line.n};
    struct span name, time;
    if (line.n > OPEN_LINE_LIMIT || !take(&s, '{') || !take_name(&s, &name) ||
        !is(name, "@timestamp") || !take_string(&s, &time) || !is_time(time))
        return false;
    while (take(&s, ',') && take_name(&s, &name) && !is(name, "@timestamp")) {
        if (is(name, "event")) return take(&s, '{') && is_open_event(&s, action);
        if (!take_value(&s, OPEN_LINE_DEPTH - 1)) return false;
    }
    return false;
}
