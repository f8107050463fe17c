/* The runs of a log that begins anew at each start: does each name the end of the one before?
 * Owns the ends of two runs; knows neither lines nor signatures. */
#ifndef LEDGER_RUNS_H
#define LEDGER_RUNS_H

#include "audit/chain.h"

/* A process that was killed, or a power failure, leaves a state that is behind the log: a run may
 * name any of the last RUNS_RECENT records of the one before. */
enum { RUNS_RECENT = 32768, RUNS_DIGITS = 32 };

struct run_end {
    uint64_t first, last;        /* the records that are kept; last 0: none */
    char (*hashes)[RUNS_DIGITS]; /* their beginnings, by sequence modulo RUNS_RECENT */
};

struct runs {
    struct run_end this_run, before;
    uint64_t count, unlinked; /* unlinked: those that do not name the one before, now ended */
    bool linked;              /* this one does */
    struct chain wanted;      /* named and not there; sequence 0: none */
};

WARN_UNUSED bool runs_init(struct runs *r);
void runs_fini(struct runs *r);
/* The next record of this run. */
void runs_add(struct runs *r, uint64_t sequence, const char hash[CHAIN_HASH]);
/* This run has ended. True when it names the one before, or is the first. */
bool runs_end(struct runs *r);
void runs_begin(struct runs *r);

enum run_link {
    RUN_LINKED,  /* to the run before */
    RUN_OUTSIDE, /* the first one names one that is not given */
    RUN_MISSING  /* what it names is not in the run before */
};
/* This run names that record as the last one of the run before. */
enum run_link runs_link(struct runs *r, const struct chain *previous);
/* Is this the record that was named and not there? */
bool runs_wants(const struct runs *r, uint64_t sequence, const char hash[CHAIN_HASH]);

#endif
