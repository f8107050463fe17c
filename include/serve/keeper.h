/* The keeper: the first process. It reads the configuration and keeps the listening sockets, and
 * starts the two others, again if they die: the clerk (audit/clerk.h), which writes the log, and
 * the proxy (serve/proxy.h), which serves. It reloads on SIGHUP and drains on SIGTERM. It reads no
 * peer's bytes. */
#ifndef SERVE_KEEPER_H
#define SERVE_KEEPER_H

#include "base/addr.h"
#include "base/attr.h"
#include "base/text.h"

/* Called once when the proxy serves, with the listeners' addresses in the configuration's order,
 * instead of printing them to standard output. */
struct keeper_ready {
    void (*report)(void *arg, const struct addr *addresses, size_t n);
    void *arg;
};

/* Runs until a signal ends it. False with sentences in errors when it could not start; false also
 * when records could not be written. ready may be NULL. The TLS library must be started. Afterwards
 * the calling thread has the keeper's limits: what needs files is an errand (base/errand.h). */
WARN_UNUSED bool keeper_run(const char *config_file, const struct keeper_ready *ready,
                            struct text *errors);

#endif
