/* Is this log complete and unaltered? Fed line by line; knows no files.
 * Checks the chain (audit/chain.h) and the checkpoints (audit/checkpoint.h). */
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

/* The findings so far. */
struct verify_summary {
    enum verify_fault fault;
    const char *fault_file;
    uint64_t fault_line, fault_record; /* fault_line 0: at the end */
    struct text sentence;              /* a clause: what is wrong there */
    uint64_t files, records;           /* records: only those before the fault */
    uint64_t sealed_lines;             /* after it too; 0: this is not an audit log */
    uint64_t chains;                   /* a log on standard output has one per start */
    uint64_t unlinked;                 /* chains that do not name the end of the previous one */
    uint64_t outside; /* the last record of the run before the first one; 0: unknown */
    uint64_t first_sequence, last_sequence;
    char first_time[ENTRY_TIME], last_time[ENTRY_TIME];
    bool anchored; /* the first record's own bytes are proved too */
    uint64_t checkpoints, signed_up_to, unsigned_records;
    char key_id[LOG_KEY_ID + 1]; /* of the last checkpoint */
    char first_key_id[LOG_KEY_ID + 1];
    uint64_t key_changes; /* each announced by the key before */
    bool key_given, state_given;
    char instance[ENTRY_INSTANCE]; /* of the last record; as in JSON */
    struct text notes;             /* lines about things that are not faults */
    unsigned note_count;           /* those beyond VERIFY_NOTES are only counted */
};

struct verify;

/* A public log key that was noted (DER, borrowed). */
struct verify_key {
    struct span spki;
    char id[LOG_KEY_ID + 1];
};

/* A key, and the log that it has signed. */
struct verify_signer {
    char id[LOG_KEY_ID + 1];
    const struct verify *log;
};

struct verify_keys {
    struct verify_key *items;
    size_t n;
    struct verify_signer *signers;
    size_t signer_count;
};
WARN_UNUSED bool verify_keys_init(struct verify_keys *keys, const struct span *spki, size_t n);
void verify_keys_fini(struct verify_keys *keys);

/* keys: borrowed. instance: whose log it seems to be. state: the last record written, from the
 * state file as it was before the log was read, or NULL. NULL when out of memory. */
WARN_UNUSED struct verify *verify_new(struct verify_keys *keys, const char *instance,
                                      const struct chain *state);
void verify_free(struct verify *v);
/* A state that is found later; ignored if there is one. */
void verify_take_state(struct verify *v, const struct chain *state);
/* Does this line follow the last one? */
bool verify_continues(const struct verify *v, const struct line_view *line);
/* Is this its last record? */
bool verify_ends_at(const struct verify *v, const struct chain *last);
/* Is this key the log's newest, or announced as the next one? */
bool verify_has_key(const struct verify *v, const char *id);

/* The next line, in order. `file` (borrowed, one pointer per file) and `number` are for
 * messages. */
void verify_line(struct verify *v, const char *file, uint64_t number, const struct line_view *line);
/* Before the end, of one among several: a log that begins with a later record has to show by a
 * checkpoint and by its name that it is one, and no part of another. */
void verify_doubt(struct verify *v, bool shares_its_name);
/* After the last line. */
void verify_end(struct verify *v);
const struct verify_summary *verify_summary(const struct verify *v);

#endif
