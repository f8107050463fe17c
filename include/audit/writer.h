/* The audit log's one writer: a thread that takes records from all workers in order, chains
 * and signs them (audit/chain.h, audit/checkpoint.h), and tells each who waits when its record
 * is in the file.
 *
 * Nothing is lost: what cannot be written stays queued and is tried again until it can; the
 * file continues at the byte where it stopped, so no line is ever torn. Meanwhile
 * writer_available() is false and the workers refuse new connections; when WRITER_QUEUE_LIMIT
 * records or WRITER_QUEUE_BYTES wait, writer_has_room() is false and they accept none at all, so
 * that no refusal goes unrecorded either. */
#ifndef AUDIT_WRITER_H
#define AUDIT_WRITER_H

#include "audit/record.h"
#include "base/attr.h"
#include "config/config.h"

#include <stdbool.h>

enum {
    WRITER_QUEUE_LIMIT = 65536,
    WRITER_QUEUE_BYTES = 128 << 20,
    /* A checkpoint at the latest after so many records, or so long after the first one. */
    WRITER_CHECKPOINT_RECORDS = 1000,
    WRITER_CHECKPOINT_S = 60,
    WRITER_SYNC_S = 1 /* sync = interval */
};

struct writer;

/* Who is told: `answer` is called on the writer's thread, once, and must not block. */
struct writer_reply {
    void (*answer)(void *context, void *token, bool written);
    void *context;
    void *token;
};

/* policy: what the writer's own records name; copied. NULL with a sentence in errors when the
 * log cannot be opened. */
WARN_UNUSED struct writer *writer_new(const struct audit_config *config,
                                      const struct audit_policy *policy, struct text *errors);
/* Writes what is queued (a last try for each when the file fails), signs it and ends the
 * thread. Returns how many records could not be written. */
size_t writer_free(struct writer *w);

/* Queues one open line with its stamp; the text is taken. offer and reply may be NULL. When reply
 * is given it is answered also when this fails. */
void writer_submit(struct writer *w, struct audit_stamp stamp, struct text *line,
                   const struct audit_offer *offer, const struct writer_reply *reply);

/* Counts a refusal instead of recording it, where its source has had its share of records with this
 * code (repeats.h): then the caller submits none, and reply is answered at once, since the count
 * is written like any record: within seconds, or when the process stops. destination is host:port,
 * or "" where it is not known. False: submit it. */
WARN_UNUSED bool writer_count_refusal(struct writer *w, const struct addr *source,
                                      const char *listener, const char *destination,
                                      enum reason reason, const struct writer_reply *reply);

/* May new connections be taken? May they be accepted at all? */
bool writer_available(struct writer *w);
bool writer_has_room(struct writer *w);

/* Opens the log anew before the next record (rotation); another path is another log, with its
 * own chain. The old one stays in use when that fails. False with a sentence in errors then.
 * policy may be NULL: as before. */
WARN_UNUSED bool writer_reopen(struct writer *w, const struct audit_config *config,
                               const struct audit_policy *policy, struct text *errors);

#endif
