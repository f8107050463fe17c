/* Remembers failed attempts for some seconds, to recognise what may be a client that comes back
 * offering less. One address can be many clients, so it is a suspicion and never more: it is raised
 * only where the later hello is the earlier one with things left out. Bounded: the oldest attempt
 * of a crowded place is forgotten first, and no source can push out what others have tried. One
 * thread. */
#ifndef AUDIT_FALLBACK_H
#define AUDIT_FALLBACK_H

#include "audit/record.h"

enum { FALLBACK_WINDOW_S = 15 };

struct fallback_memory;

WARN_UNUSED struct fallback_memory *fallback_memory_new(void);
void fallback_memory_free(struct fallback_memory *m);

/* Fills in what the hello says of the program that sent it: versions, lists, ALPN. */
void fallback_describe(const struct hello *h, suite_set approved, struct audit_offer *out);

/* Takes note of an attempt at steady time now_ns. True when it is a strict reduction of the last
 * failed one of the last FALLBACK_WINDOW_S seconds from the same address, on the same listener, to
 * the same target; *before is that one. A strict reduction has
 *   - a lower highest version, and each list a part of the earlier one in its order; or
 *   - the same highest version and fewer of the policy's suites, all else being as it was.
 * The ALPN names stay the same. Another program's lists differ in content or order. */
bool fallback_notice(struct fallback_memory *m, const struct audit_offer *now, int64_t now_ns,
                     struct audit_offer *before);

#endif
