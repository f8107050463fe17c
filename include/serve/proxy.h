/* The proxy: the process of the workers, which read peers' bytes. It serves what its keeper
 * (serve/keeper.h) gives it: listening sockets, the files of a configuration, sockets to the clerk
 * for its records. It ends when the keeper says so, or is gone. */
#ifndef SERVE_PROXY_H
#define SERVE_PROXY_H

#include "base/attr.h"

#include <stdbool.h>

/* Until it ends. post: the end that its keeper does not have; taken. False when records were lost.
 * The TLS library must be started. */
bool proxy_run(int post);

/* Gives up all system calls and files that a proxy does not need, for good: it starts no program
 * and no process, and opens no file but /dev/urandom and the system's libraries. Warns of what this
 * kernel cannot do. */
void proxy_confine(void);

#endif
