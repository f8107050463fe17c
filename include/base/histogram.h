/* Durations by class, for display. One thread writes it; any may read it. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_CLASSES = 12 };
/* Their upper ends in nanoseconds; one more class has what is longer. */
extern const int64_t histogram_class_ns[HISTOGRAM_CLASSES];

/* Only numbers of one type. */
struct histogram {
    unsigned long classes[HISTOGRAM_CLASSES + 1], sum_ns;
};

void histogram_add(struct histogram *h, int64_t ns);

#endif
