/* One peer's queued bytes, in both directions. The owner moves them over the network (a leg, a
 * check's exchange); a TLS session borrows it. Knows no socket and no TLS. */
#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include "base/buf.h"

#include <stdbool.h>

struct stream {
    struct buf in;    /* from the network, not yet consumed */
    struct buf out;   /* for the network */
    bool end_of_data; /* no more bytes will come */
};

static inline void stream_fini(struct stream *s)
{
    buf_fini(&s->in);
    buf_fini(&s->out);
}

#endif
