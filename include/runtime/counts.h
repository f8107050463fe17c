/* Counts connections by their result, for display. Each worker writes only its own counts; any
 * thread may read them. */
#ifndef RUNTIME_COUNTS_H
#define RUNTIME_COUNTS_H

#include "policy/reasons.h"

struct counts {
    unsigned long silent;                /* ended before their first byte */
    unsigned long opened;                /* allowed */
    unsigned long closed[REASON_COUNT];  /* of the allowed ones, by code */
    unsigned long refused[REASON_COUNT]; /* by code */
};

/* Adds one to a worker's own count. */
static inline void counts_add_one(unsigned long *count)
{
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
}

/* Adds `one` to `total`. */
void counts_sum(struct counts *total, const struct counts *one);

#endif
