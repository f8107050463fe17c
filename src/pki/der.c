#include "pki/der.h"

#include <stdio.h>
#include <string.h>

struct der der_of(uint8_t *buffer, size_t size)
{
    return (struct der){.buffer = buffer, .at = size, .size = size};
}

struct span der_result(const struct der *d)
{
    return (struct span){d->buffer + d->at, d->failed ? 0 : d->size - d->at};
}

void der_bytes(struct der *d, const void *p, size_t n)
{
    if (d->failed || n > d->at) {
        d->failed = true;
        return;
    }
    d->at -= n;
    if (n) memcpy(d->buffer + d->at, p, n);
}

void der_wrap(struct der *d, uint8_t tag, size_t end)
{
    size_t n = end - d->at;
    uint8_t header[6], used = 0;
    header[used++] = tag;
    if (n < 0x80) {
        header[used++] = (uint8_t)n;
    } else if (n < 0x100) {
        header[used++] = 0x81;
        header[used++] = (uint8_t)n;
    } else {
        header[used++] = 0x82;
        header[used++] = (uint8_t)(n >> 8);
        header[used++] = (uint8_t)n;
    }
    if (n > 0xffff) d->failed = true;
    der_bytes(d, header, used);
}

void der_element(struct der *d, uint8_t tag, const void *p, size_t n)
{
    size_t end = d->at;
    der_bytes(d, p, n);
    der_wrap(d, tag, end);
}

void der_put_time(struct der *d, time_t t)
{
    struct tm tm;
    char text[32];
    if (!gmtime_r(&t, &tm)) {
        d->failed = true;
        return;
    }
    bool utc = tm.tm_year < 150;
    size_t n = strftime(text, sizeof text, utc ? "%y%m%d%H%M%SZ" : "%Y%m%d%H%M%SZ", &tm);
    der_element(d, utc ? 0x17 : 0x18, text, n);
}
