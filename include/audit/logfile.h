/* The audit log's file, the chain through it, and what goes with it: the log key and the
 * state file, which holds the last line that is in the log. The state outlives a rotation and
 * a kill, shows when the log's end was cut off, and its lock keeps a second process out.
 *
 * Standard output, pipes and devices cannot be read back: their chain begins anew with each
 * start. With a key they have a state beside it, from which the first checkpoint of a run names
 * the last line of the run before.
 * Opened on any thread; then one thread's own. */
#ifndef AUDIT_LOGFILE_H
#define AUDIT_LOGFILE_H

#include "audit/chain.h"
#include "audit/checkpoint.h"
#include "audit/state.h"
#include "base/text.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* What was wrong when it was opened. */
struct logfile_findings {
    struct text detail;                /* sentences; empty: nothing */
    struct text torn;                  /* half a line that was taken out */
    uint64_t missing_from, missing_to; /* lines that were written and are not there; 0: none */
};

struct logfile {
    char *path, *key_path;
    int fd;
    struct state_file state;
    ino_t inode;
    bool is_socket;
    bool regular;          /* a file, which can be synced, locked and cut */
    struct chain written;  /* the last line in the file */
    struct chain previous; /* the last line of the run before, until a checkpoint has named it;
                              sequence 0: none */
    bool has_key;
    struct log_key key;
    struct logfile_findings findings;
};

/* NULL with a sentence in errors: it cannot be opened, another process writes it, the key is
 * not usable. */
WARN_UNUSED struct logfile *logfile_open(const struct audit_config *config, struct text *errors);
void logfile_close(struct logfile *l);

/* The name beside the log with this ending instead of its own; the caller frees. NULL for
 * standard output or when out of memory. */
WARN_UNUSED char *logfile_beside(const char *path, const char *ending);
/* Do two paths name one file? */
bool logfile_is_same(const char *a, const char *b);
/* The path of the log's state; the caller frees. NULL: it has none. */
WARN_UNUSED char *logfile_state_path(const struct audit_config *config);
/* The path of the log's key; the caller frees. NULL: it has none. */
WARN_UNUSED char *logfile_key_path(const struct audit_config *config);
/* What the state file beside the log says. False when there is none that can be read. */
WARN_UNUSED bool logfile_read_state(const char *path, struct chain *out);

/* Opens the path once more, for writing at its end; -1 with a sentence in errors. */
WARN_UNUSED int logfile_open_again(const char *path, struct text *errors);
/* Is this descriptor one of the file that is written already? */
bool logfile_is_open_on(const struct logfile *l, int fd);
/* Goes over to a descriptor of the same path, which is taken. False when another process writes
 * that file. */
WARN_UNUSED bool logfile_change(struct logfile *l, int fd);
/* As writev(2), and never waits. */
WARN_UNUSED ssize_t logfile_write(const struct logfile *l, struct iovec *parts, size_t count);
/* Has somebody deleted the file? */
bool logfile_is_gone(const struct logfile *l);
/* Takes n bytes off the end. False when that cannot be done. */
WARN_UNUSED bool logfile_cut(struct logfile *l, size_t n);
/* The lines up to l->written are in the file: say so in the state. */
void logfile_note(struct logfile *l);
/* Writes the key and the state anew, from memory, where somebody has deleted or moved them. */
void logfile_restore(struct logfile *l);
/* Forces what was written to the disk. False with errno when that failed. */
WARN_UNUSED bool logfile_sync(struct logfile *l);

#endif
