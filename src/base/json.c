#include "base/json.h"

#ifdef __SSE2__
#include <emmintrin.h>
#else
#include <endian.h>
#endif
#include <string.h>

struct json json_of(struct text *out)
{
    return (struct json){.out = out, .first = true};
}

size_t utf8_length(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t f = 0; f < COUNT_OF(forms); f++) {
        if (p[0] < forms[f].first_low || p[0] > forms[f].first_high) continue;
        size_t length = forms[f].length;
        if (length > n) return 0;
        if (length > 1 && (p[1] < forms[f].second_low || p[1] > forms[f].second_high)) return 0;
        for (size_t i = 2; i < length; i++)
            if ((p[i] & 0xc0) != 0x80) return 0;
        return length;
    }
    return 0;
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many of the first bytes are plain, as far as they can be judged many at a time: nearly no
 * byte of a record needs an escape. *found: was one that is not? */
#ifdef __SSE2__
static size_t plain_at_once(const uint8_t *p, size_t n, bool *found)
{
    const __m128i space = _mm_set1_epi8(0x20), quote = _mm_set1_epi8('"'),
                  backslash = _mm_set1_epi8('\\'), delete = _mm_set1_epi8(0x7f);
    size_t i = 0;
    for (; n - i >= sizeof space; i += sizeof space) {
        const __m128i v = _mm_loadu_si128((const void *)(p + i));
        /* Bytes from 0x80 on are negative here. */
        const __m128i marks =
            _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(v, space), _mm_cmpeq_epi8(v, quote)),
                         _mm_or_si128(_mm_cmpeq_epi8(v, backslash), _mm_cmpeq_epi8(v, delete)));
        unsigned marked = (unsigned)_mm_movemask_epi8(marks);
        *found = marked != 0;
        if (marked) return i + (size_t)__builtin_ctz(marked);
    }
    return i;
}
#else
/* A byte of `marks` has its high bit set where the byte of v is below 0x20, equal to '"' or '\\',
 * 0x7f or above; a borrow can only mark a byte above one that is marked anyway, so the lowest mark
 * is the first such byte. */
static size_t plain_at_once(const uint8_t *p, size_t n, bool *found)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    size_t i = 0;
    for (uint64_t v; n - i >= sizeof v; i += sizeof v) {
        memcpy(&v, p + i, sizeof v);
        v = le64toh(v);
        uint64_t quote = v ^ (ones * '"'), backslash = v ^ (ones * '\\');
        uint64_t marks = (v - ones * 0x20) | (v + ones) | (quote - ones) | (backslash - ones) | v;
        *found = (marks & high) != 0;
        if (*found) return i + (size_t)__builtin_ctzll(marks & high) / 8;
    }
    return i;
}
#endif

size_t json_plain_length(const uint8_t *p, size_t n)
{
    bool found = false;
    size_t i = plain_at_once(p, n, &found);
    while (!found && i < n && is_plain(p[i])) i++;
    return i;
}

static void put_escaped(struct text *out, uint8_t c)
{
    if (c == '"' || c == '\\')
        text_printf(out, "\\%c", c);
    else if (c < 0x80)
        text_printf(out, "\\u%04x", c);
    else
        text_add(out, "\xef\xbf\xbd");
}

static void json_quote(struct text *out, const uint8_t *p, size_t n)
{
    size_t from = 0, i = json_plain_length(p, n);
    char *place = i == n ? text_extend(out, n + 2) : NULL;
    if (place) {
        place[0] = place[n + 1] = '"';
        memcpy(place + 1, p, n);
        return;
    }
    text_add_bytes(out, "\"", 1);
    /* The bytes from `from` to i need no escape and are not yet written. */
    for (; i < n; i += json_plain_length(p + i, n - i)) {
        size_t length = p[i] < 0x80 ? 0 : utf8_length(p + i, n - i);
        bool control = length == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0; /* U+0080 to U+009F */
        if (length == 0 || control) {
            text_add_bytes(out, p + from, i - from);
            if (control)
                text_printf(out, "\\u%04x", p[i + 1]);
            else
                put_escaped(out, p[i]);
            from = i + (control ? 2 : 1);
        }
        i += length ? length : 1;
    }
    text_add_bytes(out, p + from, n - from);
    text_add_bytes(out, "\"", 1);
}

/* The comma before it, and its name. */
static void json_member(struct json *j, const char *key)
{
    const size_t comma = j->first ? 0 : 1, n = key ? strlen(key) : 0, marks = key ? 3 : 0;
    char *place = comma + marks > 0 ? text_extend(j->out, comma + n + marks) : NULL;
    j->first = false;
    if (place && comma) *place++ = ',';
    if (!place || !key) return;
    place[0] = place[n + 1] = '"';
    memcpy(place + 1, key, n); /* NOLINT(bugprone-not-null-terminated-result): a quote ends it */
    place[n + 2] = ':';
}

static void json_open(struct json *j, const char *key, const char *bracket)
{
    json_member(j, key);
    text_add_bytes(j->out, bracket, 1);
    j->first = true;
}

static void json_close(struct json *j, const char *bracket)
{
    text_add_bytes(j->out, bracket, 1);
    j->first = false;
}

void json_put_object(struct json *j, const char *key)
{
    json_open(j, key, "{");
}

void json_end_object(struct json *j)
{
    json_close(j, "}");
}

void json_put_array(struct json *j, const char *key)
{
    json_open(j, key, "[");
}

void json_end_array(struct json *j)
{
    json_close(j, "]");
}

void json_put_bytes(struct json *j, const char *key, const void *p, size_t n)
{
    json_member(j, key);
    json_quote(j->out, p ? p : (const uint8_t *)"", n);
}

/* How many of the n bytes fit into `most` bytes of JSON, in whole characters. */
static size_t fitting(const uint8_t *p, size_t n, size_t most)
{
    size_t i = 0;
    while (i < n) {
        size_t length = utf8_length(p + i, n - i), cost = length;
        if (length == 0)
            length = 1, cost = 3; /* U+FFFD */
        else if (p[i] == '"' || p[i] == '\\')
            cost = 2;
        else if (p[i] < 0x20 || p[i] == 0x7f || (length == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0))
            cost = 6;
        if (cost > most) break;
        most -= cost;
        i += length;
    }
    return i;
}

bool json_put_cut(struct json *j, const char *key, const void *p, size_t n, size_t most)
{
    enum { QUOTES = 2, DOTS = 3, LONGEST = 6 };
    if (n <= (most - QUOTES) / LONGEST || fitting(p, n, most - QUOTES) == n) {
        json_put_bytes(j, key, p, n);
        return true;
    }
    json_put_bytes(j, key, p, fitting(p, n, most - QUOTES - DOTS));
    if (j->out->failed) return false;
    j->out->size--; /* the closing quote */
    text_add(j->out, "...\"");
    return false;
}

void json_put_string(struct json *j, const char *key, const char *value)
{
    json_put_bytes(j, key, value, strlen(value));
}

void json_put_number(struct json *j, const char *key, int64_t value)
{
    char digits[TEXT_DECIMAL_SIZE];
    size_t n = text_decimal(value < 0 ? -(uint64_t)value : (uint64_t)value, digits);
    json_member(j, key);
    text_add_bytes(j->out, "-", value < 0);
    text_add_bytes(j->out, digits, n);
}

void json_put_bool(struct json *j, const char *key, bool value)
{
    json_member(j, key);
    text_add(j->out, value ? "true" : "false");
}

void json_put_null(struct json *j, const char *key)
{
    json_member(j, key);
    text_add(j->out, "null");
}

void json_put_optional(struct json *j, const char *key, const char *value)
{
    if (value && *value) json_put_string(j, key, value);
}
