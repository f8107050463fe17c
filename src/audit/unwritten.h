/* The records of a recorder that the clerk has not written yet, in their order. When there is no
 * memory, they have some of their own. Private to audit/: recorder.c. */
#ifndef AUDIT_UNWRITTEN_H
#define AUDIT_UNWRITTEN_H

#include "recording.h"
#include "spare.h"

#include "audit/frame.h"

#include <sys/uio.h>

struct entry {
    struct entry *next;
    uint64_t number;
    struct text line;
    struct recorder_reply reply; /* answer NULL: no caller waits */
    uint8_t header[FRAME_HEADER];
};

struct unwritten {
    struct recording *shared;
    struct spare spare; /* entries and their lines, while there is no memory */
    uint64_t last;      /* number */
    struct entry *head, **tail;
    struct entry *unsent; /* the first one that is not sent as a whole */
    size_t sent;          /* bytes of it */
};

/* False when out of memory. */
WARN_UNUSED bool unwritten_init(struct unwritten *u, struct recording *shared);
void unwritten_fini(struct unwritten *u);
/* Appends what render() makes of `what`. trim: it may have to wait long, and uses less memory.
 * NULL: there is no memory at all. */
struct entry *unwritten_add(struct unwritten *u, audit_renderer *render, const void *what,
                            const struct recorder_reply *reply, bool trim);
void unwritten_drop_first(struct unwritten *u);
/* The caller waits no more. */
void entry_answer(struct entry *e, bool written);

/* For the socket: the next bytes to send, in at most 2 * UNWRITTEN_BATCH parts; how many parts. */
enum { UNWRITTEN_BATCH = 32 };
size_t unwritten_gather(const struct unwritten *u, struct iovec parts[2 * UNWRITTEN_BATCH]);
void unwritten_note_sent(struct unwritten *u, size_t n);
/* All that is not written is to be sent again. */
void unwritten_begin_again(struct unwritten *u);

#endif
