/* Names to addresses for commands that may wait. The proxy uses net/resolver.h itself. */
#ifndef NET_LOOKUP_H
#define NET_LOOKUP_H

#include "net/resolver.h"

/* Waits until the deadline (steady nanoseconds) at most, then LOOKUP_FAILED. An IP address in text
 * form needs no lookup. */
WARN_UNUSED enum lookup_status lookup_wait(const char *host, uint16_t port, int64_t deadline,
                                           struct addr out[LOOKUP_LIMIT], size_t *n);

#endif
