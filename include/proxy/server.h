/* The process: loads, listens, reloads on SIGHUP, drains on SIGTERM. */
#ifndef PROXY_SERVER_H
#define PROXY_SERVER_H

#include "base/addr.h"
#include "base/attr.h"
#include "base/text.h"

/* Called once when all listeners stand, instead of telling standard output: their addresses, in
 * the order of the configuration. */
struct server_ready {
    void (*tell)(void *arg, const struct addr *addresses, size_t n);
    void *arg;
};

/* Runs until a signal ends it. 0 when it ended as asked; 2 with sentences in errors when it
 * could not start. ready may be NULL. The TLS library has been started. */
WARN_UNUSED int server_run(const char *config_file, const struct server_ready *ready,
                           struct text *errors);

#endif
