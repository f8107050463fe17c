#include "base/post.h"
#include "cli/cli.h"
#include "serve/control.h"
#include "serve/control_order.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: suitegate upgrade [-c FILE]\n\n"
    "The running proxy with this configuration starts the program's file, as it is by now, anew:\n"
    "the next process reads the configuration, takes the listening sockets and serves. Open\n"
    "connections stay with the process before, until they end or drain_timeout is over. No\n"
    "connection is refused. If the next process cannot serve, the one before goes on.\n\n"
    "  -c, --config FILE   configuration, with the path that suitegate run was given "
    "(default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "SIGUSR2 to suitegate run does the same.\n"
    "Exit status: 0 the next process serves, 1 it was refused, 2 no such proxy was found,\n"
    "64 wrong usage.\n";

/* The next process has a minute for its configuration and one to serve; then the answer comes. */
enum { PATIENCE_S = 150 };

static int print_answer(const struct text *answer)
{
    size_t at = 0;
    const char *what = post_next(answer, &at), *text = what ? post_next(answer, &at) : NULL;
    struct text out = {0};
    bool done = text && strcmp(what, CONTROL_DONE) == 0;
    int status;
    if (!text) text = "the answer makes no sense\n";
    if (done) {
        text_printf(&out, "suitegate: upgraded: %s\n", text);
        status = cli_print(&out, CLI_DONE);
    } else {
        text_printf(&out, "upgrade rejected, the running process goes on: %s", text);
        cli_print_errors(&out);
        status = CLI_NO;
    }
    text_fini(&out);
    return status;
}

int cli_upgrade(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, help};
    struct cli_options options;
    struct text errors = {0}, answer = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    const char *config = options.config ? options.config : SUITEGATE_CONFIG;
    int end = control_connect(config, CONTROL_ASKED, PATIENCE_S, &errors);
    if (end < 0) {
        cli_print_errors(&errors);
        status = CLI_CANNOT;
    } else if (control_ask(end, CONTROL_UPGRADE, &answer, NULL)) {
        status = print_answer(&answer);
    } else {
        text_add(&errors, "the running process has not answered: its messages and the audit log "
                          "say more\n");
        cli_print_errors(&errors);
        status = CLI_CANNOT;
    }
    if (end >= 0) close(end);
    text_fini(&errors);
    text_fini(&answer);
    return status;
}
