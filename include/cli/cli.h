/* The command line: one function per command. Each gets its own arguments (argv[0] is its whole
 * name, such as "suitegate log tail"), prints, and returns the exit status. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

struct config; /* config/config.h */

enum cli_status { CLI_DONE = 0, CLI_NO = 1, CLI_CANNOT = 2, CLI_FINDINGS = 3, CLI_USAGE = 64 };

int cli_run(int argc, char **argv);
int cli_upgrade(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_stop(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_clerk(int argc, char **argv);
int cli_proxy(int argc, char **argv);
int cli_config(int argc, char **argv);
int cli_ca(int argc, char **argv);
int cli_ca_show(int argc, char **argv);
int cli_ca_crl(int argc, char **argv);
int cli_ca_renew(int argc, char **argv);
int cli_ca_install(int argc, char **argv);
int cli_ca_uninstall(int argc, char **argv);
int cli_tickets(int argc, char **argv);
int cli_policy(int argc, char **argv);
int cli_log(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_exec(int argc, char **argv);

struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv);
};

/* Runs the command that argv[1] names; prints help, or an error if there is none. */
int cli_dispatch(const struct cli_command *commands, size_t count, const char *help, int argc,
                 char **argv);

/* The values of an option that repeats. */
enum { CLI_LIST_LIMIT = 16 };
struct cli_list {
    const char *items[CLI_LIST_LIMIT];
    size_t n;
};

/* The options as bits of a set. */
enum cli_option {
#define CLI_OPTION(name, ...) CLI_OPTION_##name,
#include "cli/options.def"
#undef CLI_OPTION
    CLI_OPTIONS
};
#define CLI_WITH(name) (1u << CLI_OPTION_##name)

/* What may follow the options. */
enum cli_operands {
    CLI_NO_OPERANDS,
    CLI_FILE_OR_NONE,
    CLI_FILES,    /* one or more */
    CLI_OPERANDS, /* any number */
    CLI_COMMAND   /* a command with its own options: ours end at the first word */
};

struct cli_syntax {
    unsigned options; /* a set of CLI_WITH() */
    enum cli_operands operands;
    const char *help;
};

/* The options given; NULL or false for the others. */
struct cli_options {
    const char *config, *key_type, *out, *key, *since, *until;
    struct cli_list cas, permits;
    const char *name, *timeout, *starttls, *list, *report;
    bool json, html, follow, refused;
    char **operands;
    size_t operand_count;
};

/* -1: go on; else the exit status, after printing help or an error. */
int cli_parse(int argc, char **argv, const struct cli_syntax *syntax, struct cli_options *out);

/* The roots for judging servers: the system's, those of SSL_CERT_FILE in the environment, and --ca.
 * False with a sentence in errors when one cannot be read. */
WARN_UNUSED bool cli_anchors(const struct cli_options *options, struct text *out,
                             struct text *errors);

/* The configuration that -c names, or the default one. NULL after printing what is wrong. */
WARN_UNUSED struct config *cli_config_load(const struct cli_options *options);
/* Prints each line of errors to standard error as "suitegate: ...". */
void cli_print_errors(const struct text *errors);
/* Writes text to standard output; CLI_CANNOT when that fails. */
int cli_print(const struct text *text, int status);

#endif
