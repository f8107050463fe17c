/* The audit log's one writer: takes records in order, chains and signs them (audit/chain.h,
 * audit/checkpoint.h), and calls back each waiting caller when its record is in the file. It
 * belongs to one loop; its further sinks have threads of their own.
 *
 * Nothing is lost: a record that cannot be written stays queued and is retried. The file continues
 * at the byte where it stopped, so no line is torn. Meanwhile writer_is_failing() is true; when
 * WRITER_QUEUE_LIMIT records or WRITER_QUEUE_BYTES wait, writer_has_room() is false and the caller
 * must submit no more. */
#ifndef AUDIT_WRITER_H
#define AUDIT_WRITER_H

#include "audit/log_state.h"
#include "audit/receipt.h"
#include "audit/record.h"
#include "base/attr.h"
#include "config/config.h"

#include <ev.h>
#include <stdbool.h>

enum {
    WRITER_QUEUE_LIMIT = 65536,
    WRITER_QUEUE_BYTES = 128 << 20,
    /* The most records before a checkpoint, and the most seconds after the first of them. */
    WRITER_CHECKPOINT_RECORDS = 1000,
    WRITER_CHECKPOINT_S = 60,
    WRITER_SYNC_S = 1 /* sync = interval */
};

struct writer;

/* `answer` is called with true when the record is in the file, and before that at most once with
 * false, when the file cannot be written. It must not call the writer. */
struct writer_reply {
    void (*answer)(void *context, uint64_t number, bool written);
    void *context;
    uint64_t number; /* the caller's, of the record */
};

/* settled: called after each round of work, once its answers are given. all: they must not wait,
 * since the log's end will soon be far away, or in another file. */
struct writer_events {
    void (*settled)(void *context, bool all);
    void *context;
};

/* origin, name: for the writer's own records (audit/receipt.h); copied. events may be NULL. NULL
 * with a sentence in errors when the log cannot be opened. */
WARN_UNUSED struct writer *writer_new(struct ev_loop *loop, const struct audit_config *config,
                                      const struct audit_origin *origin, const char *name,
                                      const struct writer_events *events, struct text *errors);
/* Writes what is queued (one last attempt if the file fails) and signs it. Returns how many records
 * could not be written. */
size_t writer_free(struct writer *w);
/* The same as its first half; then what another writer of this log needs if its folder was deleted
 * or moved (log_keep()), in a memory file: the caller's descriptor. -1 with errno. */
WARN_UNUSED int writer_conclude(struct writer *w);

/* Queues one open line, which has its receipt, with its stamp; takes the text. reply may be NULL;
 * it is called back also when there is no memory. It is written before the loop waits again. */
void writer_submit(struct writer *w, struct audit_stamp stamp, struct text *line,
                   const struct writer_reply *reply);
/* A record of the writer's own. cut: or NULL. */
void writer_submit_own(struct writer *w, enum audit_action action, const char *detail,
                       const struct audit_cut *cut);
/* This sender had no memory for so many records: the log will say so. */
void writer_note_lost(struct writer *w, const char *sender, size_t count);

bool writer_is_failing(const struct writer *w);
bool writer_has_room(const struct writer *w);
void writer_describe(const struct writer *w, struct log_state *out);
/* The last receipt of each sender near the end of the log, as it was when it was opened. Borrowed
 * until the log is opened again. */
const struct receipt *writer_last_receipts(const struct writer *w, size_t *n);

/* Opens the log again before the next record (rotation); another path is another log, with its
 * own chain. False with a sentence in errors: the old one stays in use. origin may be NULL:
 * unchanged. */
WARN_UNUSED bool writer_reopen(struct writer *w, const struct audit_config *config,
                               const struct audit_origin *origin, struct text *errors);

#endif
