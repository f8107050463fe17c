/* Opens a TCP connection to the first of several addresses that answers (RFC 8305: the
 * families alternate, a new attempt starts every 250 ms or when one fails).
 * A dial belongs to its caller until it has answered or is cancelled; the deadline is the
 * caller's. The answer comes once, from the loop. */
#ifndef NET_DIALLER_H
#define NET_DIALLER_H

#include "base/addr.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

struct dial;

/* fd >= 0: connected, non-blocking, the receiver's; else fault is the last errno, but the first
 * that this machine itself is to blame for where there is one: an address was then not tried. The
 * dial is freed before this is called. */
typedef void dial_answer(void *arg, int fd, const struct addr *address, int fault);

WARN_UNUSED struct dial *dial_start(struct ev_loop *loop, const struct addr *addresses, size_t n,
                                    dial_answer *answer, void *arg);
void dial_cancel(struct dial *d);
/* Is this errno about what this machine lacks (descriptors, memory, a local port or address), and
 * not about the other end? */
bool dial_fault_is_own(int fault);

#endif
