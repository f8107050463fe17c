/* Limits the open connections to one address, for all hosts and threads. One limiter per run,
 * shared by all threads. */
#ifndef CHECK_LIMITER_H
#define CHECK_LIMITER_H

#include "base/addr.h"

enum { LIMITER_CONNECTIONS = 4 };

struct limiter;

WARN_UNUSED struct limiter *limiter_new(void);
void limiter_free(struct limiter *l);
/* Waits for a place, until the deadline (steady nanoseconds). True: call limiter_leave() later. */
WARN_UNUSED bool limiter_enter(struct limiter *l, const struct addr *address, int64_t deadline);
void limiter_leave(struct limiter *l, const struct addr *address);

#endif
