/* What has become of connections, by code: for whoever shows it. Each worker has its own and is the
 * only one to write it; any thread may read it. */
#ifndef RUNTIME_COUNTS_H
#define RUNTIME_COUNTS_H

#include "policy/reasons.h"

struct counts {
    unsigned long silent;                /* ended before their first byte */
    unsigned long opened;                /* allowed */
    unsigned long closed[REASON_COUNT];  /* of the allowed ones, by code */
    unsigned long refused[REASON_COUNT]; /* by code */
};

/* One more, of a worker's own counts. */
static inline void counts_add_one(unsigned long *count)
{
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
}

/* Adds what it reads. */
void counts_sum(struct counts *total, const struct counts *one);

#endif
