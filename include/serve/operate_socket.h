/* The listening socket of [operate]: for an address of the Internet, or a Unix socket, whose folder
 * says who may use it. */
#ifndef SERVE_OPERATE_SOCKET_H
#define SERVE_OPERATE_SOCKET_H

#include "base/text.h"
#include "config/config.h"

#include <sys/types.h>

/* The caller's. A Unix socket that nobody listens to any more is replaced. -1 with a sentence in
 * errors. */
WARN_UNUSED int operate_socket_open(const struct endpoint *at, struct text *errors);
/* Which file a Unix socket has; zeros: none. */
struct socket_file {
    dev_t device;
    ino_t inode;
};
struct socket_file operate_socket_file(const struct endpoint *at);
/* Takes it away, unless it is another one by now, or this process may not. */
void operate_socket_remove(int fd, const struct socket_file *file);
/* Does this socket listen there? file: as it was; NULL: not known. */
bool operate_socket_is(int fd, const struct endpoint *at, const struct socket_file *file);

#endif
