/* What the writer's thread does with records: chains them, notices fallbacks, signs
 * checkpoints, writes, and answers who waits. One thread's own. Private to audit/. */
#ifndef AUDIT_OUTPUT_H
#define AUDIT_OUTPUT_H

#include "queued.h"

#include "audit/fallback.h"
#include "audit/logfile.h"
#include "audit/mirror.h"
#include "audit/writer.h"

#include <pthread.h>

/* The further sinks; changed by the controlling thread, under lock. */
struct mirrors {
    pthread_mutex_t lock;
    struct mirror **items;
    size_t n;
};

struct output {
    struct counters *counters;
    struct mirrors *mirrors;
    char profile[16], digest[65];
    struct audit_policy policy; /* those two */
    enum audit_sync sync;
    struct logfile *log;
    struct chain sealed; /* the last line of pending */
    struct record_queue pending;
    size_t in_file; /* bytes of pending that are in the file and not yet accounted for */
    size_t unsigned_records;
    bool opening;        /* a log that goes on, whose end is not signed by this process yet */
    bool rewrite;        /* what is in the file may not be on the disk */
    uint64_t synced;     /* the last record that is known to be on the disk */
    int sync_fault;      /* errno of the last attempt at that; 0: none */
    const char *trigger; /* of the next checkpoint; NULL: when it is due */
    int64_t checkpoint_ns, sync_ns; /* when; 0: nothing to do */
    size_t lost_told;
    struct fallback_memory *memory;
};

/* What to go over to. */
struct change {
    struct logfile *log; /* another log, or NULL */
    int fd;              /* the same one opened anew, or -1 */
    enum audit_sync sync;
};

void output_set_policy(struct output *o, const struct audit_policy *policy);
/* Takes the log. */
void output_begin(struct output *o, struct logfile *log);
/* Takes the items, a list by their next. */
void output_take(struct output *o, struct queued *items);
void output_change(struct output *o, struct change change);
/* One attempt at all there is to do. False when something is left, and *counters say so. */
bool output_work(struct output *o);
/* The last word in this file. */
void output_conclude(struct output *o, const char *trigger);
/* The next moment when there is something to do without a record; 0: never. */
int64_t output_due(const struct output *o);
/* Frees what it holds; returns how many records were left. */
size_t output_fini(struct output *o);

#endif
