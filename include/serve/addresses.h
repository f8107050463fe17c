/* The listeners' addresses before any socket of theirs is opened: whether they are to be had, and
 * which port the kernel gives those that take any. running is the configuration that is in use,
 * or NULL. */
#ifndef SERVE_ADDRESSES_H
#define SERVE_ADDRESSES_H

#include "runtime/loaded_config.h"

/* Sockets that hold the chosen ports until every worker has its own there. */
struct addresses_reserved {
    int *fds;
    size_t n;
};

/* A listener that the running configuration does not have must not be somebody else's: false,
 * with a sentence each in errors. */
WARN_UNUSED bool addresses_probe(const struct loaded_config *loaded,
                                 const struct loaded_config *running, struct text *errors);
/* Puts a port in place of every 0 in loaded->listener_addresses; a listener that runs under the
 * same name keeps its port. False with a sentence in errors. Ended with addresses_release(). */
WARN_UNUSED bool addresses_reserve(struct loaded_config *loaded,
                                   const struct loaded_config *running,
                                   struct addresses_reserved *out, struct text *errors);
void addresses_release(struct addresses_reserved *r);

#endif
