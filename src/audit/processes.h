/* The processes that send records, and what each has under way: for the record of its end. Private
 * to audit/. */
#ifndef AUDIT_PROCESSES_H
#define AUDIT_PROCESSES_H

#include "opened.h"

#include "audit/receipt.h"
#include "audit/writer.h"
#include "base/attr.h"

struct process {
    struct process *next;
    char name[RECEIPT_SENDER]; /* of its records, without the channel */
    unsigned channels;         /* sockets that are open */
    struct opened opened;
    char *how; /* it has ended, a sentence; NULL: it has not */
};

/* The process with this channel, which has a socket now. known: the clerk has written records of
 * it that this clerk did not see. NULL when out of memory. */
WARN_UNUSED struct process *processes_join(struct process **all, const char *sender, bool known);
/* One has ended; sender: a channel of it. how: a sentence; empty: it was told to. False when out of
 * memory. */
WARN_UNUSED bool processes_end(struct process **all, const char *sender, const char *how);
/* Those that have ended and of which nothing more comes: writes their records, and frees them. */
void processes_report(struct process **all, struct writer *w);
void processes_free(struct process **all);

#endif
