/* suitegate log: one function a subcommand, as in cli/cli.h, where cli_log() itself stands. */
#ifndef CLI_LOG_H
#define CLI_LOG_H

#include "cli/cli.h"

int cli_log_key(int argc, char **argv);
int cli_log_verify(int argc, char **argv);
int cli_log_report(int argc, char **argv);
int cli_log_tail(int argc, char **argv);

/* The configured audit log: its audit section, or NULL after an error was printed. */
struct config;
WARN_UNUSED struct config *cli_log_config(const char *file);

#endif
