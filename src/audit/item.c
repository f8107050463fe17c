#include "item.h"

#include "base/diag.h"

void list_clear(struct list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

void list_add(struct list *l, struct item *i)
{
    i->next = NULL;
    *l->tail = i;
    l->tail = &i->next;
}

struct item *list_take_first(struct list *l)
{
    struct item *i = l->head;
    l->head = i->next;
    if (!l->head) l->tail = &l->head;
    return i;
}

void item_free(struct item *i)
{
    line_release(i->line);
    free(i->offer);
    free(i);
}

void item_answer(struct item *i, bool written)
{
    if (!i->reply.answer) return;
    i->reply.answer(i->reply.context, i->reply.token, written);
    i->reply.answer = NULL;
}

struct item *item_new(enum audit_action action, struct text *text, const struct audit_offer *offer,
                      const struct writer_reply *reply)
{
    struct line *line = line_new(action, text);
    struct item *i = line ? calloc(1, sizeof *i) : NULL;
    if (!i) {
        if (line) line_release(line);
        return NULL;
    }
    if (offer && offer->present) {
        i->offer = malloc(sizeof *i->offer);
        if (i->offer) *i->offer = *offer;
    }
    i->line = line;
    if (reply) i->reply = *reply;
    return i;
}

void counters_add_item(struct counters *c, const struct item *i)
{
    atomic_fetch_add(&c->queued, 1);
    atomic_fetch_add(&c->queued_bytes, i->line->open_size);
}

void counters_remove_item(struct counters *c, const struct item *i)
{
    atomic_fetch_sub(&c->queued, 1);
    atomic_fetch_sub(&c->queued_bytes, i->line->open_size);
}

void counters_add_lost(struct counters *c)
{
    static int64_t last;
    atomic_fetch_add(&c->lost, 1);
    if (diag_due(&last, 1000000000)) diag_error("out of memory: an audit record is lost");
}
