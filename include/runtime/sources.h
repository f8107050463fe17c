/* How many connections each source has and how fast it makes new ones, over all workers.
 * A source is an IPv4 address (an IPv4-mapped one counts as that) or an IPv6 /64. One lock, taken
 * when a connection begins, ends or needs a new certificate, never for its bytes. Memory is
 * bounded: a source is forgotten when it has no connection and its rate says nothing any more,
 * and of sources without a connection SOURCES_IDLE_LIMIT are remembered.
 * Knows nothing of connections but their number, and refuses nobody itself. */
#ifndef RUNTIME_SOURCES_H
#define RUNTIME_SOURCES_H

#include "config/config.h"
#include "runtime/crowd.h"

enum {
    SOURCES_IDLE_LIMIT = 16384,
    SOURCES_BURST_S = 5,    /* rates are averaged over so long */
    SOURCES_MINT_SHARE = 4, /* one new certificate for so many new connections */
};

enum source_verdict { SOURCE_OK, SOURCE_TOO_MANY, SOURCE_TOO_FAST };

struct sources;
struct source;

/* NULL when out of memory or without randomness. */
WARN_UNUSED struct sources *sources_new(unsigned workers);
/* Every connection has left. */
void sources_free(struct sources *s);

/* One more connection, at that steady time. It counts until sources_leave(), whatever the verdict
 * is; only one within the limits counts for the rate. NULL when out of memory. */
WARN_UNUSED struct source *sources_enter(struct sources *s, const struct addr *peer,
                                         const struct source_limits *limits, int64_t now_ns,
                                         enum source_verdict *verdict);
/* Nothing happens for NULL. */
void sources_leave(struct sources *s, struct source *source);

/* How many connections it has now. */
unsigned sources_connections(struct sources *s, const struct source *source);
/* May a new certificate be made for it now? Counts it then. False also when out of memory. */
WARN_UNUSED bool sources_may_mint(struct sources *s, const struct addr *peer,
                                  const struct source_limits *limits, int64_t now_ns);

/* Where the source keeps its queue in one of a worker's crowds; that worker's alone. */
enum source_crowd { SOURCE_SILENT, SOURCE_HALF_OPEN, SOURCE_CROWDS };
struct queue **source_queue(struct source *source, unsigned worker, enum source_crowd crowd);

#endif
