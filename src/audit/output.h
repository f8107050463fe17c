/* What the writer's thread does with records: chains them, notices fallbacks, signs
 * checkpoints, writes, and answers who waits. One thread's own. Private to audit/. */
#ifndef AUDIT_OUTPUT_H
#define AUDIT_OUTPUT_H

#include "line.h"

#include "audit/fallback.h"
#include "audit/logfile.h"
#include "audit/mirror.h"
#include "audit/writer.h"

#include <pthread.h>

/* A record on its way into the file. */
struct item {
    struct item *next;
    struct line *line;
    struct audit_offer *offer;
    struct writer_reply reply; /* answer NULL: nobody waits */
};

struct list {
    struct item *head, **tail;
};

void list_clear(struct list *l);
void list_add(struct list *l, struct item *i);
struct item *list_take_first(struct list *l);

/* Takes the text. NULL when out of memory. */
WARN_UNUSED struct item *item_new(enum audit_action action, struct text *text,
                                  const struct audit_offer *offer,
                                  const struct writer_reply *reply);
void item_free(struct item *i);

/* What both threads count. */
struct counters {
    atomic_bool failing;  /* the file cannot be written */
    atomic_size_t queued; /* records that are not yet in the file */
    atomic_size_t lost;   /* for want of memory */
};

void counters_add_lost(struct counters *c);

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
    struct list pending;
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
void output_take(struct output *o, struct item *items);
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
