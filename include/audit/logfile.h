/* The audit log's file, the chain through it, and the files beside it: the log key and the state
 * file, which names the log's last line. The state survives rotations and kills, shows when the
 * log's end was cut off, and its lock excludes a second process.
 *
 * Standard output, pipes and devices cannot be read back: their chain begins anew at each start.
 * With a key they have a state file beside it, from which a run's first checkpoint names the last
 * line of the previous run. Opened on any thread; then used by one. */
#ifndef AUDIT_LOGFILE_H
#define AUDIT_LOGFILE_H

#include "audit/chain.h"
#include "audit/checkpoint.h"
#include "audit/receipt.h"
#include "audit/state.h"
#include "base/histogram.h"
#include "base/text.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* What was wrong when the log was opened. */
struct logfile_findings {
    struct text detail;                /* sentences; empty: nothing */
    struct text torn;                  /* half a line that was removed */
    uint64_t missing_from, missing_to; /* lines that were written and are missing; 0: none */
};

enum { LOGFILE_RECEIPTS = 256 };

struct logfile {
    char *path, *key_path;
    int fd;
    struct state_file state;
    ino_t inode;
    bool is_socket;
    bool regular;           /* a regular file: can be synced, locked and truncated */
    struct histogram syncs; /* how long they took */
    struct chain written;   /* the last line in the file */
    struct chain previous;  /* the previous run's last line, until named; sequence 0: none */
    bool has_key;
    struct log_key key;
    struct logfile_findings findings;
    /* The last one of each sender in the last part of the file, when it was opened. */
    struct receipt receipts[LOGFILE_RECEIPTS];
    size_t receipt_count;
};

/* NULL with a sentence in errors: it cannot be opened, another process writes it, or its key is not
 * usable. */
WARN_UNUSED struct logfile *logfile_open(const struct audit_config *config, struct text *errors);
void logfile_close(struct logfile *l);

/* The log's path with this ending instead of its own; the caller frees it. NULL for standard output
 * or when out of memory. */
WARN_UNUSED char *logfile_beside(const char *path, const char *ending);
/* Do the two paths name the same file? */
bool logfile_is_same(const char *a, const char *b);
/* The path of the log's state; the caller frees it. NULL: none. */
WARN_UNUSED char *logfile_state_path(const struct audit_config *config);
/* The path of the log's key; the caller frees it. NULL: none. */
WARN_UNUSED char *logfile_key_path(const struct audit_config *config);
/* Reads the state file beside the log. False when there is none or it is unreadable. */
WARN_UNUSED bool logfile_read_state(const char *path, struct chain *out);

/* Opens the path again, for appending; -1 with a sentence in errors. */
WARN_UNUSED int logfile_open_again(const char *path, struct text *errors);
/* Does this descriptor refer to the file in use? */
bool logfile_is_open_on(const struct logfile *l, int fd);
/* Switches to, and takes, a descriptor of the same path. False when another process writes that
 * file. */
WARN_UNUSED bool logfile_change(struct logfile *l, int fd);
/* As writev(2), but never waits. */
WARN_UNUSED ssize_t logfile_write(const struct logfile *l, struct iovec *parts, size_t count);
/* Has somebody deleted the file? */
bool logfile_is_gone(const struct logfile *l);
/* Removes the last n bytes. False when that failed. */
WARN_UNUSED bool logfile_cut(struct logfile *l, size_t n);
/* Records in the state that the lines up to l->written are in the file. */
void logfile_note(struct logfile *l);
/* Writes the key and the state again, from memory, if they were deleted or moved. */
void logfile_restore(struct logfile *l);
/* Syncs the file to the disk. False with errno when that failed. */
WARN_UNUSED bool logfile_sync(struct logfile *l);

#endif
