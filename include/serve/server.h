/* The process: loads, listens, reloads on SIGHUP, drains on SIGTERM. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "base/addr.h"
#include "base/attr.h"
#include "base/text.h"

/* Called once when all listeners are open, with their addresses in the configuration's order,
 * instead of printing them to standard output. */
struct server_ready {
    void (*report)(void *arg, const struct addr *addresses, size_t n);
    void *arg;
};

/* Runs until a signal ends it. False with sentences in errors when it could not start; false also
 * when records could not be written. ready may be NULL. The TLS library must be started. */
WARN_UNUSED bool server_run(const char *config_file, const struct server_ready *ready,
                            struct text *errors);

#endif
