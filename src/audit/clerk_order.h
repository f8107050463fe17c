/* The first field of each order to the clerk, and what follows. Private to audit/: clerk.c,
 * clerk_orders.c. */
#ifndef AUDIT_CLERK_ORDER_H
#define AUDIT_CLERK_ORDER_H

#include "base/post.h"
#include "config/config.h"

/* instance, profile, digest (all empty: unchanged), sync, file, key (empty: none), then COPY and
 * SYSLOG with a name each. */
#define ORDER_OPEN "open"
#define ORDER_COPY "copy"
#define ORDER_SYSLOG "syslog"
/* What follows the first three. False when it is not of that form, or out of memory; to be freed
 * all the same. */
WARN_UNUSED bool clerk_order_read_config(const struct text *order, size_t at,
                                         struct audit_config *config);
void clerk_order_free_config(struct audit_config *config);
/* role, name; with the socket. */
#define ORDER_SENDER "sender"
/* name of a channel, how its process ended (audit/clerk.h). */
#define ORDER_ENDED "ended"
/* Nothing: does it live? Or "state": its answer then has a second field (audit/log_state.h). */
#define ORDER_PING "ping"
/* Nothing; with the post of a former keeper, which may give the three orders before this one. */
#define ORDER_KEEPER "keeper"
/* Nothing. Answered with the number of records that are lost, when all senders have closed. */
#define ORDER_END "end"
/* Likewise at once: senders that are connected go to another clerk. */
#define ORDER_LEAVE "leave"

#endif
