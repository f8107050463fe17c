/* Decides which refusals get their own record and which are only counted. Refusals of one source,
 * listener and code are counted beyond a burst of REPEATS_BURST and a rate of REPEATS_PER_SECOND;
 * the count becomes one record after at most REPEATS_SUMMARY_S. Bounded, and no refusal is lost:
 * one without a place here gets its own record. Under the writer's lock. Private to audit/. */
#ifndef AUDIT_REPEATS_H
#define AUDIT_REPEATS_H

#include "audit/record.h"

enum { REPEATS_BURST = 250, REPEATS_PER_SECOND = 10, REPEATS_SUMMARY_S = 5 };

struct repeats;

WARN_UNUSED struct repeats *repeats_new(void);
void repeats_free(struct repeats *r);

/* True: this refusal is counted. False: it needs a record of its own. destination: "" if unknown;
 * refusal has none. *displaced: a count that was pushed out and must be recorded now; its count is
 * 0 if there is none. */
WARN_UNUSED bool repeats_count(struct repeats *r, const struct audit_repeated *refusal,
                               const char *destination, int64_t now_ns,
                               struct audit_repeated *displaced);
/* Removes one count that is due at now_ns. False when there is none. */
WARN_UNUSED bool repeats_take(struct repeats *r, int64_t now_ns, struct audit_repeated *out);
/* When the next count is due; 0: none. */
int64_t repeats_due(const struct repeats *r);

#endif
