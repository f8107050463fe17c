#include "runtime/counts.h"

_Static_assert(sizeof(struct counts) % sizeof(unsigned long) == 0, "only numbers of one type");

void counts_sum(struct counts *total, const struct counts *one)
{
    unsigned long *to = (unsigned long *)total;
    const unsigned long *from = (const unsigned long *)one;
    for (size_t i = 0; i < sizeof *one / sizeof *from; i++)
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
