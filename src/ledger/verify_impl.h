/* The state of a verification, which audit/verify.c and audit/verify_record.c share. */
#ifndef LEDGER_VERIFY_IMPL_H
#define LEDGER_VERIFY_IMPL_H

#include "audit/checkpoint.h"
#include "ledger/checkpoint_entry.h"
#include "ledger/entry.h"
#include "ledger/runs.h"
#include "ledger/verify.h"

struct place {
    const char *file;
    uint64_t number;
};

/* What is wrong at one line, until the lines behind it have told what it was. */
struct suspect {
    bool is, gap, reordered, repeated;
    struct place place;
    uint64_t sequence; /* that the line has; 0: it is no sealed line */
    bool first_of_file, ended;
};

struct verify {
    struct span given_key;
    char given_id[LOG_KEY_ID + 1];
    struct verify_summary found;
    bool has_state;
    struct chain state; /* the last record that was written, as the state file says */
    struct chain chain; /* the last good record */
    char first_hash[CHAIN_HASH];
    bool begun;
    const char *file;
    struct suspect suspect;
    bool stopped;         /* the last record but for checkpoints says so */
    bool starting;        /* the last record is a process's first */
    uint64_t own_records; /* in a row, the last ones: those about the log itself */
    uint64_t chain_checkpoints;
    struct runs runs;
    struct place anew;        /* where this run begins */
    uint64_t unsigned_before; /* records at the end of the run before */
    /* The run before has no checkpoint, although there are some: this run has to name its end. */
    bool unvouched;
    struct place unvouched_at;
    uint64_t unvouched_record;
};

/* A sentence for the reader; no fault. */
void verify_note(struct verify *v, const char *format, ...) PRINTF(2, 3);
/* The first fault counts. sequence: of the record that is at fault or missing. */
void verify_judge(struct verify *v, enum verify_fault fault, struct place place, uint64_t sequence,
                  const char *format, ...) PRINTF(5, 6);

bool verify_is_action(const char *name, enum audit_action action);
/* Takes a record that follows the one before it, or judges it. */
void verify_take_good(struct verify *v, struct place place, const struct line_view *line,
                      const struct chain_line *sealed);

#endif
