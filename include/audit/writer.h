/* The audit file's one writer: a thread that takes records from all workers in order, and
 * tells each who waits when its record is in the file.
 *
 * Nothing is lost: what cannot be written stays queued and is tried again until it can; the
 * file continues at the byte where it stopped, so no line is ever torn. Meanwhile
 * writer_available() is false and the workers take no new connections. It is false too
 * while more than WRITER_QUEUE_LIMIT records wait. Refusals for that very reason are
 * queued up to the limit and counted beyond it. */
#ifndef AUDIT_WRITER_H
#define AUDIT_WRITER_H

#include "audit/record.h"
#include "base/attr.h"

#include <stdbool.h>

enum { WRITER_QUEUE_LIMIT = 65536 };

struct writer;

/* Who is told: `answer` is called on the writer's thread, once, and must not block. */
struct writer_reply {
    void (*answer)(void *context, void *token, bool written);
    void *context;
    void *token;
};

/* path: a file, appended to and created 0640, or "-" for standard output. NULL with a
 * sentence in errors when it cannot be opened. */
WARN_UNUSED struct writer *writer_new(const char *path, struct text *errors);
/* Writes what is queued (a last try for each when the file fails) and ends the thread.
 * Returns how many records could not be written. */
size_t writer_free(struct writer *w);

/* Queues one rendered line, which is taken and freed. offer and reply may be NULL. When
 * reply is given it is answered also when this fails. */
void writer_submit(struct writer *w, char *line, const struct audit_offer *offer,
                   const struct writer_reply *reply);

/* May new connections be taken? */
bool writer_available(struct writer *w);
/* Is there room to queue the refusal of a connection for want of writing? Counts it if not. */
bool writer_has_room(struct writer *w);

/* Opens the path anew before the next record (log rotation). The old file stays in use
 * when that fails. False with a sentence in errors then. */
WARN_UNUSED bool writer_reopen(struct writer *w, const char *path, struct text *errors);

/* For the fallback record: which policy is in force. Copied. */
void writer_set_policy(struct writer *w, const struct audit_policy *policy);

#endif
