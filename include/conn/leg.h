/* One side of a connection: a socket, its queued bytes and, once TLS has begun, its session.
 * Moves bytes between the socket and the queues; never blocks, never frees the connection. */
#ifndef CONN_LEG_H
#define CONN_LEG_H

#include "base/stream.h"
#include "tls/session.h"

#include <ev.h>

/* A TLS session with a proxy on the way, which carries the leg's bytes. */
struct tunnel {
    struct stream wire;
    struct session *tls;
    struct flight_offer offer; /* the session's */
    struct peer_check check;   /* of the proxy; the session's */
    bool open;                 /* its handshake is done */
    bool closed;               /* our side has ended */
};

struct leg {
    int fd; /* -1: not open */
    ev_io io;
    struct stream stream;  /* end_of_data: the peer has shut down its side of the TCP connection */
    struct tunnel *tunnel; /* NULL: the stream's bytes are those of the socket */
    struct session *tls;   /* reads and writes the stream */
    size_t taken;          /* bytes read from the socket in this run of the connection */
    bool readable;         /* there may be bytes: the socket said so, or the last read was full */
    bool write_failed;     /* accepts no more bytes; the peer's can still be read */
    bool broken;           /* reset, or out of memory: nothing more goes either way */
    bool ended;            /* our side of the TCP connection is shut down */
};

/* About how many bytes a connection reads from a leg in one run, before other connections have
 * their turn. */
enum { LEG_SHARE = 64 * 1024 };

/* Takes over a connected socket. expects_bytes: some may have come already. */
void leg_open(struct leg *l, int fd, void (*on_event)(struct ev_loop *, ev_io *, int), void *owner,
              bool expects_bytes);
/* Reads once, as much as there is room for, if the socket may have bytes. Returns the number of new
 * bytes; 0 also at the end, and when the share is used up. */
WARN_UNUSED size_t leg_fill(struct leg *l);
/* The same for the bytes of the tunnel's own session, during its handshake. */
WARN_UNUSED size_t leg_fill_tunnel(struct leg *l);
/* How many bytes are queued for the socket. */
size_t leg_unsent(const struct leg *l);
/* Writes what is queued, as much as the socket accepts. */
void leg_flush(struct leg *l);
/* Acknowledges received bytes at once (tcp(7), TCP_QUICKACK), for a peer whose next small segment
 * waits for that (RFC 1122 section 4.2.3.4) while we have nothing to send. */
void leg_acknowledge(const struct leg *l);
/* Shuts down our side of the TCP connection once all is written. */
void leg_end(struct leg *l);
void leg_close(struct leg *l, struct ev_loop *loop);
/* Waits for these events (0: none). May keep waiting for reads until one comes: a mere change of
 * state then costs no system call. */
void leg_poll(struct leg *l, struct ev_loop *loop, int events);

#endif
