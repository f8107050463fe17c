/* suitegate status: what the running proxy is doing. */
#include "base/clock.h"
#include "base/post.h"
#include "cli/cli.h"
#include "serve/control.h"
#include "serve/control_order.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: suitegate status [-c FILE] [--json]\n\n"
    "What the running proxy with this configuration is doing: connections and rates, refusals by\n"
    "code and the newest ones with their advice, open connections by upstream, how long\n"
    "certificates are valid, and how the audit log goes.\n\n"
    "  -c, --config FILE   configuration, with the path that suitegate run was given "
    "(default: " SUITEGATE_CONFIG ")\n"
    "      --json          as JSON\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 it serves, 1 it has a fault or is about to end, 2 no such proxy was found,\n"
    "64 wrong usage.\n";

enum { PATIENCE_S = 10, PIPE_SIZE = 1 << 20 };

/* Until its end, or too late. */
static bool read_all(int pipe, struct text *out)
{
    const int64_t until = clock_steady_ns() + (int64_t)PATIENCE_S * 1000000000;
    for (;;) {
        char part[4096];
        struct pollfd p = {.fd = pipe, .events = POLLIN};
        int64_t left_ms = (until - clock_steady_ns()) / 1000000;
        if (left_ms <= 0 || (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR)) return false;
        if (!p.revents) continue;
        ssize_t n = read(pipe, part, sizeof part);
        if (n > 0) text_add_bytes(out, part, (size_t)n);
        if (n == 0) return true;
        if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
    }
}

/* The first character says whether it serves; the rest is for the reader. */
static int print_status(const struct text *whole, struct text *errors)
{
    struct text out = {0};
    if (whole->size < 2) {
        text_add(errors, "the running process has not answered: is it about to end?\n");
        return CLI_CANNOT;
    }
    text_add(&out, whole->data + 1);
    int status = cli_print(&out, whole->data[0] == '1' ? CLI_DONE : CLI_NO);
    text_fini(&out);
    return status;
}

static int ask(int end, bool json, struct text *errors)
{
    struct text answer = {0}, whole = {0};
    int ends[2], status = CLI_CANNOT;
    size_t at = 0;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        text_printf(errors, "no pipe: %s\n", strerror(errno));
        return status;
    }
    (void)!fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE);
    bool asked = control_ask_status(end, json ? "json" : "text", ends[1], &answer);
    close(ends[1]);
    const char *what = asked ? post_next(&answer, &at) : NULL;
    const char *why = what ? post_next(&answer, &at) : NULL;
    if (why && strcmp(what, CONTROL_DONE) == 0 && read_all(ends[0], &whole))
        status = print_status(&whole, errors);
    else
        text_add(errors, why && *why ? why : "the running process has not answered\n");
    close(ends[0]);
    text_fini(&whole);
    text_fini(&answer);
    return status;
}

int cli_status(int argc, char **argv)
{
    const struct cli_syntax syntax = {CLI_WITH(CONFIG) | CLI_WITH(JSON), CLI_NO_OPERANDS, help};
    struct cli_options options;
    struct text errors = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    const char *config = options.config ? options.config : SUITEGATE_CONFIG;
    int end = control_connect(config, CONTROL_ASKED, PATIENCE_S, &errors);
    status = end >= 0 ? ask(end, options.json, &errors) : CLI_CANNOT;
    if (errors.size > 0) cli_print_errors(&errors);
    if (end >= 0) close(end);
    text_fini(&errors);
    return status;
}
