/* The process: loads, listens, reloads on SIGHUP, drains on SIGTERM. */
#ifndef PROXY_SERVER_H
#define PROXY_SERVER_H

#include "base/attr.h"
#include "base/text.h"

/* Runs until a signal ends it. 0 when it ended as asked; 2 with sentences in errors when it
 * could not start. The TLS library has been started. */
WARN_UNUSED int server_run(const char *config_file, struct text *errors);

#endif
