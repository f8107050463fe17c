#include "cli/cli.h"
#include "serve/keeper.h"

#include <fcntl.h>
#include <unistd.h>

static const char help[] =
    "Usage: suitegate run [-c FILE]\n\n"
    "Runs the proxy in the foreground until SIGTERM or SIGINT.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Signals: SIGHUP reloads the configuration with all files it names and reopens the\n"
    "audit file; SIGTERM stops accepting, lets open connections end for drain_timeout,\n"
    "then closes them; a second SIGTERM closes them at once. SIGUSR2: see suitegate upgrade.\n"
    "Exit status: 0 stopped as asked, 2 could not start or could not write every record,\n"
    "64 wrong usage.\n";

/* No file of ours may become a standard descriptor: messages would go into it. */
static void open_standard_descriptors(void)
{
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO) close(fd);
}

int cli_run(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, help};
    struct cli_options options;
    struct text errors = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    open_standard_descriptors();
    bool ok = keeper_run(options.config ? options.config : SUITEGATE_CONFIG, NULL, &errors);
    if (errors.size) cli_print_errors(&errors);
    text_fini(&errors);
    return ok ? CLI_DONE : CLI_CANNOT;
}
