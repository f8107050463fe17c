#include "pki/der.h"

#include <stdio.h>
#include <string.h>

enum { DER_UTC_TIME = 0x17, DER_GENERALIZED_TIME = 0x18 };

bool der_next(struct reader *r, struct der_item *out)
{
    const uint8_t *start = r->p;
    out->tag = reader_u8(r);
    size_t length = reader_u8(r);
    if (length & 0x80) {
        size_t width = length & 0x7f;
        if (width == 0 || width > 4) r->failed = true;
        length = r->failed ? 0 : reader_number(r, width);
        /* X.690 section 10.1: the shortest form. */
        if (length < 0x80 || (width > 1 && length >> (8 * (width - 1)) == 0)) r->failed = true;
    }
    out->content = reader_bytes(r, length);
    if (r->failed || (out->tag & 0x1f) == 0x1f) return false;
    out->whole = (struct span){start, (size_t)(r->p - start)};
    return true;
}

bool der_expect(struct reader *r, uint8_t tag, struct der_item *out)
{
    return der_next(r, out) && out->tag == tag;
}

bool der_is_integer(struct span content)
{
    if (content.n < 2) return content.n == 1;
    bool high = content.p[1] & 0x80;
    return content.p[0] != (high ? 0xff : 0);
}

static bool digits(const uint8_t *p, size_t n, int *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') return false;
        *out = *out * 10 + (p[i] - '0');
    }
    return true;
}

bool der_time(const struct der_item *item, time_t *out)
{
    const uint8_t *p = item->content.p;
    size_t year_digits = item->tag == DER_GENERALIZED_TIME ? 4 : 2;
    if (item->tag != DER_UTC_TIME && item->tag != DER_GENERALIZED_TIME) return false;
    if (item->content.n != year_digits + 11 || p[item->content.n - 1] != 'Z') return false;
    int year, part[5];
    if (!digits(p, year_digits, &year)) return false;
    for (size_t i = 0; i < 5; i++)
        if (!digits(p + year_digits + 2 * i, 2, &part[i])) return false;
    if (part[0] < 1 || part[0] > 12 || part[1] < 1 || part[1] > 31 || part[2] > 23 ||
        part[3] > 59 || part[4] > 59)
        return false;
    if (year_digits == 2) year += year < 50 ? 2000 : 1900;
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = part[0] - 1,
                    .tm_mday = part[1],
                    .tm_hour = part[2],
                    .tm_min = part[3],
                    .tm_sec = part[4]};
    *out = timegm(&tm);
    return true;
}

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
    uint8_t header[6], used = 0, bytes = 1;
    header[used++] = tag;
    while (bytes < 4 && n >> (8 * bytes)) bytes++;
    if (n >= 0x80) header[used++] = (uint8_t)(0x80 | bytes);
    while (bytes-- > 0) header[used++] = (uint8_t)(n >> (8 * bytes));
    if (n > UINT32_MAX) d->failed = true;
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
    der_element(d, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME, text, n);
}
