/* The clerk: the process that owns the audit log, its key, its state and its sinks. It parses no
 * peer's bytes. Other processes send it their records over sockets (audit/recorder.h,
 * audit/frame.h); it checks each (audit/open_line.h), adds its receipt (audit/receipt.h), and the
 * writer (audit/writer.h) gives it its sequence and hash. So a process that is taken over can add
 * lines under its own name, but change, remove or back-date none.
 *
 * Its keeper gives it orders over a post (base/post.h), each with one answer. It ends when the
 * keeper asks for it or is gone, and all senders have closed their sockets. After an upgrade,
 * former keepers have posts of their own, for the senders of their proxies. */
#ifndef AUDIT_CLERK_H
#define AUDIT_CLERK_H

#include "audit/receipt.h"
#include "audit/record.h"
#include "base/attr.h"
#include "config/config.h"

#include <stdbool.h>

/* ---- in the clerk ---- */

/* Until it ends. post: the end that its keeper does not have; taken. False when records could not
 * be written. */
bool clerk_run(int post);

/* ---- in the keeper: orders. False with a sentence in errors; if the clerk has not answered, also
 * with *alive false: it has to be ended ---- */

/* For clerk_open() when the log is open, and for clerk_ping(): a folder is another one than before.
 */
#define CLERK_ELSEWHERE "this clerk reaches other folders only: it needs another one\n"

/* Opens the log: the first order. From then on the clerk reaches only this configuration's files.
 * Or opens it again (audit/writer.h, writer_reopen()). origin NULL: unchanged. kept: of the clerk
 * before (clerk_end()), or -1; it stays the caller's. */
WARN_UNUSED bool clerk_open(int post, const struct audit_config *config,
                            const struct audit_origin *origin, int kept, bool *alive,
                            struct text *errors);
/* Adds a sender. name: of its records (receipt_name()). *fd: its recorder's end. */
WARN_UNUSED bool clerk_add_sender(int post, enum audit_sender role, const char *name, int *fd,
                                  bool *alive, struct text *errors);
/* Does it answer? state: replaced by how its work goes (audit/log_state.h), or NULL. */
WARN_UNUSED bool clerk_ping(int post, struct text *state, bool *alive, struct text *errors);
/* The process with this sender has ended. how: a sentence; empty: as it was told to. A record says
 * which of its connections were cut. */
WARN_UNUSED bool clerk_note_end(int post, const char *name, const char *how, bool *alive,
                                struct text *errors);
/* Adds the post of a former keeper: it may give the orders above, but for the first one. *keeper:
 * its end, the caller's. */
WARN_UNUSED bool clerk_add_keeper(int post, int *keeper, bool *alive, struct text *errors);
/* Writes what it has and ends, once all senders have closed; kept not NULL: at once, since they go
 * to another clerk. *lost: records that it could not write. *kept: what another clerk of this log
 * needs if the log's folder is gone, the caller's, or -1. */
WARN_UNUSED bool clerk_end(int post, size_t *lost, int *kept, struct text *errors);

#endif
