/* Reads and writes DER (X.690). Reading is one element at a time through a bounded reader.
 * Writing goes from the back to the front, so that every length is known when its header is
 * written; the buffer is the caller's, and running out of it sets `failed`. */
#ifndef PKI_DER_H
#define PKI_DER_H

#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* DER, one element: tag, content and the whole with header. False at malformed input. */
struct der_item {
    uint8_t tag;
    struct span content, whole;
};
WARN_UNUSED bool der_next(struct reader *r, struct der_item *out);
/* As der_next(), but the tag has to be this one. */
WARN_UNUSED bool der_expect(struct reader *r, uint8_t tag, struct der_item *out);
/* UTCTime or GeneralizedTime in the form RFC 5280 section 4.1.2.5 demands. */
WARN_UNUSED bool der_time(const struct der_item *item, time_t *out);

struct der {
    uint8_t *buffer;
    size_t at; /* first used byte; what is written lies from here to the end */
    size_t size;
    bool failed;
};

struct der der_of(uint8_t *buffer, size_t size);
struct span der_result(const struct der *d);

/* Each puts its element in front of what is there. */
void der_bytes(struct der *d, const void *p, size_t n);
/* Tag and length for all that was written since `end` (a former value of d->at). */
void der_wrap(struct der *d, uint8_t tag, size_t end);
void der_element(struct der *d, uint8_t tag, const void *p, size_t n);
/* UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5). */
void der_put_time(struct der *d, time_t t);

#endif
