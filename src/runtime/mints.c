#include "runtime/mints.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

void mints_init(struct mints *m)
{
    *m = (struct mints){.end = &m->first};
}

bool mints_free(const struct mints *m)
{
    return m->runtime == NULL;
}

void mints_await(struct mints *m, struct mint_wait *w, const struct leaf_request *leaf)
{
    if (w->link) return;
    leaf_name(leaf, w->name);
    w->failed = false;
    w->next = NULL;
    w->link = m->end;
    *m->end = w;
    m->end = &w->next;
}

void mints_leave(struct mints *m, struct mint_wait *w)
{
    if (!w->link) return;
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    else
        m->end = w->link;
    w->link = NULL;
}

/* All that wait for the one that was made or not, then others until one of them begins the next. */
static void run_waiting(struct mints *m, bool failed)
{
    struct mints done;
    struct mint_wait *next;
    mints_init(&done);
    for (struct mint_wait *w = m->first; w; w = next) {
        next = w->next;
        if (strcmp(w->name, m->name) != 0) continue;
        mints_leave(m, w);
        w->next = NULL;
        w->link = done.end;
        *done.end = w;
        done.end = &w->next;
        w->failed = failed;
    }
    while (done.first) {
        struct mint_wait *w = done.first;
        mints_leave(&done, w);
        w->run(w->owner);
    }
    while (m->first && mints_free(m)) {
        struct mint_wait *w = m->first;
        mints_leave(m, w);
        w->run(w->owner);
    }
}

static void on_answer(struct signing *signing, const struct sign_answer *answer)
{
    struct mints *m = (struct mints *)((char *)signing - offsetof(struct mints, signing));
    struct runtime *runtime = m->runtime;
    bool ok = answer && answer->size > 0 &&
              runtime_add_leaf(runtime, &m->leaf, answer->bytes, answer->size, answer->lifetime);
    m->runtime = NULL;
    run_waiting(m, !ok);
    runtime_release(runtime);
}

bool mints_begin(struct mints *m, struct signer *signer, struct runtime *runtime,
                 const struct leaf_request *leaf)
{
    struct sign_order order;
    if (!runtime_order_leaf(runtime, leaf, &order) ||
        !signer_ask(signer, &m->signing, &order, on_answer))
        return false;
    m->leaf = *leaf;
    snprintf(m->identity, sizeof m->identity, "%s", leaf->identity);
    m->leaf.identity = m->identity;
    if (leaf->second_name) {
        snprintf(m->second_name, sizeof m->second_name, "%s", leaf->second_name);
        m->leaf.second_name = m->second_name;
    }
    leaf_name(leaf, m->name);
    m->runtime = runtime;
    runtime_hold(runtime);
    return true;
}
