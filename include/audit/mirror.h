/* A further sink for the records: a thread of its own with a bounded queue, so that nothing it
 * meets ever holds the log up. When the queue fills up, records of allowed connections are left
 * out first and refusals last; what was left out is counted and told in the log itself. */
#ifndef AUDIT_MIRROR_H
#define AUDIT_MIRROR_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MIRROR_QUEUE_LIMIT = 16384,
    MIRROR_QUEUE_BYTES = 32 << 20,
    MIRROR_TELL_S = 60,
    MIRROR_END_S = 2
};

struct line;
struct mirror;

/* Who is told, on the mirror's thread, that so many records were left out. */
struct mirror_report {
    void (*dropped)(void *context, const char *sink, uint64_t count);
    void *context;
};

/* name: as configured, a path or "-", or a syslog address. NULL when out of memory or threads. */
WARN_UNUSED struct mirror *mirror_new(const char *name, bool is_syslog,
                                      const struct mirror_report *report);
/* Gives what is queued a last second; nobody is told any more. */
void mirror_end(struct mirror *m);
/* Waits for that, at most MIRROR_END_S; what is left goes to the operator. */
void mirror_free(struct mirror *m);

bool mirror_is(const struct mirror *m, const char *name, bool is_syslog);
/* Never waits. The line is shared, not taken. */
void mirror_add(struct mirror *m, struct line *line);
/* Opens the file or the connection anew (rotation). */
void mirror_reopen(struct mirror *m);

#endif
