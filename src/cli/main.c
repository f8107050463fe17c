#include "base/errand.h"
#include "cli/cli.h"
#include "pki/keys.h"
#include "serve/loop_memory.h"
#include "tls/library.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "suitegate: a TLS-terminating compliance proxy. It lets TLS 1.2 with eight ECDHE suites\n"
    "through, on both legs, refuses everything else, and writes down why.\n\n"
    "Usage: suitegate COMMAND [OPTIONS]\n\n"
    "  run [-c FILE]      run the proxy\n"
    "  status [-c FILE]   what the running proxy is doing\n"
    "  reload [-c FILE]   have the running proxy read its configuration anew\n"
    "  upgrade [-c FILE]  have the running proxy go on as the program's file is by now\n"
    "  stop [-c FILE]     have the running proxy end, and wait until it has\n"
    "  config [-c FILE]   check the configuration and print what is in effect\n"
    "  ca init            make a local CA\n"
    "  ca show [-c FILE]  tell about the CA and where to trust it\n"
    "  tickets rotate     a new key for session tickets that several instances share\n"
    "  policy [--json]    what is allowed, and every reason code\n"
    "  check HOST...      is this server fit for the policy? why not, and what to change\n"
    "  exec -- COMMAND    would this client pass? runs it through a proxy of its own\n"
    "  log key            the public half of the key that signs the audit log\n"
    "  log verify FILE... is this audit log complete and unaltered?\n"
    "  log report FILE... attempts, refusals, and whom to fix first\n"
    "  log tail [-f]      the log, a readable line a record\n"
    "  --version          this program, its TLS library, and the suites compiled in\n"
    "  --help             this text; also after every command\n\n"
    "Exit status: 0 done, 1 the answer is no, 2 could not do it, 64 wrong usage; check and exec\n"
    "have 3 besides.\n";

static int print_version(void)
{
    struct text out = {0}, names = {0};
    tls_library_suites(&names);
    text_printf(&out, "suitegate %s\nwolfSSL %s\n", SUITEGATE_VERSION, tls_library_version());
    for (const char *p = text_string(&names); *p;) {
        size_t n = strcspn(p, ":");
        text_printf(&out, "  %.*s\n", (int)n, p);
        p += n + (p[n] == ':');
    }
    int status = cli_print(&out, CLI_DONE);
    text_fini(&names);
    text_fini(&out);
    return status;
}

static int dispatch(int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"run", cli_run},     {"upgrade", cli_upgrade}, {"reload", cli_reload},
        {"stop", cli_stop},   {"status", cli_status},   {"config", cli_config},
        {"ca", cli_ca},       {"tickets", cli_tickets}, {"policy", cli_policy},
        {"check", cli_check}, {"exec", cli_exec},       {"log", cli_log},
        {"clerk", cli_clerk}, {"proxy", cli_proxy}};
    if (argc > 1 && strcmp(argv[1], "--version") == 0) return print_version();
    return cli_dispatch(commands, COUNT_OF(commands), help, argc, argv);
}

int main(int argc, char **argv)
{
    struct text errors = {0};
    char program[] = "suitegate";
    if (argc > 0) argv[0] = program;
    if (!loop_memory_init()) text_add(&errors, "out of memory\n");
    if (errors.size > 0 || !tls_library_init(&errors)) {
        cli_print_errors(&errors);
        text_fini(&errors);
        return CLI_CANNOT;
    }
    int status = dispatch(argc, argv);
    random_thread_fini();
    tls_library_fini();
    errand_exit(status);
}
