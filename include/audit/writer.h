/* The audit log's one writer: a thread that takes records from all workers in order, chains and
 * signs them (audit/chain.h, audit/checkpoint.h), and calls back each waiting caller when its
 * record is in the file.
 *
 * Nothing is lost: a record that cannot be written stays queued and is retried. The file continues
 * at the byte where it stopped, so no line is torn. Meanwhile writer_available() is false and the
 * workers refuse new connections; when WRITER_QUEUE_LIMIT records or WRITER_QUEUE_BYTES wait,
 * writer_has_room() is false and they accept none, so that every refusal is recorded too. */
#ifndef AUDIT_WRITER_H
#define AUDIT_WRITER_H

#include "audit/record.h"
#include "base/attr.h"
#include "config/config.h"

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

/* `answer` is called once, on the writer's thread, and must not block. */
struct writer_reply {
    void (*answer)(void *context, void *token, bool written);
    void *context;
    void *token;
};

/* policy: for the writer's own records; copied. NULL with a sentence in errors when the log cannot
 * be opened. */
WARN_UNUSED struct writer *writer_new(const struct audit_config *config,
                                      const struct audit_policy *policy, struct text *errors);
/* Writes what is queued (one last attempt if the file fails), signs it and ends the thread. Returns
 * how many records could not be written. */
size_t writer_free(struct writer *w);

/* Queues one open line with its stamp; takes the text. offer and reply may be NULL; reply is called
 * back also on failure. */
void writer_submit(struct writer *w, struct audit_stamp stamp, struct text *line,
                   const struct audit_offer *offer, const struct writer_reply *reply);

/* Counts a refusal instead of recording it, if its source has used up its records with this code
 * (repeats.h): the caller then submits none, and reply is called back at once. The count itself is
 * recorded within seconds, or when the process stops. destination: host:port, or "" if unknown.
 * False: submit a record. */
WARN_UNUSED bool writer_count_refusal(struct writer *w, const struct addr *source,
                                      const char *listener, const char *destination,
                                      enum reason reason, const struct writer_reply *reply);

/* May new connections be served? May they be accepted at all? */
bool writer_available(struct writer *w);
bool writer_has_room(struct writer *w);

/* Opens the log again before the next record (rotation); another path is another log, with its
 * own chain. False with a sentence in errors: the old one stays in use. policy may be NULL:
 * unchanged. */
WARN_UNUSED bool writer_reopen(struct writer *w, const struct audit_config *config,
                               const struct audit_policy *policy, struct text *errors);

#endif
