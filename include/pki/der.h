/* Reads and writes DER (X.690). Reading is one element at a time through a bounded reader. Writing
 * goes from the back to the front, so that every length is known when its header is written; the
 * caller owns the buffer; running out of it sets `failed`. */
#ifndef PKI_DER_H
#define PKI_DER_H

#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_1 = 0xa1,
    DER_CONTEXT_2 = 0xa2,
    DER_CONTEXT_3 = 0xa3,
};

/* A known object identifier: its content. */
struct oid {
    uint8_t n;
    uint8_t bytes[11];
};
static inline bool oid_is(struct span s, const struct oid *oid)
{
    return s.n == oid->n && __builtin_memcmp(s.p, oid->bytes, s.n) == 0;
}

/* One element: its tag, its content, and all of it with its header. False for malformed input. */
struct der_item {
    uint8_t tag;
    struct span content, whole;
};
WARN_UNUSED bool der_next(struct reader *r, struct der_item *out);
/* As der_next(), but false for any other tag. */
WARN_UNUSED bool der_expect(struct reader *r, uint8_t tag, struct der_item *out);
/* An INTEGER's content in its shortest form (X.690 section 8.3.2). */
bool der_is_integer(struct span content);
/* UTCTime or GeneralizedTime, in the form of RFC 5280 section 4.1.2.5. */
WARN_UNUSED bool der_time(const struct der_item *item, time_t *out);

struct der {
    uint8_t *buffer;
    size_t at; /* first used byte; what was written is from here to the end */
    size_t size;
    bool failed;
};

struct der der_of(uint8_t *buffer, size_t size);
struct span der_result(const struct der *d);

/* Each puts its element before what was written. */
void der_bytes(struct der *d, const void *p, size_t n);
/* Tag and length for everything written since d->at was `end`. */
void der_wrap(struct der *d, uint8_t tag, size_t end);
void der_element(struct der *d, uint8_t tag, const void *p, size_t n);
/* UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5). */
void der_put_time(struct der *d, time_t t);

#endif
