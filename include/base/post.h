/* Messages between processes of this program on one machine, over a SOCK_SEQPACKET pair: a text,
 * with at most one descriptor. */
#ifndef BASE_POST_H
#define BASE_POST_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>

enum {
    POST_LIMIT = 131072, /* bytes of a text, which is not empty */
    POST_WAIT_S = 10
};

/* Two ends, closed on exec; calls for the first one wait at most POST_WAIT_S (EAGAIN). False with
 * errno. */
WARN_UNUSED bool post_pair(int ends[2]);
/* How long calls for this end wait. */
void post_set_wait(int end, int seconds);
/* fd: -1 for none; it stays the caller's. False with errno. */
WARN_UNUSED bool post_send(int end, const struct text *message, int fd);
/* Replaces the text. fd NULL: descriptors are not wanted, and none is received. *fd: the caller's,
 * or -1, also if the sender gave one and there is no room for it here. False with errno when there
 * is none; errno 0: the other process has closed its end. */
WARN_UNUSED bool post_receive(int end, struct text *message, int *fd);

/* A text of fields: each a kind or a string, ended by a NUL. */
void post_put(struct text *message, const char *field);
/* The next field, or NULL at the end; *at: where to go on, first the text's beginning. */
WARN_UNUSED const char *post_next(const struct text *message, size_t *at);

#endif
