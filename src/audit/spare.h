/* Memory for records while there is no other: a ring of blocks that are given back in the order in
 * which they were taken. It belongs to its owner's thread. The pages are the process's own only
 * while they are used. Private to audit/: recorder.c. */
#ifndef AUDIT_SPARE_H
#define AUDIT_SPARE_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

struct spare {
    char *memory;
    size_t start, end; /* of what is taken; start == end: nothing is */
    size_t limit;      /* where it goes on at 0: the end of its upper part */
};

/* False when out of memory. */
WARN_UNUSED bool spare_init(struct spare *s);
void spare_fini(struct spare *s);
/* Aligned for any struct; NULL: it does not fit now. */
void *spare_take(struct spare *s, size_t n);
bool spare_owns(const struct spare *s, const void *p);
/* The oldest block. */
void spare_give_back(struct spare *s, void *p);
bool spare_is_empty(const struct spare *s);

/* Where a record is rendered: as large as one that is shortened needs. Used from call to call. */
enum { SPARE_SCRATCH = 512 << 10 };
char *spare_scratch(const struct spare *s);
/* Its pages are not used any more. */
void spare_scratch_over(const struct spare *s);

#endif
