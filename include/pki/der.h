/* Writes DER (X.690) from the back to the front, so that every length is known when its
 * header is written. The buffer is the caller's; running out of it sets `failed`. */
#ifndef PKI_DER_H
#define PKI_DER_H

#include "base/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

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
