/* Is this log complete and unaltered? Fed line by line; knows no files.
 * It says what the chain (audit/chain.h) and the checkpoints (audit/checkpoint.h) show. */
#ifndef LEDGER_VERIFY_H
#define LEDGER_VERIFY_H

#include "audit/chain.h"
#include "audit/checkpoint.h"
#include "base/reader.h"
#include "ledger/entry.h"
#include "ledger/lines.h"

#include <stdbool.h>

enum verify_fault {
    VERIFY_INTACT,
    VERIFY_CHANGED,
    VERIFY_REMOVED,
    VERIFY_INSERTED,
    VERIFY_REORDERED,
    VERIFY_CUT
};

enum { VERIFY_NOTES = 20 };

/* What was found so far. */
struct verify_summary {
    enum verify_fault fault;
    const char *fault_file;
    uint64_t fault_line, fault_record; /* fault_line 0: at the end */
    struct text sentence;              /* a clause: what is wrong there */
    uint64_t files, records;           /* records: those before the fault */
    uint64_t sealed_lines;             /* behind it too; 0: this is no audit log */
    uint64_t chains;                   /* a log on standard output has one a start */
    uint64_t unlinked; /* of them: those that do not name the end of the one before */
    uint64_t outside;  /* the last record of the run before the first one; 0: none is known */
    uint64_t first_sequence, last_sequence;
    char first_time[ENTRY_TIME], last_time[ENTRY_TIME];
    bool anchored; /* the first record's own bytes are proved too */
    uint64_t checkpoints, signed_up_to, unsigned_records;
    char key_id[LOG_KEY_ID + 1]; /* of the last checkpoint */
    bool key_given, state_given;
    struct text notes;   /* lines; what is no fault and should be known */
    unsigned note_count; /* beyond VERIFY_NOTES they are only counted */
};

struct verify;

/* spki: the public half of the log key, which has to stay; empty: not given. state: the last
 * record that was written, as the state file beside the log said before the files were read, or
 * NULL. NULL when out of memory. */
WARN_UNUSED struct verify *verify_new(struct span spki, const struct chain *state);
void verify_free(struct verify *v);

/* The next line, in order; `file` (one pointer a file, which has to stay) and `number` for what
 * is said of it. */
void verify_line(struct verify *v, const char *file, uint64_t number, const struct line_view *line);
/* All lines were fed. */
void verify_end(struct verify *v);
const struct verify_summary *verify_summary(const struct verify *v);

#endif
