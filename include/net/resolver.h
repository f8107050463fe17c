/* Names to addresses with c-ares on a libev loop: nothing blocks.
 * One resolver a loop and thread. A lookup is owned by the resolver; its answer comes once,
 * from the loop (never from within resolver_start()), unless it is cancelled before.
 * Addresses are kept for the TTL that their name server gave them, for a minute at most;
 * failures, and what has no TTL such as /etc/hosts, are not kept. A resolv.conf that has changed
 * is read again at the next lookup, and while one waits, but looked at once a second at most. */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include "base/addr.h"

#include <ev.h>
#include <stddef.h>

enum { LOOKUP_LIMIT = 16 };

enum lookup_status {
    LOOKUP_FOUND,
    LOOKUP_NOT_FOUND,
    LOOKUP_FAILED,     /* a name server fails for this name, or answers other lookups meanwhile */
    LOOKUP_UNANSWERED, /* no name server answered anything: this machine's are dead or missing */
    LOOKUP_NO_MEMORY,
};

struct resolver;
struct lookup;

/* At most LOOKUP_LIMIT addresses, in the order of RFC 6724. */
typedef void lookup_answer(void *arg, enum lookup_status status, const struct addr *addresses,
                           size_t n);

/* The loop may belong to a thread that runs later; nothing is started on it yet. */
WARN_UNUSED struct resolver *resolver_new(struct ev_loop *loop);
/* Ends every lookup without an answer. */
void resolver_free(struct resolver *r);

WARN_UNUSED struct lookup *resolver_start(struct resolver *r, const char *host, uint16_t port,
                                          lookup_answer *answer, void *arg);
/* What a lookup is that has not been answered until now: LOOKUP_FAILED or LOOKUP_UNANSWERED. */
enum lookup_status lookup_overdue(const struct lookup *l);
void lookup_cancel(struct lookup *l);

#endif
