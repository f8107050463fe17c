/* What the writer does with records: chains them, signs checkpoints, writes, and calls back waiting
 * callers. Private to audit/. */
#ifndef AUDIT_OUTPUT_H
#define AUDIT_OUTPUT_H

#include "queued.h"

#include "audit/key_change.h"
#include "audit/logfile.h"
#include "audit/mirror.h"
#include "audit/receipt.h"
#include "audit/writer.h"

/* The further sinks. */
struct mirrors {
    struct mirror **items;
    size_t n;
};

struct output {
    struct counters *counters;
    struct mirrors *mirrors;
    struct audit_origin origin; /* of its own records */
    enum audit_sync sync;
    struct logfile *log;
    struct chain sealed; /* the last line of pending */
    struct record_queue pending;
    size_t in_file; /* bytes of pending that are in the file, but not yet handled by account() */
    size_t unsigned_records;
    size_t unsigned_taken; /* but for those of the log itself */
    struct key_change key_change;
    bool stopped;                   /* the last record says that a keeper has stopped */
    bool opening;                   /* an existing log, whose end this process has not signed yet */
    bool rewrite;                   /* what is in the file may not be on the disk */
    uint64_t synced;                /* the last record known to be on the disk */
    int sync_fault;                 /* errno of the last sync; 0: none */
    const char *trigger;            /* of the next checkpoint; NULL: none requested */
    int64_t checkpoint_ns, sync_ns; /* when they are due; 0: never */
    size_t lost_reported;
    char lost_by[RECEIPT_SENDER]; /* the sender that had no memory last; empty: the clerk itself */
    void (*batch_done)(void *context, bool all); /* more batches follow */
    void *context;
    struct receipt own; /* the last one of the writer's own records */
};

/* What to switch to. */
struct change {
    struct logfile *log; /* another log, or NULL */
    int fd;              /* the same one opened again, or -1 */
    enum audit_sync sync;
};

/* A record of the writer's own, not counted as queued yet. NULL when out of memory. */
WARN_UNUSED struct queued *output_own_record(struct output *o, enum audit_action action,
                                             const char *detail, const struct audit_cut *cut);
/* Takes the log. */
void output_begin(struct output *o, struct logfile *log);
/* Takes the items, a linked list. */
void output_take(struct output *o, struct queued *items);
void output_change(struct output *o, struct change change);
/* One attempt at all pending work. False when something is left; *counters show it too. */
bool output_work(struct output *o);
/* Writes the last records of this file, ending with a checkpoint. */
void output_conclude(struct output *o, const char *trigger);
/* The next time at which there is work without a new record; 0: never. */
int64_t output_due(const struct output *o);
/* Frees what it holds; returns how many records were left. */
size_t output_fini(struct output *o);

#endif
