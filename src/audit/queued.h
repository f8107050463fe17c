/* Records in a queue, with their waiting callers. Private to audit/. */
#ifndef AUDIT_QUEUED_H
#define AUDIT_QUEUED_H

#include "line.h"

#include "audit/writer.h"

/* A record on its way into the file. */
struct queued {
    struct queued *next;
    struct line *line;
    struct writer_reply reply; /* answer NULL: no caller waits */
    bool told;                 /* that it cannot be written now */
};

struct record_queue {
    struct queued *head, **tail;
};

void record_queue_clear(struct record_queue *l);
void record_queue_add(struct record_queue *l, struct queued *i);
struct queued *record_queue_take_first(struct record_queue *l);

/* Takes the text. NULL when out of memory. */
WARN_UNUSED struct queued *queued_new(struct audit_stamp stamp, struct text *text,
                                      const struct writer_reply *reply);
void queued_free(struct queued *i);
/* Calls back the waiting caller: once with false, if at all; at last with true. */
void queued_answer(struct queued *i, bool written);

struct counters {
    bool failing;                /* the file cannot be written */
    size_t queued, queued_bytes; /* records that are not yet in the file */
    size_t lost;                 /* because memory ran out */
    unsigned long written;
};

void counters_add_queued(struct counters *c, const struct queued *i);
void counters_remove_queued(struct counters *c, const struct queued *i);
void counters_add_lost(struct counters *c);

#endif
