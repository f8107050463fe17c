/* Remembers failed attempts for a minute, to recognise a client that comes back offering
 * less. Bounded: the oldest attempt of a crowded place is forgotten first, and no source can
 * push out what others have tried. One thread. */
#ifndef AUDIT_FALLBACK_H
#define AUDIT_FALLBACK_H

#include "audit/record.h"

struct fallback_memory;

WARN_UNUSED struct fallback_memory *fallback_memory_new(void);
void fallback_memory_free(struct fallback_memory *m);

/* Takes note of an attempt at steady time now_ns. True when it offers less (a lower highest
 * version or fewer approved suites) than a failed one of the last 60 seconds from the same
 * address for the same identity; *before is that one. */
bool fallback_notice(struct fallback_memory *m, const struct audit_offer *now, int64_t now_ns,
                     struct audit_offer *before);

#endif
