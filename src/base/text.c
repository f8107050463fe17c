#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local struct {
    char *begin, *at, *end;
} borrowed;

void text_borrow(char *p, size_t n)
{
    borrowed.begin = borrowed.at = p;
    borrowed.end = p ? p + n : NULL;
}

static bool is_borrowed(const char *p)
{
    return p && p >= borrowed.begin && p < borrowed.end;
}

static void release(char *p)
{
    if (!is_borrowed(p)) free(p);
}

/* data: with `size` bytes in use, or NULL. */
static char *resize(char *data, size_t size, size_t capacity)
{
    char *grown = is_borrowed(data) ? NULL : realloc(data, capacity);
    if (grown || capacity > (size_t)(borrowed.end - borrowed.at)) return grown;
    grown = borrowed.at;
    borrowed.at += capacity;
    if (data) memcpy(grown, data, size);
    release(data);
    return grown;
}

void text_fini(struct text *t)
{
    release(t->data);
    *t = (struct text){0};
}

void text_wipe(struct text *t)
{
    if (t->data) explicit_bzero(t->data, t->size);
    text_fini(t);
}

/* Apart from text_grow(), which a record calls a thousand times. */
static __attribute__((noinline)) bool get_more(struct text *t, size_t need)
{
    size_t capacity = t->capacity ? t->capacity * 4 : 512;
    if (capacity < need) capacity = need;
    char *data = resize(t->data, t->size, capacity);
    if (!data) {
        t->failed = true;
        t->size = 0;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

static bool text_grow(struct text *t, size_t more)
{
    if (t->failed) return false;
    size_t need = t->size + more + 1;
    return need <= t->capacity || get_more(t, need);
}

void text_reserve(struct text *t, size_t n)
{
    text_grow(t, n);
}

void text_trim(struct text *t, size_t n)
{
    size_t need = t->size + n + 1;
    if (!t->data || is_borrowed(t->data) || t->failed || need >= t->capacity) return;
    char *data = realloc(t->data, need);
    if (!data) return;
    t->data = data;
    t->capacity = need;
}

char *text_extend(struct text *t, size_t n)
{
    if (!text_grow(t, n)) return NULL;
    char *place = t->data + t->size;
    t->size += n;
    t->data[t->size] = '\0';
    return place;
}

void text_add_bytes(struct text *t, const void *p, size_t n)
{
    char *place = text_extend(t, n);
    if (place && n) memcpy(place, p, n);
}

void text_add(struct text *t, const char *s)
{
    text_add_bytes(t, s, strlen(s));
}

void text_printf(struct text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = t->capacity - t->size;
    int n = vsnprintf(t->data ? t->data + t->size : NULL, room, format, args);
    if (n >= 0 && (size_t)n >= room && text_grow(t, (size_t)n))
        vsnprintf(t->data + t->size, (size_t)n + 1, format, again);
    t->failed = t->failed || n < 0;
    t->size = t->failed ? 0 : t->size + (size_t)n;
    va_end(again);
    va_end(args);
}

/* The UTF-8 sequence at s as a code point; an invalid byte is returned as it is. */
static uint32_t code_point(const char *s, size_t *length)
{
    const uint8_t *p = (const uint8_t *)s;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 1;
    uint32_t v = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    *length = 1;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return p[0];
        v = v << 6 | (p[i] & 0x3f);
    }
    *length = n;
    return v;
}

void text_add_visible(struct text *t, const char *s, size_t most)
{
    size_t begin = t->size, length;
    for (; *s && t->size - begin <= most; s += length) {
        uint32_t c = code_point(s, &length);
        if (c >= 0x20 && c < 0x7f)
            text_add_bytes(t, s, 1);
        else
            text_printf(t, "\\u{%x}", c);
    }
    if (t->failed || t->size - begin <= most) return;
    t->size = begin + most - 3;
    text_add(t, "...");
}

void text_add_wrapped(struct text *t, int indent, const char *words)
{
    int column = 0;
    words += strspn(words, " ");
    while (*words) {
        size_t n = strcspn(words, " "), most = (size_t)(TEXT_COLUMNS - indent);
        if (n > most) n = most; /* one word that is longer than a line */
        if (column && column + 1 + (int)n > TEXT_COLUMNS) {
            text_add(t, "\n");
            column = 0;
        }
        if (column) {
            text_add(t, " ");
            column++;
        } else {
            text_printf(t, "%*s", indent, "");
            column = indent;
        }
        text_add_bytes(t, words, n);
        column += (int)n;
        words += n + strspn(words + n, " ");
    }
    text_add(t, "\n");
}

void text_add_html(struct text *t, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '<':
            text_add(t, "&lt;");
            break;
        case '>':
            text_add(t, "&gt;");
            break;
        case '&':
            text_add(t, "&amp;");
            break;
        case '"':
            text_add(t, "&quot;");
            break;
        default:
            text_add_bytes(t, s, 1);
        }
    }
}

const char *text_string(const struct text *t)
{
    return t->data && !t->failed ? t->data : "";
}

char *text_take(struct text *t)
{
    if (t->failed || !text_grow(t, 0)) {
        text_fini(t);
        return NULL;
    }
    t->data[t->size] = '\0';
    char *s = t->data;
    *t = (struct text){0};
    return s;
}

char *text_copy(const char *s, size_t n)
{
    char *copy = malloc(n + 1);
    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

void text_fill(char *out, size_t size, const char *s)
{
    if (!memccpy(out, s, '\0', size)) out[size - 1] = '\0';
}

void text_lower(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z') *s = (char)(*s - 'A' + 'a');
}

size_t text_decimal(uint64_t v, char out[TEXT_DECIMAL_SIZE])
{
    size_t n = 1;
    for (uint64_t left = v; left >= 10; left /= 10) n++;
    out[n] = '\0';
    for (size_t i = n; i-- > 0; v /= 10) out[i] = (char)('0' + v % 10);
    return n;
}

void text_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool text_from_hex(const char *digits, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit_value(digits[2 * i]);
        int low = high < 0 ? -1 : digit_value(digits[2 * i + 1]);
        if (low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool text_next_line(const struct text *t, struct text_line *line)
{
    const char *start = text_string(t), *end = start + t->size;
    if (line->p) start = line->p + line->n;
    if (line->p && start < end && *start == '\r') start++;
    if (line->p && start < end) start++;
    if (start >= end) return false;
    const char *newline = memchr(start, '\n', (size_t)(end - start));
    size_t n = (size_t)((newline ? newline : end) - start);
    if (n > 0 && start[n - 1] == '\r') n--;
    *line = (struct text_line){start, n, line->number + 1};
    return true;
}
