/* The command line: one function a subcommand. Each gets its own arguments (argv[0] is the
 * subcommand's name), prints, and returns the exit status. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/text.h"

enum cli_status { CLI_DONE = 0, CLI_NO = 1, CLI_CANNOT = 2, CLI_FINDINGS = 3, CLI_USAGE = 64 };

int cli_run(int argc, char **argv);
int cli_config(int argc, char **argv);
int cli_ca(int argc, char **argv);
int cli_policy(int argc, char **argv);
int cli_log(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_exec(int argc, char **argv);

enum { CLI_CAS = 16 };

/* What one subcommand's options may be: a value a letter, NULL where it was not given. */
struct cli_options {
    const char *config;   /* -c, --config */
    const char *key_type; /* --key-type */
    const char *out;      /* --out */
    const char *key;      /* --key */
    const char *since, *until;
    const char *cas[CLI_CAS]; /* --ca, which repeats */
    size_t ca_count;
    const char *name, *timeout, *starttls; /* --name, --timeout, --starttls */
    const char *list;                      /* -f, --file */
    const char *report;                    /* --report */
    bool json, html, refused;
    bool follow;  /* -f, --follow */
    char **files; /* what is no option */
    size_t file_count;
};

/* Reads the options of `allowed` (letters of: c config, k key-type, o out, y key, s since,
 * u until, j json, w html, f follow, r refused, a ca, n name, t timeout, S starttls, l file,
 * p report; F: one file or more, 1: one file or none, *: whatever follows, +: options end at the
 * first word that is none). -1: go on; else the exit status, after help or an error was printed. */
int cli_parse(int argc, char **argv, const char *allowed, const char *help,
              struct cli_options *out);

/* The roots that servers are judged by: the system's, those of the environment's SSL_CERT_FILE, and
 * --ca. False with a sentence in errors when one cannot be read. */
WARN_UNUSED bool cli_anchors(const struct cli_options *options, struct text *out,
                             struct text *errors);

/* Prints each line of errors to standard error as "suitegate: ...". */
void cli_print_errors(const struct text *errors);
/* Writes text to standard output; CLI_CANNOT when that fails. */
int cli_print(const struct text *text, int status);

#endif
