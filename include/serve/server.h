/* The process: loads, listens, reloads on SIGHUP, drains on SIGTERM. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "base/addr.h"
#include "base/attr.h"
#include "base/text.h"

/* Called once when all listeners stand, instead of telling standard output: their addresses, in
 * the order of the configuration. */
struct server_ready {
    void (*tell)(void *arg, const struct addr *addresses, size_t n);
    void *arg;
};

/* Runs until a signal ends it. False with sentences in errors when it could not start; false also
 * when records could not be written. ready may be NULL. The TLS library has been started. */
WARN_UNUSED bool server_run(const char *config_file, const struct server_ready *ready,
                            struct text *errors);

#endif
