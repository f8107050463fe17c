/* suitegate log: one function per subcommand, as in cli/cli.h, which has cli_log() itself. */
#ifndef CLI_LOG_H
#define CLI_LOG_H

#include "cli/cli.h"

int cli_log_key(int argc, char **argv);
int cli_log_verify(int argc, char **argv);
int cli_log_report(int argc, char **argv);
int cli_log_tail(int argc, char **argv);

/* The configuration, for its audit section; NULL after printing an error. */
struct config;
WARN_UNUSED struct config *cli_log_config(const char *file);

#endif
