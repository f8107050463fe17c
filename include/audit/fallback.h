/* Remembers failed attempts for some seconds, to recognise a client that may be retrying with a
 * weaker offer. One address can be many clients, so it is only a suspicion: it needs a later hello
 * that is the earlier one with parts left out. Bounded: a full place forgets its oldest attempt
 * first, and no source can push out the attempts of others. One thread. */
#ifndef AUDIT_FALLBACK_H
#define AUDIT_FALLBACK_H

#include "audit/record.h"

enum { FALLBACK_WINDOW_S = 15 };

struct fallback_memory;

WARN_UNUSED struct fallback_memory *fallback_memory_new(void);
void fallback_memory_free(struct fallback_memory *m);

/* Fills in what identifies the hello's program: versions, lists, ALPN. */
void fallback_describe(const struct hello *h, suite_set approved, struct audit_offer *out);

/* Records an attempt at steady time now_ns. True when it is a strict reduction of the last failed
 * attempt in the last FALLBACK_WINDOW_S seconds from the same address, on the same listener, to the
 * same target; *before is that attempt. A strict reduction has
 *   - a lower highest version, and each list a part of the earlier one, in its order; or
 *   - the same highest version and fewer of the policy's suites, all else unchanged.
 * The ALPN names stay the same. A different program has other lists or another order. */
bool fallback_notice(struct fallback_memory *m, const struct audit_offer *now, int64_t now_ns,
                     struct audit_offer *before);

#endif
