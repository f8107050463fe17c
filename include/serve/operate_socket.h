/* The listening socket of [operate]: for an address of the Internet, or a Unix socket, whose folder
 * says who may use it. */
#ifndef SERVE_OPERATE_SOCKET_H
#define SERVE_OPERATE_SOCKET_H

#include "base/text.h"
#include "config/config.h"

/* The caller's. A Unix socket that nobody listens to any more is replaced. -1 with a sentence in
 * errors. */
WARN_UNUSED int operate_socket_open(const struct endpoint *at, struct text *errors);
/* Is this socket there? */
bool operate_socket_is(int fd, const struct endpoint *at);

#endif
