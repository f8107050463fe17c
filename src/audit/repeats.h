/* Which refusals get a record of their own, and which are only counted: beyond REPEATS_BURST at
 * once and REPEATS_PER_SECOND from then on, those of one source, listener and code are counted, and
 * the count becomes one record after REPEATS_SUMMARY_S at the latest. Bounded, and no refusal is
 * ever left out: what has no place here gets its own record. Under the writer's lock. Private to
 * audit/. */
#ifndef AUDIT_REPEATS_H
#define AUDIT_REPEATS_H

#include "audit/record.h"

enum { REPEATS_BURST = 250, REPEATS_PER_SECOND = 10, REPEATS_SUMMARY_S = 5 };

struct repeats;

WARN_UNUSED struct repeats *repeats_new(void);
void repeats_free(struct repeats *r);

/* True: this refusal is counted. False: it needs a record of its own. destination is "" where it
 * is not known; refusal names none. *displaced is a count that had to make way and has to be
 * recorded now; its count is 0 when there is none. */
WARN_UNUSED bool repeats_count(struct repeats *r, const struct audit_repeated *refusal,
                               const char *destination, int64_t now_ns,
                               struct audit_repeated *displaced);
/* Takes out one count that is due at now_ns. False when there is no other. */
WARN_UNUSED bool repeats_take(struct repeats *r, int64_t now_ns, struct audit_repeated *out);
/* When the next count is due; 0: none. */
int64_t repeats_due(const struct repeats *r);

#endif
