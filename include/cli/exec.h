/* The parts of suitegate exec: its folder with a throw-away CA and the proxy that runs in a
 * process of its own; the environment of COMMAND; the report. */
#ifndef CLI_EXEC_H
#define CLI_EXEC_H

#include "base/text.h"
#include "cli/cli.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { EXEC_PATH = 4096 };

/* A folder that only this user can read, and the process that serves from it. */
struct exec_proxy {
    char folder[EXEC_PATH]; /* "": none */
    pid_t process;          /* 0: none */
    uint16_t port;          /* on 127.0.0.1 */
};

/* The folder with CA, bundles and configuration, and the proxy, listening. False with sentences
 * in errors; exec_proxy_end() is due all the same. */
WARN_UNUSED bool exec_proxy_start(struct exec_proxy *p, const struct cli_options *options,
                                  struct text *errors);
/* Lets it write its last record, and waits. False when it ended otherwise than asked. */
bool exec_proxy_stop(struct exec_proxy *p);
/* After that went wrong: what the proxy has said. */
void exec_proxy_complain(const struct exec_proxy *p, struct text *errors);
/* Removes the folder with all that is in it. */
void exec_proxy_end(struct exec_proxy *p);
/* A file's path in the folder. */
void exec_proxy_path(const struct exec_proxy *p, const char *name, char out[EXEC_PATH]);

/* Sets the environment of this process, which is about to become COMMAND. False when out of
 * memory. */
WARN_UNUSED bool exec_environment(const struct exec_proxy *p);

/* What the audit log of the run says. */
struct exec_summary {
    unsigned long connections, refused;
};
/* status: of COMMAND as a shell would have it. Appends the report, as text or JSON. False with a
 * sentence in errors when the log cannot be read. */
WARN_UNUSED bool exec_report(const struct exec_proxy *p, int status, bool json,
                             struct exec_summary *summary, struct text *out, struct text *errors);
/* The exit status of all: 1 refused, else COMMAND's, else 3 no connection, else 0. */
int exec_status(const struct exec_summary *summary, int status);

#endif
