/* Counts what connections do and how they end, for display. Each worker writes only its own counts;
 * any thread may read them. */
#ifndef RUNTIME_COUNTS_H
#define RUNTIME_COUNTS_H

#include "base/histogram.h"
#include "net/resolver.h"
#include "policy/policy.h"
#include "policy/reasons.h"

enum { COUNTS_CLIENT, COUNTS_UPSTREAM, COUNTS_LEGS };

/* Only numbers of one type. */
struct counts {
    unsigned long silent;                /* ended before their first byte */
    unsigned long opened;                /* allowed */
    unsigned long closed[REASON_COUNT];  /* of the allowed ones, by code */
    unsigned long refused[REASON_COUNT]; /* by code */
    unsigned long outlook[REASON_COUNT]; /* observed: what enforcing would have done */
    /* Those that succeeded: by leg, suite, group (0: none was negotiated; else its place and one),
     * and resumed or not. */
    unsigned long handshakes[COUNTS_LEGS][SUITE_COUNT][1 + GROUP_COUNT][2];
    struct histogram handshake_time[COUNTS_LEGS];
    unsigned long bytes[COUNTS_LEGS]; /* payload from this leg, of connections that have ended */
    unsigned long leaf_hits, mints;   /* certificates for clients: there, and ordered */
    unsigned long lookups[LOOKUP_STATUSES]; /* of names, by result */
};

/* Adds to a worker's own count. */
static inline void counts_add(unsigned long *count, unsigned long n)
{
    __atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}
static inline void counts_add_one(unsigned long *count)
{
    counts_add(count, 1);
}

/* Adds `one` to `total`. */
void counts_sum(struct counts *total, const struct counts *one);

#endif
