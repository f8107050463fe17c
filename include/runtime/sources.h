/* Counts each source's connections and their rate, over all workers. A source is an IPv4 address
 * (also an IPv4-mapped one) or an IPv6 /64. One lock, taken when a connection begins, ends or needs
 * a new certificate, never for its bytes. Memory is bounded: a source without connections is
 * forgotten when its rate has recovered, and at most SOURCES_IDLE_LIMIT of those are kept. Knows
 * nothing of connections but their number, and refuses nothing itself. */
#ifndef RUNTIME_SOURCES_H
#define RUNTIME_SOURCES_H

#include "config/config.h"
#include "runtime/crowd.h"

enum {
    SOURCES_IDLE_LIMIT = 16384,
    SOURCES_BURST_S = 5,    /* rates are averaged over this time */
    SOURCES_MINT_SHARE = 4, /* new connections per new certificate */
};

enum source_verdict { SOURCE_OK, SOURCE_TOO_MANY, SOURCE_TOO_FAST };

struct sources;
struct source;

/* NULL when out of memory or without randomness. */
WARN_UNUSED struct sources *sources_new(unsigned workers);
/* After every connection has left. */
void sources_free(struct sources *s);

/* Adds a connection at steady time now_ns. It counts until sources_leave(), whatever the verdict;
 * only one within the limits counts for the rate. NULL when out of memory. */
WARN_UNUSED struct source *sources_enter(struct sources *s, const struct addr *peer,
                                         const struct source_limits *limits, int64_t now_ns,
                                         enum source_verdict *verdict);
/* No effect for NULL. */
void sources_leave(struct sources *s, struct source *source);

/* How many connections it has now. */
unsigned sources_connections(struct sources *s, const struct source *source);
/* May a new certificate be made for it now? If so, counts it. False also when out of memory. */
WARN_UNUSED bool sources_may_mint(struct sources *s, const struct addr *peer,
                                  const struct source_limits *limits, int64_t now_ns);

/* Where the source keeps its queue in one of a worker's crowds; for that worker only. */
enum source_crowd { SOURCE_SILENT, SOURCE_HALF_OPEN, SOURCE_CROWDS };
struct queue **source_queue(struct source *source, unsigned worker, enum source_crowd crowd);

#endif
