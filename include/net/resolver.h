/* Names to addresses with c-ares on a libev loop: nothing blocks.
 * One resolver per loop and thread. The resolver owns its lookups; each calls back once, from the
 * loop (never inside resolver_start()), unless it is cancelled first. Addresses are kept for their
 * TTL, at most a minute; failures, and answers without a TTL such as /etc/hosts, are not kept. A
 * changed resolv.conf or hosts file (net/names.h) counts at the next lookup, and while one waits.
 */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include "base/addr.h"

#include <ev.h>
#include <stddef.h>

enum { LOOKUP_LIMIT = 16 };

enum lookup_status {
    LOOKUP_FOUND,
    LOOKUP_NOT_FOUND,
    LOOKUP_FAILED,     /* a name server fails for this name, or answers only other lookups */
    LOOKUP_UNANSWERED, /* no name server answered at all: they are down or not configured */
    LOOKUP_NO_MEMORY,
};
enum { LOOKUP_STATUSES = LOOKUP_NO_MEMORY + 1 };

struct resolver;
struct lookup;

/* At most LOOKUP_LIMIT addresses, in the order of RFC 6724; those of a hosts file in that file's.
 */
typedef void lookup_answer(void *arg, enum lookup_status status, const struct addr *addresses,
                           size_t n);

/* servers: "IP:port,[IP]:port" are asked instead of the system's name servers and /etc/hosts; "":
 * as the system does. The loop may belong to a thread that runs later; nothing is started on it
 * yet. NULL when out of memory. */
WARN_UNUSED struct resolver *resolver_new(struct ev_loop *loop, const char *servers);
/* Ends every lookup without calling back. */
void resolver_free(struct resolver *r);

WARN_UNUSED struct lookup *resolver_start(struct resolver *r, const char *host, uint16_t port,
                                          lookup_answer *answer, void *arg);
/* The status of a lookup without an answer so far: LOOKUP_FAILED or LOOKUP_UNANSWERED; if memory
 * was short since it began, LOOKUP_NO_MEMORY. */
enum lookup_status lookup_overdue(const struct lookup *l);
void lookup_cancel(struct lookup *l);

#endif
