#include "config/config.h"
#include "cli/cli.h"
#include "runtime/loaded_config.h"

#include <unistd.h>

static const char help[] =
    "Usage: suitegate config [-c FILE]\n\n"
    "Checks the configuration with every file it names, and prints what is in effect.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 it is good, 1 it is not, 64 wrong usage.\n";

int cli_config(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, help};
    struct cli_options options;
    struct text errors = {0}, out = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    struct loaded_config *loaded = loaded_config_read(
        options.config ? options.config : SUITEGATE_CONFIG, geteuid() == 0, NULL, &errors);
    if (loaded) {
        loaded_config_warnings(loaded, time(NULL), &errors);
        if (errors.size) cli_print_errors(&errors);
        config_print(loaded->config, &out);
        status = cli_print(&out, CLI_DONE);
    } else {
        cli_print_errors(&errors);
        status = CLI_NO;
    }
    loaded_config_release(loaded);
    text_fini(&errors);
    text_fini(&out);
    return status;
}
