/* Writes one JSON text (RFC 8259) into a struct text, front to back.
 * Commas are placed by the writer; the caller balances open and close.
 * Strings are made valid UTF-8: a byte that is not becomes U+FFFD. Writes only. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/attr.h"
#include "base/text.h"

#include <stdint.h>

struct json {
    struct text *out; /* not owned */
    bool first;       /* nothing yet at this level */
};

struct json json_of(struct text *out);

/* Every call takes the member's key, which needs no escape, or NULL inside an array. */
void json_put_object(struct json *j, const char *key);
void json_end_object(struct json *j);
void json_put_array(struct json *j, const char *key);
void json_end_array(struct json *j);
void json_put_string(struct json *j, const char *key, const char *value);
void json_put_bytes(struct json *j, const char *key, const void *p, size_t n);
/* As json_put_bytes(), but the value has at most `most` bytes with its quotes: a longer one is cut
 * at a character and ends in "...". Returns false if it was cut. */
bool json_put_cut(struct json *j, const char *key, const void *p, size_t n, size_t most);
void json_put_number(struct json *j, const char *key, int64_t value);
void json_put_bool(struct json *j, const char *key, bool value);
void json_put_null(struct json *j, const char *key);
/* As json_put_string(), but the member is left out when value is NULL or empty. */
void json_put_optional(struct json *j, const char *key, const char *value);

/* Length of the valid UTF-8 sequence at p (RFC 3629 section 4) of n > 0 bytes, 0 when there is
 * none. */
WARN_UNUSED size_t utf8_length(const uint8_t *p, size_t n);
/* How many of the n bytes at p are printable ASCII that needs no escape in a string. */
WARN_UNUSED size_t json_plain_length(const uint8_t *p, size_t n);

#endif
