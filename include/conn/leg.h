/* One side of a connection: a socket, its queued bytes and, once TLS has begun, its session.
 * Moves bytes between the socket and the queues; never blocks, never frees the connection. */
#ifndef CONN_LEG_H
#define CONN_LEG_H

#include "base/stream.h"
#include "tls/session.h"

#include <ev.h>

struct leg {
    int fd; /* -1: not open */
    ev_io io;
    struct stream stream; /* end_of_data: the peer has ended its side of the TCP connection */
    struct session *tls;  /* reads and writes the stream */
    size_t taken;         /* bytes read from the socket in this run of the connection */
    bool readable; /* there may be bytes: the socket said so, or the last read took all it could */
    bool write_failed; /* takes no more bytes; what it has sent can still be read */
    bool broken;       /* reset, or out of memory: nothing more goes either way */
    bool ended;        /* our side of the TCP connection is shut down */
};

/* A connection reads so much from a leg in one run, give or take a read; then it is the others'
 * turn, and the socket is asked again. */
enum { LEG_SHARE = 64 * 1024 };

/* Takes over a connected socket. expects_bytes: they may have come already. */
void leg_open(struct leg *l, int fd, void (*on_event)(struct ev_loop *, ev_io *, int), void *owner,
              bool expects_bytes);
/* Reads once, as much as there is room for, where the socket may have bytes. The number of
 * new bytes; 0 also at the end, and when the share is used up. */
WARN_UNUSED size_t leg_fill(struct leg *l);
/* Writes what is queued, as far as the socket takes it. */
void leg_flush(struct leg *l);
/* Acknowledges at once what has come (tcp(7), TCP_QUICKACK): for a peer whose next small segment
 * waits for that (RFC 1122 section 4.2.3.4) while we have nothing to send. */
void leg_acknowledge(const struct leg *l);
/* Shuts our side of the TCP connection down, once all is written. */
void leg_end(struct leg *l);
void leg_close(struct leg *l, struct ev_loop *loop);
/* Makes the watcher wait for these events (0: none). Reading may stay armed beyond that, as
 * long as nothing comes: a connection that only changes its state costs no system call. */
void leg_poll(struct leg *l, struct ev_loop *loop, int events);

#endif
