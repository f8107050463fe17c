#include "unwritten.h"

#include <stdlib.h>
#include <string.h>

bool unwritten_init(struct unwritten *u, struct recording *shared)
{
    u->shared = shared;
    u->tail = &u->head;
    return spare_init(&u->spare);
}

void unwritten_fini(struct unwritten *u)
{
    while (u->head) unwritten_drop_first(u);
    spare_fini(&u->spare);
}

void unwritten_begin_again(struct unwritten *u)
{
    u->unsent = u->head;
    u->sent = 0;
}

void entry_answer(struct entry *e, bool written)
{
    if (!e->reply.answer) return;
    e->reply.answer(e->reply.context, e->reply.token, written);
    e->reply.answer = NULL;
}

void unwritten_drop_first(struct unwritten *u)
{
    struct entry *e = u->head;
    u->head = e->next;
    if (!u->head) u->tail = &u->head;
    if (u->unsent == e) u->unsent = e->next;
    atomic_fetch_sub(&u->shared->queued, 1);
    atomic_fetch_sub(&u->shared->queued_bytes, e->line.size);
    if (!spare_owns(&u->spare, e)) {
        text_fini(&e->line);
        free(e);
        return;
    }
    spare_give_back(&u->spare, e);
    if (spare_is_empty(&u->spare)) atomic_fetch_sub(&u->shared->short_of_memory, 1);
}

/* The line is in memory that the entry owns. */
static void add(struct unwritten *u, struct entry *e, struct audit_stamp stamp, struct text line,
                const struct recorder_reply *reply)
{
    *e = (struct entry){.number = ++u->last, .line = line};
    if (reply) e->reply = *reply;
    struct frame f = {.number = e->number,
                      .stamp = stamp,
                      .urgent = reply != NULL,
                      .lost = recording_take_unreported(u->shared),
                      .line = {(const uint8_t *)e->line.data, e->line.size}};
    frame_put_header(&f, e->header);
    *u->tail = e;
    u->tail = &e->next;
    if (!u->unsent) u->unsent = e;
    atomic_fetch_add(&u->shared->queued, 1);
    atomic_fetch_add(&u->shared->queued_bytes, e->line.size);
}

/* Rendered without memory; NULL when not even the spare one is left. */
static struct entry *make_spare(struct unwritten *u, audit_renderer *render, const void *what,
                                const struct recorder_reply *reply)
{
    struct text line = {0};
    text_borrow(spare_scratch(&u->spare), SPARE_SCRATCH);
    struct audit_stamp stamp = render(what, &line);
    bool rendered = !line.failed && line.size > 0, first = spare_is_empty(&u->spare);
    struct entry *e = rendered ? spare_take(&u->spare, sizeof *e + line.size) : NULL;
    if (e) {
        memcpy(e + 1, line.data, line.size);
        add(u, e, stamp, (struct text){.data = (char *)(e + 1), .size = line.size}, reply);
        if (first) atomic_fetch_add(&u->shared->short_of_memory, 1);
    }
    text_fini(&line);
    text_borrow(NULL, 0);
    spare_scratch_over(&u->spare);
    return e;
}

struct entry *unwritten_add(struct unwritten *u, audit_renderer *render, const void *what,
                            const struct recorder_reply *reply, bool trim)
{
    struct text line = {0};
    struct audit_stamp stamp = render(what, &line);
    struct entry *e = line.failed || !line.size ? NULL : malloc(sizeof *e);
    if (!e) {
        text_fini(&line);
        return make_spare(u, render, what, reply);
    }
    if (trim) text_trim(&line, 0); /* many records may have to wait long: use less memory */
    add(u, e, stamp, line, reply);
    return e;
}

size_t unwritten_gather(const struct unwritten *u, struct iovec parts[2 * UNWRITTEN_BATCH])
{
    size_t count = 0, skip = u->sent;
    for (struct entry *e = u->unsent; e && count < 2 * UNWRITTEN_BATCH - 1; e = e->next) {
        if (skip < FRAME_HEADER)
            parts[count++] = (struct iovec){e->header + skip, FRAME_HEADER - skip};
        skip = skip < FRAME_HEADER ? 0 : skip - FRAME_HEADER;
        parts[count++] = (struct iovec){e->line.data + skip, e->line.size - skip};
        skip = 0;
    }
    return count;
}

void unwritten_note_sent(struct unwritten *u, size_t n)
{
    for (u->sent += n; u->unsent && u->sent >= FRAME_HEADER + u->unsent->line.size;) {
        u->sent -= FRAME_HEADER + u->unsent->line.size;
        u->unsent = u->unsent->next;
    }
}
