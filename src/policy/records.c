#include "policy/records.h"

#include <string.h>

static struct span take(struct span *in, size_t most)
{
    struct span s = {in->p, in->n < most ? in->n : most};
    in->p += s.n;
    in->n -= s.n;
    return s;
}

enum records_part records_next(struct records *r, struct span *in, struct span *fragment)
{
    if (in->n == 0) return RECORDS_MORE;
    if (r->left > 0) {
        *fragment = take(in, r->left);
        r->left -= fragment->n;
        return RECORDS_FRAGMENT;
    }
    if (r->header_size == RECORD_HEADER) r->header_size = 0;
    struct span s = take(in, (size_t)(RECORD_HEADER - r->header_size));
    memcpy(r->header + r->header_size, s.p, s.n);
    r->header_size = (uint8_t)(r->header_size + s.n);
    if (r->header_size < RECORD_HEADER) return RECORDS_MORE;
    r->left = record_length(r->header);
    return RECORDS_HEADER;
}

void record_write_alert(int description, uint8_t out[ALERT_RECORD_SIZE])
{
    const uint8_t record[ALERT_RECORD_SIZE] = {
        RECORD_ALERT, TLS_1_2 >> 8,      TLS_1_2 & 0xff,      0,
        ALERT_SIZE,   ALERT_LEVEL_FATAL, (uint8_t)description};
    memcpy(out, record, sizeof record);
}
