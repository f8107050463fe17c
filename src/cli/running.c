/* Commands to the running proxy: suitegate upgrade, reload, stop. */
#include "base/post.h"
#include "cli/cli.h"
#include "serve/control.h"
#include "serve/control_order.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define CONFIG_HELP                                                                    \
    "  -c, --config FILE   configuration, with the path that suitegate run was given " \
    "(default: " SUITEGATE_CONFIG ")\n"                                                \
    "  -h, --help          this text\n\n"

static const char upgrade_help[] =
    "Usage: suitegate upgrade [-c FILE]\n\n"
    "The running proxy with this configuration starts the program's file, as it is by now, anew:\n"
    "the next process reads the configuration, takes the listening sockets and serves. Open\n"
    "connections stay with the process before, until they end or drain_timeout is over. No\n"
    "connection is refused. If the next process cannot serve, the one before goes "
    "on.\n\n" CONFIG_HELP "SIGUSR2 to suitegate run does the same.\n"
    "Exit status: 0 the next process serves, 1 it was refused, 2 no such proxy was found,\n"
    "64 wrong usage.\n";

static const char reload_help[] =
    "Usage: suitegate reload [-c FILE]\n\n"
    "The running proxy with this configuration reads it and all its files anew, and this waits\n"
    "until it uses them. If something is wrong with them, it goes on as before. What was begun\n"
    "with the former configuration ends with it.\n\n" CONFIG_HELP
    "SIGHUP to suitegate run does the same.\n"
    "Exit status: 0 the configuration is in use, 1 it was rejected, 2 no such proxy was found,\n"
    "64 wrong usage.\n";

static const char stop_help[] =
    "Usage: suitegate stop [-c FILE]\n\n"
    "The running proxy with this configuration accepts no more, and ends once its connections\n"
    "have ended or drain_timeout is over. This waits until then; a second one lets it close what\n"
    "is open at once.\n\n" CONFIG_HELP "SIGTERM to suitegate run does the same.\n"
    "Exit status: 0 it has ended, 2 no such proxy was found, 64 wrong usage.\n";

/* The next process has a minute for its configuration and one to serve; then the answer comes. */
enum { UPGRADE_S = 150 };
/* One that is under way comes first; each has a minute for the proxy to load it and one to use it.
 */
enum { RELOAD_S = 300 };

struct command {
    const char *what, *help;
    int patience_s;
    const char *done, *refused; /* formats of the answer's text */
};

static const struct command upgrade = {
    .what = CONTROL_UPGRADE,
    .help = upgrade_help,
    .patience_s = UPGRADE_S,
    .done = "suitegate: upgraded: %s\n",
    .refused = "upgrade rejected, the running process goes on: %s",
};
static const struct command reload = {
    .what = CONTROL_RELOAD,
    .help = reload_help,
    .patience_s = RELOAD_S,
    .done = "suitegate: the configuration is in use%s\n",
    .refused = "configuration rejected, the old one goes on: %s",
};
static const struct command stop = {
    .what = CONTROL_STOP,
    .help = stop_help,
    .patience_s = UPGRADE_S,
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int print_answer(const struct command *c, const struct text *answer)
{
    size_t at = 0;
    const char *what = post_next(answer, &at), *text = what ? post_next(answer, &at) : NULL;
    struct text out = {0};
    bool done = text && strcmp(what, CONTROL_DONE) == 0;
    int status;
    if (!text) text = "the answer makes no sense\n";
    text_printf(&out, done ? c->done : c->refused, text);
    if (done) {
        status = cli_print(&out, CLI_DONE);
    } else {
        cli_print_errors(&out);
        status = CLI_NO;
    }
    text_fini(&out);
    return status;
}
#pragma GCC diagnostic pop

static int ask(int end, const struct command *c, struct text *errors)
{
    struct text answer = {0};
    int status = CLI_CANNOT;
    if (control_ask(end, c->what, &answer, NULL))
        status = print_answer(c, &answer);
    else
        text_add(errors, "the running process has not answered: its messages and the audit log "
                         "say more\n");
    text_fini(&answer);
    return status;
}

/* Until the process has ended, however long its connections take. */
static int ask_to_end(int end, const struct command *c, struct text *errors)
{
    struct text answer = {0};
    pid_t process = control_process(end);
    struct pollfd ended = {.fd = process > 0 ? pidfd_open(process, 0) : -1, .events = POLLIN};
    bool taken = ended.fd >= 0 && control_ask(end, c->what, &answer, NULL) &&
                 strcmp(text_string(&answer), CONTROL_DONE) == 0;
    while (taken && poll(&ended, 1, -1) < 0 && errno == EINTR) continue;
    if (!taken)
        text_printf(errors, "process %ld does not take the command: is it another user's?\n",
                    (long)process);
    if (ended.fd >= 0) close(ended.fd);
    text_fini(&answer);
    return taken ? CLI_DONE : CLI_CANNOT;
}

static int run(int argc, char **argv, const struct command *c,
               int (*talk)(int end, const struct command *c, struct text *errors))
{
    const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, c->help};
    struct cli_options options;
    struct text errors = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    const char *config = options.config ? options.config : SUITEGATE_CONFIG;
    int end = control_connect(config, CONTROL_ASKED, c->patience_s, &errors);
    status = end >= 0 ? talk(end, c, &errors) : CLI_CANNOT;
    if (errors.size > 0) cli_print_errors(&errors);
    if (end >= 0) close(end);
    text_fini(&errors);
    return status;
}

int cli_upgrade(int argc, char **argv)
{
    return run(argc, argv, &upgrade, ask);
}

int cli_reload(int argc, char **argv)
{
    return run(argc, argv, &reload, ask);
}

int cli_stop(int argc, char **argv)
{
    return run(argc, argv, &stop, ask_to_end);
}
