#include "queued.h"

#include "base/diag.h"

void record_queue_clear(struct record_queue *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

void record_queue_add(struct record_queue *l, struct queued *i)
{
    i->next = NULL;
    *l->tail = i;
    l->tail = &i->next;
}

struct queued *record_queue_take_first(struct record_queue *l)
{
    struct queued *i = l->head;
    l->head = i->next;
    if (!l->head) l->tail = &l->head;
    return i;
}

void queued_free(struct queued *i)
{
    line_release(i->line);
    free(i);
}

void queued_answer(struct queued *i, bool written)
{
    if (!i->reply.answer) return;
    if (!written && i->told) return;
    i->told = true;
    i->reply.answer(i->reply.context, i->reply.number, written);
    if (written) i->reply.answer = NULL;
}

struct queued *queued_new(struct audit_stamp stamp, struct text *text,
                          const struct writer_reply *reply)
{
    struct line *line = line_new(stamp, text);
    struct queued *i = line ? calloc(1, sizeof *i) : NULL;
    if (!i) {
        if (line) line_release(line);
        return NULL;
    }
    i->line = line;
    if (reply) i->reply = *reply;
    return i;
}

void counters_add_queued(struct counters *c, const struct queued *i)
{
    c->queued++;
    c->queued_bytes += i->line->open_size;
}

void counters_remove_queued(struct counters *c, const struct queued *i)
{
    c->queued--;
    c->queued_bytes -= i->line->open_size;
}

void counters_add_lost(struct counters *c)
{
    static int64_t last;
    c->lost++;
    if (diag_due(&last, 1000000000)) diag_error("out of memory: an audit record is lost");
}
