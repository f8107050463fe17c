#include "runtime/counts.h"

static void add(unsigned long *total, const unsigned long *one)
{
    *total += __atomic_load_n(one, __ATOMIC_RELAXED);
}

void counts_sum(struct counts *total, const struct counts *one)
{
    add(&total->silent, &one->silent);
    add(&total->opened, &one->opened);
    for (int r = 0; r < REASON_COUNT; r++) {
        add(&total->closed[r], &one->closed[r]);
        add(&total->refused[r], &one->refused[r]);
    }
}
