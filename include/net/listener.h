/* Listening sockets. A descriptor belongs to the caller. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "base/addr.h"

#include <stdbool.h>

/* A non-blocking socket that shares its address with the other workers' sockets
 * (SO_REUSEPORT), or -1 with errno. */
WARN_UNUSED int listener_open(const struct addr *address);
/* One that another process has opened, made as listener_open() makes it. False with errno. */
WARN_UNUSED bool listener_adopt(int listener);
/* 0 if no process listens there yet, else an errno: SO_REUSEPORT alone would share the address with
 * another process of the same user. */
WARN_UNUSED int listener_probe(const struct addr *address);

/* Lets the listening socket take connections to addresses of other machines, which the TPROXY
 * target of a firewall leads to it. False with errno; EPERM: that needs CAP_NET_RAW or
 * CAP_NET_ADMIN. */
WARN_UNUSED bool listener_take_any(int listener, const struct addr *address);

/* Unsent bytes that the kernel may hold per socket: bounds the cost of a slow peer. */
enum { LISTENER_UNSENT = 256 * 1024 };

enum accept_status { ACCEPT_OK, ACCEPT_NONE, ACCEPT_RETRY, ACCEPT_NO_DESCRIPTORS };
/* ACCEPT_NO_DESCRIPTORS: also if the socket does not listen: accepting pauses. ACCEPT_OK: *fd is
 * non-blocking with TCP_NODELAY. */
WARN_UNUSED enum accept_status listener_accept(int listener, int *fd, struct addr *peer);

/* Where the client of an accepted connection wanted to go, before the firewall of this machine led
 * it here. redirected: by the target REDIRECT, which changed the address; else by TPROXY. The
 * address is the listener's own if nothing led it here; of length 0 if it is not known. */
struct addr listener_original(int fd, bool redirected);

/* Does this address lead to one of these listeners on this machine? */
bool listener_is_own(const struct addr *target, const struct addr *listeners, size_t n);

#endif
