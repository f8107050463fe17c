/* The state file: names the log's last line, for the next process and for verify. It survives
 * rotations and kills, shows when the log's end was cut off, and its lock excludes a second
 * process. Knows nothing of the log's own file. */
#ifndef AUDIT_STATE_H
#define AUDIT_STATE_H

#include "audit/chain.h"

#include <stdbool.h>
#include <sys/types.h>

struct state_file {
    char *path;
    int fd; /* -1: none */
    struct text scratch;
};

/* The file's content. */
struct state {
    struct chain last;
    ino_t inode; /* of the log's file */
};

/* Creates it if missing, and locks it. Takes the path, also on failure. 0, or an errno with a
 * sentence in errors: EWOULDBLOCK when another process has it. */
WARN_UNUSED int state_open(struct state_file *s, char *path, struct text *errors);
/* name: of the log it must belong to; NULL: any. False when it does not, or is unreadable. */
WARN_UNUSED bool state_read(int fd, const char *name, struct state *out);
/* Never grows the file, so that it works on a full disk. Warns from time to time when it fails. */
void state_write(struct state_file *s, const struct state *is, const char *name);
/* Appends the whole file as it is now. False when it cannot be read. */
WARN_UNUSED bool state_content(const struct state_file *s, struct text *out);
void state_sync(const struct state_file *s);
/* Creates it again if it was deleted or moved. True when it did. */
bool state_restore(struct state_file *s);
void state_close(struct state_file *s);

/* Takes an exclusive lock, until the descriptor is closed. 0, or an errno. */
WARN_UNUSED int lock_file(int fd);

#endif
