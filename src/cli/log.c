#include "cli/log.h"
#include "audit/logfile.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: suitegate log key [-c FILE]\n"
    "       suitegate log verify [--key FILE] [--json] FILE...\n"
    "       suitegate log report [--since T] [--until T] [--json | --html] FILE...\n"
    "       suitegate log tail [-c FILE] [-f] [--refused] [FILE]\n\n"
    "key prints the public half of the key that signs the audit log; verify says whether a log\n"
    "is complete and unaltered; report sums it up; tail shows it a line a record.\n"
    "Try: suitegate log verify --help\n";

static const char key_help[] =
    "Usage: suitegate log key [-c FILE]\n\n"
    "Prints the public half of the log key and its id. Keep both where nobody who can write\n"
    "the log can change them: suitegate log verify --key takes this output. The key changes\n"
    "every day; verify follows from the one that it is given.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 printed, 2 there is no key, 64 wrong usage.\n";

struct config *cli_log_config(const char *file)
{
    struct text errors = {0};
    struct config *config = config_load(file ? file : SUITEGATE_CONFIG, &errors);
    if (!config) cli_print_errors(&errors);
    text_fini(&errors);
    return config;
}

static int print_key(const struct log_key *key)
{
    struct text out = {0};
    text_printf(&out, "Key id: %s\n", key->id);
    int status = CLI_CANNOT;
    if (pem_add_public_key(key_spki(&key->key), &out)) status = cli_print(&out, CLI_DONE);
    text_fini(&out);
    return status;
}

int cli_log_key(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, key_help};
    struct cli_options options;
    struct text errors = {0};
    struct log_key key;
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    struct config *config = cli_log_config(options.config);
    if (!config) return CLI_CANNOT;
    char *path = logfile_key_path(&config->audit);
    status = CLI_CANNOT;
    if (!path)
        text_add(&errors, "the log has no key: [audit] file is - and [audit] key is not set\n");
    else if (log_key_load(path, false, &key, &errors)) {
        status = print_key(&key);
        log_key_fini(&key);
    }
    if (errors.size) cli_print_errors(&errors);
    free(path);
    config_free(config);
    text_fini(&errors);
    return status;
}

int cli_log(int argc, char **argv)
{
    static const struct cli_command commands[] = {{"key", cli_log_key},
                                                  {"verify", cli_log_verify},
                                                  {"report", cli_log_report},
                                                  {"tail", cli_log_tail}};
    return cli_dispatch(commands, COUNT_OF(commands), help, argc, argv);
}
