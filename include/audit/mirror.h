/* A further sink for the records: a thread of its own with a bounded queue, so that it never delays
 * the log. A filling queue drops records of allowed connections first and refusals last; the log
 * itself records how many. */
#ifndef AUDIT_MIRROR_H
#define AUDIT_MIRROR_H

#include "audit/log_state.h"
#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MIRROR_QUEUE_LIMIT = 16384,
    MIRROR_QUEUE_BYTES = 32 << 20,
    MIRROR_REPORT_S = 60,
    MIRROR_END_S = 2
};

struct line;
struct mirror;

/* Called with the number of dropped records, on the mirror's thread or by mirror_free(). */
struct mirror_report {
    void (*dropped)(void *context, const char *sink, uint64_t count);
    void *context;
};

/* name: as configured, a path or "-", or a syslog address. NULL when out of memory or threads. */
WARN_UNUSED struct mirror *mirror_new(const char *name, bool is_syslog,
                                      const struct mirror_report *report);
/* Allows one more second for what is queued. */
void mirror_end(struct mirror *m);
/* Waits for that, at most MIRROR_END_S; reports the rest. */
void mirror_free(struct mirror *m);

bool mirror_is(const struct mirror *m, const char *name, bool is_syslog);
/* Never waits. Holds its own reference to the line. */
void mirror_add(struct mirror *m, struct line *line);
void mirror_describe(struct mirror *m, struct log_sink *out);
/* Opens the file or the connection again (rotation). */
void mirror_reopen(struct mirror *m);

#endif
