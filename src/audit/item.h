/* Records in a queue, and who waits for them. Private to audit/. */
#ifndef AUDIT_ITEM_H
#define AUDIT_ITEM_H

#include "line.h"

#include "audit/writer.h"

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
/* Tells who waits, once. */
void item_answer(struct item *i, bool written);

/* What both threads count. */
struct counters {
    atomic_bool failing;                /* the file cannot be written */
    atomic_size_t queued, queued_bytes; /* records that are not yet in the file */
    atomic_size_t lost;                 /* for want of memory */
};

void counters_add_item(struct counters *c, const struct item *i);
void counters_remove_item(struct counters *c, const struct item *i);
void counters_add_lost(struct counters *c);

#endif
