/* The listening sockets of a configuration. The keeper opens them and keeps them as long as an
 * address is configured: a proxy only gets copies, so that connections wait, and are not refused,
 * while none serves. */
#ifndef SERVE_SOCKETS_H
#define SERVE_SOCKETS_H

#include "runtime/loaded_config.h"
#include "serve/inherited.h"
#include "serve/operate_socket.h"

/* One address. Each worker has a socket of its own (SO_REUSEPORT); a publish listener has one. */
struct listening {
    struct addr address;
    unsigned n;
    unsigned references;     /* configurations that have it */
    bool kept;               /* a service manager or another keeper has it open, too */
    struct socket_file file; /* of the Unix socket of [operate] */
    int fds[];
};

/* One element per listener of a configuration. operate: of [operate], which has one socket; its
 * address is not set. NULL: none. */
struct sockets {
    struct listening **items;
    size_t n;
    struct listening *operate;
};

/* What is open already: of the running configuration, or when the process was started. NULL: none.
 */
struct sockets_there {
    const struct sockets *running;
    const struct loaded_config *running_config;
    struct inherited *inherited;
};

/* Sets the addresses in loaded, where a port 0 becomes the one that was chosen. False with
 * sentences in errors, and nothing to close. */
WARN_UNUSED bool sockets_open(struct sockets *s, struct loaded_config *loaded,
                              const struct sockets_there *there, struct text *errors);
/* A proxy that had copies has died, and may have changed them: those that no longer listen are
 * opened again, with a message. */
void sockets_mend(struct sockets *s, const struct loaded_config *loaded);
/* Those that no other configuration has. */
void sockets_close(struct sockets *s);

#endif
