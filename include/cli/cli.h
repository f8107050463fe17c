/* The command line: one function a subcommand. Each gets its own arguments (argv[0] is the
 * subcommand's name), prints, and returns the exit status. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/text.h"

enum cli_status { CLI_DONE = 0, CLI_NO = 1, CLI_CANNOT = 2, CLI_USAGE = 64 };

int cli_run(int argc, char **argv);
int cli_config(int argc, char **argv);
int cli_ca(int argc, char **argv);
int cli_policy(int argc, char **argv);
int cli_log(int argc, char **argv);

/* What one subcommand's options may be: a value a letter, NULL where it was not given. */
struct cli_options {
    const char *config;   /* -c, --config */
    const char *key_type; /* --key-type */
    const char *out;      /* --out */
    const char *key;      /* --key */
    const char *since, *until;
    bool json, html, refused;
    bool follow;  /* -f, --follow */
    char **files; /* what is no option */
    size_t file_count;
};

/* Reads the options of `allowed` (letters of: c config, k key-type, o out, y key, s since,
 * u until, j json, w html, f follow, r refused; F: one file or more, 1: one file or none). -1: go
 * on; else the exit status, after help or an error was printed. */
int cli_parse(int argc, char **argv, const char *allowed, const char *help,
              struct cli_options *out);

/* Prints each line of errors to standard error as "suitegate: ...". */
void cli_print_errors(const struct text *errors);
/* Writes text to standard output; CLI_CANNOT when that fails. */
int cli_print(const struct text *text, int status);

#endif
