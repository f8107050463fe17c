/* One record's line, shared by the sinks. Private to audit/. */
#ifndef AUDIT_LINE_H
#define AUDIT_LINE_H

#include "audit/record.h"

#include <stdatomic.h>
#include <stdlib.h>

struct line {
    atomic_uint holders;
    struct audit_stamp stamp;
    size_t open_size;    /* without what chain_seal() has added */
    struct chain sealed; /* its number and hash, once sealed */
    struct text text;
};

/* Takes the text, also on failure. NULL when out of memory. */
static inline struct line *line_new(struct audit_stamp stamp, struct text *text)
{
    struct line *l = text->failed || !text->size ? NULL : malloc(sizeof *l);
    if (!l) {
        text_fini(text);
        return NULL;
    }
    *l = (struct line){.holders = 1, .stamp = stamp, .open_size = text->size, .text = *text};
    *text = (struct text){0};
    return l;
}

static inline struct line *line_hold(struct line *l)
{
    atomic_fetch_add_explicit(&l->holders, 1, memory_order_relaxed);
    return l;
}

static inline void line_release(struct line *l)
{
    if (atomic_fetch_sub_explicit(&l->holders, 1, memory_order_acq_rel) > 1) return;
    text_fini(&l->text);
    free(l);
}

#endif
