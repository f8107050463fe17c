/* Which connections a process has opened and not closed, by the records that it sends: those that
 * are cut when it dies. Private to audit/. */
#ifndef AUDIT_OPENED_H
#define AUDIT_OPENED_H

#include "audit/record.h"
#include "base/reader.h"

/* Embedded in its owner; zeroed. */
struct opened {
    void *tree; /* of connection ids, as strings */
    size_t count;
    bool missed; /* there may be others: no memory, or too many */
};

enum { OPENED_LIMIT = 1000000 };

/* A line that is sound (audit/open_line.h). */
void opened_note(struct opened *o, enum audit_action action, struct span line);
/* Calls `each` with every id. */
void opened_each(const struct opened *o, void (*each)(void *arg, const char *id), void *arg);
void opened_fini(struct opened *o);

#endif
