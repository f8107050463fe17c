/* The parts of suitegate exec: a temporary directory with a CA, and a process that runs the proxy;
 * the environment of COMMAND; the report. */
#ifndef CLI_EXEC_H
#define CLI_EXEC_H

#include "base/text.h"
#include "cli/cli.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { EXEC_PATH = 4096 };

/* A directory that only this user can read, and the proxy's process. */
struct exec_proxy {
    char folder[EXEC_PATH]; /* "": none */
    pid_t process;          /* 0: none */
    uint16_t port;          /* on 127.0.0.1 */
};

/* Creates the directory with CA, bundles and configuration, and starts the proxy, which listens
 * then. False with sentences in errors; call exec_proxy_end() in any case. */
WARN_UNUSED bool exec_proxy_start(struct exec_proxy *p, const struct cli_options *options,
                                  struct text *errors);
/* Stops it after its last record, and waits. False when it failed. */
bool exec_proxy_stop(struct exec_proxy *p);
/* After a failure: appends the proxy's own messages. */
void exec_proxy_complain(const struct exec_proxy *p, struct text *errors);
/* Removes the directory with its files. */
void exec_proxy_end(struct exec_proxy *p);
/* A file's path in the directory. */
void exec_proxy_path(const struct exec_proxy *p, const char *name, char out[EXEC_PATH]);

/* Sets the environment of this process, before it executes COMMAND. False when out of memory. */
WARN_UNUSED bool exec_environment(const struct exec_proxy *p);

/* Counts from the run's audit log. */
struct exec_summary {
    unsigned long connections, refused;
};
/* status: of COMMAND, as in a shell. Appends the report, as text or JSON. False with a sentence in
 * errors when the log cannot be read. */
WARN_UNUSED bool exec_report(const struct exec_proxy *p, int status, bool json,
                             struct exec_summary *summary, struct text *out, struct text *errors);
/* The exit status of exec: 1 refused, else COMMAND's, else 3 no connection, else 0. */
int exec_status(const struct exec_summary *summary, int status);

#endif
