/* Growing text, for messages, pages and JSON.
 * The caller embeds the struct and ends it with text_fini(), or takes the string with
 * text_take() and frees it. Running out of memory sets `failed`; what follows is dropped. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *data; /* NUL-terminated when not NULL */
    size_t size, capacity;
    bool failed;
};

/* While there is no memory: from now on this thread's texts that can get none use these n bytes,
 * until the next call; with NULL, only memory. A text must not be kept beyond that, or taken. */
void text_borrow(char *p, size_t n);

void text_fini(struct text *t);
/* The same for a secret: its bytes are overwritten first. */
void text_wipe(struct text *t);
/* Reserves room for n more bytes at once. */
void text_reserve(struct text *t, size_t n);
/* Frees unused memory, but keeps room for n more bytes. */
void text_trim(struct text *t, size_t n);
/* Adds n bytes, which the caller writes at the returned pointer before the next call; NULL on
 * failure. */
WARN_UNUSED char *text_extend(struct text *t, size_t n);
void text_add(struct text *t, const char *s);
void text_add_bytes(struct text *t, const void *p, size_t n);
void text_printf(struct text *t, const char *format, ...) PRINTF(2, 3);

/* A peer's text, for a terminal: visible ASCII as it is, any other character as its code, such as
 * \u{1b}; at most `most` columns, a longer text ends in "...". */
void text_add_visible(struct text *t, const char *s, size_t most);

/* Adds words in lines of at most TEXT_COLUMNS; every line begins with `indent` blanks. */
enum { TEXT_COLUMNS = 79 };
void text_add_wrapped(struct text *t, int indent, const char *words);

/* Escaped for HTML, text or attribute. */
void text_add_html(struct text *t, const char *s);

/* The text, or "" when it is empty or failed. Owned by t. */
const char *text_string(const struct text *t);
/* The text as a string to free(), or NULL when it failed; t is empty afterwards. */
WARN_UNUSED char *text_take(struct text *t);

/* A NUL-terminated copy, or NULL when out of memory. */
WARN_UNUSED char *text_copy(const char *s, size_t n);
/* Copies s, or as much of it as fits, with a NUL. */
void text_fill(char *out, size_t size, const char *s);
/* Lower-case ASCII; everything else as it is. */
void text_lower(char *s);
/* A number in decimal and a NUL into out; returns how many digits. */
enum { TEXT_DECIMAL_SIZE = 21 };
size_t text_decimal(uint64_t v, char out[TEXT_DECIMAL_SIZE]);
/* 2n hexadecimal digits and a NUL into out. */
void text_hex(const uint8_t *p, size_t n, char *out);
/* n bytes from 2n hexadecimal digits; false if one is none. */
WARN_UNUSED bool text_from_hex(const char *digits, size_t n, uint8_t *out);

/* A line without its end, "\n" or "\r\n"; borrowed. */
struct text_line {
    const char *p;
    size_t n;
    unsigned number; /* from 1 */
};
/* The next line of a text: *line is {0} before the first one. False after the last one. */
WARN_UNUSED bool text_next_line(const struct text *t, struct text_line *line);

#endif
