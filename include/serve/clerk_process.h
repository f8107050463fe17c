/* The clerk (audit/clerk.h) as a process of its own: starts it, gives it orders, starts it again if
 * it dies. For the main thread and the default loop. */
#ifndef SERVE_CLERK_PROCESS_H
#define SERVE_CLERK_PROCESS_H

#include "audit/record.h"
#include "base/attr.h"
#include "config/config.h"

#include <ev.h>

struct clerk_process;

/* restarted: there is a new clerk; all senders have to be connected to it. how: the former one
 * ended, a sentence; empty: as it was told to. */
struct clerk_events {
    void (*restarted)(void *arg, const char *how);
    void *arg;
};

/* Starts it and opens the log. config and origin are borrowed until clerk_process_use() or the end.
 * NULL with a sentence in errors. */
WARN_UNUSED struct clerk_process *clerk_process_new(struct ev_loop *loop,
                                                    const struct audit_config *config,
                                                    const struct audit_origin *origin,
                                                    const struct clerk_events *events,
                                                    struct text *errors);
/* Opens the log again, as these say from now on (writer_reopen()). False with a sentence in errors:
 * as before. origin NULL: unchanged. */
WARN_UNUSED bool clerk_process_reopen(struct clerk_process *p, const struct audit_config *config,
                                      const struct audit_origin *origin, struct text *errors);
/* Without a clerk nothing can be opened; `restarted` follows. */
bool clerk_process_runs(const struct clerk_process *p);
/* Starts another clerk if there is none: for the end, when the loop no longer does it. */
void clerk_process_revive(struct clerk_process *p);
/* The caller's end of a new sender's socket (recorder_connect()); -1: there is no clerk now, and
 * `restarted` follows; or there is no descriptor: try again. name: of its records
 * (audit/receipt.h). */
WARN_UNUSED int clerk_process_connect(struct clerk_process *p, enum audit_sender role,
                                      const char *name);
pid_t clerk_process_pid(const struct clerk_process *p); /* 0: none */
/* Does it answer? This keeper's own is ended if not, and another one started. */
bool clerk_process_ping(struct clerk_process *p);
/* How its work goes, as it answered the last ping (audit/log_state.h); "": it did not. */
const char *clerk_process_state(const struct clerk_process *p);
/* A proxy has ended: its record says which connections were cut (audit/clerk.h). False: there is no
 * clerk now. */
WARN_UNUSED bool clerk_process_note_end(struct clerk_process *p, const char *name, const char *how);
/* ---- at an upgrade: the next keeper starts a clerk of its own ---- */

/* Where that one is: a post to it (clerk_process_add_keeper()), or -1. */
struct clerk_elsewhere {
    int (*find)(void *arg);
    void *arg;
};
/* Ends it at once: its senders keep what it has not acknowledged. It is not started again; from now
 * on all is asked of the clerk elsewhere. False when there is none to end, and nothing has
 * changed. */
WARN_UNUSED bool clerk_process_leave(struct clerk_process *p, const struct clerk_elsewhere *next);
/* Finds the clerk elsewhere anew: its keeper has made way for the next one. */
void clerk_process_find(struct clerk_process *p);
/* The upgrade has failed: starts one again; `restarted` follows. */
void clerk_process_return(struct clerk_process *p);
/* For a former keeper: its post to this clerk, the caller's. -1: there is no clerk now. */
WARN_UNUSED int clerk_process_add_keeper(struct clerk_process *p);

/* Ends it, after all senders have closed. Returns how many records it could not write. */
size_t clerk_process_free(struct clerk_process *p);

#endif
