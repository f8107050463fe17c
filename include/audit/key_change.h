/* The log key changes every day, and the old one is wiped: who steals a key signs nothing earlier.
 * A checkpoint of the old key announces the next one; the verification follows from key to key. The
 * next key lies beside the old one (its name ending in .next) until the announcement is in the log;
 * then it takes the old one's place. */
#ifndef AUDIT_KEY_CHANGE_H
#define AUDIT_KEY_CHANGE_H

#include "audit/checkpoint.h"
#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

enum { KEY_CHANGE_S = 86400 };

/* Embedded in its owner; zeroed: never. */
struct key_change {
    const char *path; /* of the key; borrowed. NULL: it never changes */
    struct log_key next;
    bool announced; /* next is in use: what comes after the announcement is signed with it */
    int64_t due_ns; /* steady; 0: never */
};

/* The file's age counts. */
void key_change_begin(struct key_change *c, const char *path);
/* Makes the next key; the caller announces it. False, with a message now and then: later. */
WARN_UNUSED bool key_change_prepare(struct key_change *c);
/* The announcement is in the log, and on the disk: `key` becomes the next one. */
void key_change_commit(struct key_change *c, struct log_key *key);
/* It is not in the log, and will not be. */
void key_change_abandon(struct key_change *c);

/* At a start, before the key is read: a process may have ended in between. announced: is this key,
 * by its id, announced at the log's end? False with a sentence in errors. */
WARN_UNUSED bool key_change_settle(const char *path, bool (*announced)(void *arg, const char *id),
                                   void *arg, struct text *errors);

#endif
