#include "config/config.h"
#include "cli/cli.h"
#include "proxy/site.h"

#include <unistd.h>

static const char help[] =
    "Usage: suitegate config [-c FILE]\n\n"
    "Checks the configuration with every file it names, and prints what is in effect.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 it is good, 1 it is not, 64 wrong usage.\n";

int cli_config(int argc, char **argv)
{
    struct cli_options options;
    struct text errors = {0}, out = {0};
    int status = cli_parse(argc, argv, "c", help, &options);
    if (status >= 0) return status;
    struct site *site =
        site_load(options.config ? options.config : SUITEGATE_CONFIG, geteuid() == 0, &errors);
    if (site) {
        site_warnings(site, time(NULL), &errors);
        if (errors.size) cli_print_errors(&errors);
        config_print(site->config, &out);
        status = cli_print(&out, CLI_DONE);
    } else {
        cli_print_errors(&errors);
        status = CLI_NO;
    }
    site_release(site);
    text_fini(&errors);
    text_fini(&out);
    return status;
}
