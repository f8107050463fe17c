/* The runs of a log that begins anew at each start: does each name the end of the previous one?
 * Owns the ends of two runs; knows neither lines nor signatures. */
#ifndef LEDGER_RUNS_H
#define LEDGER_RUNS_H

#include "audit/chain.h"

/* After a kill or a power failure the state is older than the log: a run may name any of the last
 * RUNS_RECENT records of the previous one. */
enum { RUNS_RECENT = 32768, RUNS_DIGITS = 32 };

struct run_end {
    uint64_t first, last;        /* the records kept; last 0: none */
    char (*hashes)[RUNS_DIGITS]; /* the hashes' first digits, by sequence modulo RUNS_RECENT */
};

struct runs {
    struct run_end this_run, before;
    uint64_t count, unlinked; /* unlinked: ended runs that do not name the previous one */
    bool linked;              /* this run does */
    struct chain wanted;      /* named but missing; sequence 0: none */
};

WARN_UNUSED bool runs_init(struct runs *r);
void runs_fini(struct runs *r);
/* The next record of this run. */
void runs_add(struct runs *r, uint64_t sequence, const char hash[CHAIN_HASH]);
/* This run has ended. True when it names the previous one, or is the first. */
bool runs_end(struct runs *r);
void runs_begin(struct runs *r);

enum run_link {
    RUN_LINKED,  /* to the previous run */
    RUN_OUTSIDE, /* the first run names a run outside the files */
    RUN_MISSING  /* the record it names is not in the previous run */
};
/* This run names `previous` as the previous run's last record. */
enum run_link runs_link(struct runs *r, const struct chain *previous);
/* Is this the record that was named but missing? */
bool runs_wants(const struct runs *r, uint64_t sequence, const char hash[CHAIN_HASH]);

#endif
