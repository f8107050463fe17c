/* One blocking TCP connection with a deadline on every step: for commands that query a server, not
 * for the proxy. A channel belongs to one thread; channel_close() ends it. Knows nothing of what
 * the bytes mean. */
#ifndef NET_CHANNEL_H
#define NET_CHANNEL_H

#include "base/addr.h"

#include <stddef.h>

struct channel {
    int fd; /* -1: not open */
};

enum channel_status {
    CHANNEL_OK,
    CHANNEL_TIMEOUT,
    CHANNEL_END,   /* the peer has ended its side */
    CHANNEL_RESET, /* the connection is gone */
};

/* Deadlines are steady nanoseconds (clock_steady_ns). 0, or an errno: ETIMEDOUT when the
 * deadline passed. */
WARN_UNUSED int channel_open(struct channel *c, const struct addr *address, int64_t deadline);
WARN_UNUSED enum channel_status channel_send(struct channel *c, const void *p, size_t n,
                                             int64_t deadline);
/* Returns the bytes that are there: *got > 0 on CHANNEL_OK. */
WARN_UNUSED enum channel_status channel_receive(struct channel *c, void *p, size_t room,
                                                size_t *got, int64_t deadline);
void channel_close(struct channel *c);

#endif
