#include "base/histogram.h"

const int64_t histogram_class_ns[HISTOGRAM_CLASSES] = {
    500000,   1000000,   2500000,   5000000,   10000000,   25000000,
    50000000, 100000000, 250000000, 500000000, 1000000000, 5000000000,
};

static void add(unsigned long *count, unsigned long n)
{
    __atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

void histogram_add(struct histogram *h, int64_t ns)
{
    size_t i = 0;
    while (i < HISTOGRAM_CLASSES && ns > histogram_class_ns[i]) i++;
    add(&h->classes[i], 1);
    add(&h->sum_ns, (unsigned long)ns);
}
