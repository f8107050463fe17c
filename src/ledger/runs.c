#include "ledger/runs.h"

#include <stdlib.h>
#include <string.h>

bool runs_init(struct runs *r)
{
    *r = (struct runs){.count = 1};
    r->this_run.hashes = calloc(RUNS_RECENT, sizeof *r->this_run.hashes);
    r->before.hashes = calloc(RUNS_RECENT, sizeof *r->before.hashes);
    if (r->this_run.hashes && r->before.hashes) return true;
    runs_fini(r);
    return false;
}

void runs_fini(struct runs *r)
{
    free(r->this_run.hashes);
    free(r->before.hashes);
    r->this_run.hashes = r->before.hashes = NULL;
}

void runs_add(struct runs *r, uint64_t sequence, const char hash[CHAIN_HASH])
{
    struct run_end *e = &r->this_run;
    memcpy(e->hashes[sequence % RUNS_RECENT], hash, RUNS_DIGITS);
    if (e->last == 0) e->first = sequence;
    e->last = sequence;
    if (e->last - e->first >= RUNS_RECENT) e->first = e->last - RUNS_RECENT + 1;
}

bool runs_end(struct runs *r)
{
    bool known = r->linked || r->count == 1;
    r->unlinked += !known;
    return known;
}

void runs_begin(struct runs *r)
{
    struct run_end ended = r->this_run;
    r->this_run = r->before;
    r->before = ended;
    r->this_run.first = r->this_run.last = 0;
    r->linked = false;
    r->count++;
}

enum run_link runs_link(struct runs *r, const struct chain *previous)
{
    const struct run_end *e = &r->before;
    bool there =
        r->count > 1 && previous->sequence >= e->first && previous->sequence <= e->last &&
        memcmp(e->hashes[previous->sequence % RUNS_RECENT], previous->hash, RUNS_DIGITS) == 0;
    if (there) r->linked = true;
    if (!there) r->wanted = *previous;
    return there ? RUN_LINKED : r->count == 1 ? RUN_OUTSIDE : RUN_MISSING;
}

bool runs_wants(const struct runs *r, uint64_t sequence, const char hash[CHAIN_HASH])
{
    return r->wanted.sequence == sequence && memcmp(r->wanted.hash, hash, CHAIN_HASH) == 0;
}
