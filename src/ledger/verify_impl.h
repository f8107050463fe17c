/* The state of a verification, for verify.c and verify_record.c. */
#ifndef LEDGER_VERIFY_IMPL_H
#define LEDGER_VERIFY_IMPL_H

#include "audit/checkpoint.h"
#include "ledger/checkpoint_entry.h"
#include "ledger/entry.h"
#include "ledger/runs.h"
#include "ledger/verify.h"

struct log_position {
    const char *file;
    uint64_t number;
};

/* A line that is wrong, until the lines after it show why. */
struct suspect {
    bool is, gap, reordered, repeated;
    struct log_position place;
    uint64_t sequence; /* of the line; 0: not a sealed line */
    bool first_of_file, ended;
};

struct verify {
    struct verify_keys *keys; /* of all logs */
    struct span given_key; /* the log's, of these; or the one that was announced last, if any was */
    char given_id[LOG_KEY_ID + 1];
    uint8_t next_key[LOG_SPKI_LIMIT];
    char next_id[LOG_KEY_ID + 1]; /* of the key that was announced last */
    struct verify_summary found;
    bool has_state;
    struct chain state; /* the last record written, from the state file */
    struct chain chain; /* the last good record */
    char first_hash[CHAIN_HASH];
    struct log_position first;
    bool begun;
    const char *file;
    struct suspect suspect;
    bool stopped;         /* the last record except checkpoints is a stop */
    bool starting;        /* the last record is a process's first */
    uint64_t own_records; /* the latest consecutive ones, about the log itself */
    uint64_t chain_checkpoints;
    struct runs runs;
    struct log_position anew; /* the beginning of this run */
    uint64_t unsigned_before; /* records at the end of the previous run */
    /* The previous run has no checkpoint, although others have: this run has to name its end. */
    bool unvouched;
    struct log_position unvouched_at;
    uint64_t unvouched_record;
};

/* A sentence for the operator, not a fault. */
void verify_note(struct verify *v, const char *format, ...) PRINTF(2, 3);
/* Only the first fault counts. sequence: of the wrong or missing record. */
void verify_judge(struct verify *v, enum verify_fault fault, struct log_position place,
                  uint64_t sequence, const char *format, ...) PRINTF(5, 6);

#define VERIFY_OTHER_RECORD \
    "this is not the record that was written under this number (the state file says so)"

bool verify_is_action(const char *name, enum audit_action action);
/* Takes a record that follows the previous one, or reports its fault. */
void verify_take_good(struct verify *v, struct log_position place, const struct line_view *line,
                      const struct chain_line *sealed);

#endif
