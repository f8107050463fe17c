/* Opens a TCP connection to the first of several addresses that answers (RFC 8305: the families
 * alternate, a new attempt starts every 250 ms or when one fails). A dial belongs to its caller
 * until it calls back or is cancelled; the caller sets the deadline. The loop calls back once. */
#ifndef NET_DIALLER_H
#define NET_DIALLER_H

#include "base/addr.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

struct dial;

/* fd >= 0: connected, non-blocking, owned by the receiver. Else fault is the last errno, or the
 * first one that is this machine's own fault: an address was then not tried. The dial is already
 * freed. */
typedef void dial_answer(void *arg, int fd, const struct addr *address, int fault);

/* source: the local address to dial from, of the addresses' family; of length 0: any. */
WARN_UNUSED struct dial *dial_start(struct ev_loop *loop, const struct addr *addresses, size_t n,
                                    const struct addr *source, dial_answer *answer, void *arg);
void dial_cancel(struct dial *d);
/* Does this errno mean that this machine lacks something (descriptors, memory, a local port or
 * address), not that the other end failed? */
bool dial_fault_is_own(int fault);

#endif
