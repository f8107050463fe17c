/* Descriptors that this process was started with: listening sockets of a service manager
 * (sd_listen_fds(3)), or of the keeper that it follows (serve/upgrade.h), which also gives its post
 * and its control socket. */
#ifndef SERVE_INHERITED_H
#define SERVE_INHERITED_H

#include "base/addr.h"
#include "base/attr.h"
#include "base/text.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/* Names that no listener has. A name behind KEPT: a service manager has the socket open, too. */
#define INHERITED_KEPT "+"
#define INHERITED_POST "=post"
#define INHERITED_CONTROL "=control"
#define INHERITED_OPERATE "=operate"

/* -1: none, or taken. */
struct inherited_socket {
    int fd;
    char *name;
    bool kept;
    struct addr address;
};

struct inherited {
    struct inherited_socket *sockets;
    size_t n;
    int post, control, operate;
    bool managed; /* from a service manager, not from a keeper */
};

/* Takes them, and the variables that say so out of the environment. False with
 * sentences in errors, when out of memory or for a descriptor that is no listening TCP socket;
 * inherited_fini() all the same. */
WARN_UNUSED bool inherited_take(struct inherited *i, struct text *errors);
/* How many are for a listener with this address and name. With port 0 the name counts; the name of
 * systemd:NAME if they are from it. */
size_t inherited_count(const struct inherited *i, const struct listen_address *where,
                       const char *name);
/* The next one of these, the caller's, ready for use. -1: there is none. *kept: see above. */
WARN_UNUSED int inherited_next(struct inherited *i, const struct listen_address *where,
                               const char *name, bool *kept);
/* Closes what was not taken. warn: with a warning for each address. */
void inherited_fini(struct inherited *i, bool warn);

#endif
