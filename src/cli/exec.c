#include "cli/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
    "Usage: suitegate exec [--json] [--report FILE] [--ca FILE]... -- COMMAND [ARG...]\n\n"
    "Would this client pass? Runs COMMAND with a proxy of its own on a free loopback port and\n"
    "a throw-away CA, by an environment that makes common clients use the one and trust the\n"
    "other, and says for every endpoint whether it was reached, and why not. Standard streams\n"
    "and signals are COMMAND's. Nothing stays behind.\n\n"
    "      --json          the report as one JSON object\n"
    "      --report FILE   the report goes there instead of to standard error\n"
    "      --ca FILE       trust these CAs for servers too (PEM), beside the system's and those\n"
    "                      of the environment's SSL_CERT_FILE\n"
    "  -h, --help          this text\n\n"
    "A client that knows no proxy makes no connection: point it at a listener of type test or\n"
    "fixed instead (suitegate run).\n\n"
    "Exit status: 1 something was refused; else COMMAND's own if it failed (128 and the signal's\n"
    "number if one ended it); else 3 no connection through the proxy; else 0. 2 could not do it,\n"
    "126 and 127 COMMAND cannot be run or found, 64 wrong usage.\n";

enum { CANNOT_RUN = 126, NOT_FOUND = 127, OF_SIGNAL = 128 };

/* All that are passed on, and what ends the wait. */
static const int passed_signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

static void block_signals(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(passed_signals); i++) sigaddset(&set, passed_signals[i]);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, before);
}

/* told: takes the errno of what went wrong; closed when COMMAND runs. */
static void become(const struct exec_proxy *p, char **command, const sigset_t *mask, pid_t parent,
                   int told)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(CLI_CANNOT);
    sigprocmask(SIG_SETMASK, mask, NULL);
    int fault = ENOMEM;
    if (exec_environment(p)) {
        execvp(command[0], command);
        fault = errno;
    }
    if (write(told, &fault, sizeof fault) != sizeof fault) _exit(CLI_CANNOT);
    _exit(CANNOT_RUN);
}

/* A signal that the terminal sent has reached COMMAND already. */
static void pass_on(pid_t child, const siginfo_t *info)
{
    bool from_terminal = info->si_code == SI_KERNEL;
    if (!from_terminal) kill(child, info->si_signo);
}

/* Until COMMAND ends: its status as a shell would have it. */
static int await(pid_t child)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(passed_signals); i++) sigaddset(&set, passed_signals[i]);
    sigaddset(&set, SIGCHLD);
    for (;;) {
        int status;
        siginfo_t info;
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child && WIFEXITED(status)) return WEXITSTATUS(status);
        if (ended == child && WIFSIGNALED(status)) return OF_SIGNAL + WTERMSIG(status);
        if (ended < 0 && errno != EINTR) return CLI_CANNOT;
        if (sigwaitinfo(&set, &info) > 0 && info.si_signo != SIGCHLD) pass_on(child, &info);
    }
}

/* One that came while the proxy was started ends it all: COMMAND has not seen it. */
static int early_signal(void)
{
    static const int fatal[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    sigset_t pending;
    sigpending(&pending);
    for (size_t i = 0; i < COUNT_OF(fatal); i++)
        if (sigismember(&pending, fatal[i])) return fatal[i];
    return 0;
}

/* How COMMAND went. */
struct outcome {
    bool started;
    int status; /* as a shell would have it; when it was not started, ours */
};

static struct outcome run(const struct exec_proxy *p, char **command, const sigset_t *mask)
{
    int ends[2], fault = 0, early = early_signal();
    if (early) return (struct outcome){.status = OF_SIGNAL + early};
    pid_t parent = getpid(), child = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
    if (child < 0) {
        fprintf(stderr, "suitegate exec: no process: %s\n", strerror(errno));
        return (struct outcome){.status = CLI_CANNOT};
    }
    if (child == 0) become(p, command, mask, parent, ends[1]);
    close(ends[1]);
    ssize_t n = read(ends[0], &fault, sizeof fault);
    close(ends[0]);
    int status = await(child);
    if (n != sizeof fault) return (struct outcome){true, status};
    fprintf(stderr, "suitegate exec: %s: %s\n", command[0], strerror(fault));
    return (struct outcome){.status = fault == ENOENT ? NOT_FOUND : CANNOT_RUN};
}

/* To the file, or standard error. */
static bool write_report(const char *file, const struct text *out)
{
    FILE *f = file ? fopen(file, "we") : stderr;
    bool ok = f && !out->failed && fputs(text_string(out), f) >= 0 && fflush(f) == 0;
    if (f && file) ok = fclose(f) == 0 && ok;
    if (!ok)
        fprintf(stderr, "suitegate exec: %s: %s\n", file ? file : "standard error",
                strerror(errno));
    return ok;
}

static int conclude(const struct exec_proxy *p, const struct cli_options *options, int status,
                    bool recorded)
{
    struct exec_summary summary;
    struct text out = {0}, errors = {0};
    bool ok = exec_report(p, status, options->json, &summary, &out, &errors);
    if (!ok) cli_print_errors(&errors);
    ok = ok && write_report(options->report, &out);
    if (!recorded) fprintf(stderr, "suitegate exec: the private proxy did not end as it should\n");
    text_fini(&out);
    text_fini(&errors);
    return ok && recorded ? exec_status(&summary, status) : CLI_CANNOT;
}

/* The report's file is opened before anything runs: better told now than after an hour. */
static bool report_is_writable(const char *file)
{
    if (!file) return true;
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) close(fd);
    if (fd < 0) fprintf(stderr, "suitegate exec: %s: %s\n", file, strerror(errno));
    return fd >= 0;
}

int cli_exec(int argc, char **argv)
{
    struct cli_options options;
    struct exec_proxy proxy;
    struct text errors = {0};
    sigset_t mask;
    int status = cli_parse(argc, argv, "jpa*+", help, &options);
    if (status >= 0) return status;
    if (options.file_count == 0) {
        fprintf(stderr, "suitegate exec: which command? Try: suitegate exec --help\n");
        return CLI_USAGE;
    }
    if (!report_is_writable(options.report)) return CLI_CANNOT;
    block_signals(&mask);
    bool started = exec_proxy_start(&proxy, &options, &errors);
    if (!started) cli_print_errors(&errors);
    struct outcome outcome = {.status = CLI_CANNOT};
    if (started) outcome = run(&proxy, options.files, &mask);
    bool recorded = exec_proxy_stop(&proxy);
    status = outcome.status;
    if (outcome.started) status = conclude(&proxy, &options, status, recorded);
    exec_proxy_end(&proxy);
    text_fini(&errors);
    return status;
}
