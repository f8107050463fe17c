/* Checks the listeners' addresses before their sockets are opened, and has the kernel choose ports
 * for those with port 0. running: the configuration in use, or NULL. */
#ifndef SERVE_ADDRESSES_H
#define SERVE_ADDRESSES_H

#include "runtime/loaded_config.h"

/* Sockets that hold the chosen ports until every worker has its own there. */
struct addresses_reserved {
    int *fds;
    size_t n;
};

/* Is each address free that the running configuration does not have? False with one sentence each
 * in errors. */
WARN_UNUSED bool addresses_probe(const struct loaded_config *loaded,
                                 const struct loaded_config *running, struct text *errors);
/* Replaces every port 0 in loaded->listener_addresses; a running listener with the same name keeps
 * its port. False with a sentence in errors. Ended with addresses_release(), also on failure. */
WARN_UNUSED bool addresses_reserve(struct loaded_config *loaded,
                                   const struct loaded_config *running,
                                   struct addresses_reserved *out, struct text *errors);
void addresses_release(struct addresses_reserved *r);

#endif
