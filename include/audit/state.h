/* The state file: the last line that is in the log, for the next process and for verify. It
 * outlives a rotation and a kill, shows when the log's end was cut off, and its lock keeps a
 * second process out. Knows nothing of the log's own file. */
#ifndef AUDIT_STATE_H
#define AUDIT_STATE_H

#include "audit/chain.h"

#include <stdbool.h>
#include <sys/types.h>

struct state_file {
    char *path;
    int fd; /* -1: there is none */
    struct text scratch;
};

/* What it says. */
struct state {
    struct chain last;
    ino_t inode; /* of the log's file */
};

/* Makes it where there is none and locks it. Takes the path, also when this fails. 0, or an errno
 * with a sentence in errors: EWOULDBLOCK when another process has it. */
WARN_UNUSED int state_open(struct state_file *s, char *path, struct text *errors);
/* name: of the log it has to speak of; NULL: of any. False when it says nothing. */
WARN_UNUSED bool state_read(int fd, const char *name, struct state *out);
/* Never grows the file, so that it needs no room on a full disk. Complains now and then when it
 * cannot be written. */
void state_write(struct state_file *s, const struct state *is, const char *name);
void state_sync(const struct state_file *s);
/* Makes it anew at its path when somebody has deleted or moved it. True when it did. */
bool state_restore(struct state_file *s);
void state_close(struct state_file *s);

/* A lock that no second process gets, until the descriptor is closed. 0, or an errno. */
WARN_UNUSED int lock_file(int fd);

#endif
