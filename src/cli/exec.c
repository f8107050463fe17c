#include "cli/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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

/* The signals that are passed on to COMMAND. */
static const int passed_signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

/* The caller's settings, restored for COMMAND. */
struct inherited {
    bool closed[STDERR_FILENO + 1]; /* standard streams that were closed */
    sigset_t mask;
    struct sigaction child, pipe;
};

static void take_signals(struct inherited *before)
{
    sigset_t set;
    struct sigaction standard = {.sa_handler = SIG_DFL}, ignored = {.sa_handler = SIG_IGN};
    /* SIGCHLD reports the end of a process. A closed pipe for the report must not prevent our
     * cleanup. */
    sigaction(SIGCHLD, &standard, &before->child);
    sigaction(SIGPIPE, &ignored, &before->pipe);
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(passed_signals); i++) sigaddset(&set, passed_signals[i]);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &before->mask);
}

/* Opens descriptors 0 to 2, so that no descriptor of ours becomes one of them. */
static void fill_standard_streams(struct inherited *before)
{
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) before->closed[fd] = true;
    if (fd > STDERR_FILENO) close(fd);
}

/* fault_pipe: gets the errno of a failure; closed when COMMAND runs. */
static void run_command(const struct exec_proxy *p, char **command, const struct inherited *before,
                        pid_t parent, int fault_pipe)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(CLI_CANNOT);
    sigaction(SIGCHLD, &before->child, NULL);
    sigaction(SIGPIPE, &before->pipe, NULL);
    sigprocmask(SIG_SETMASK, &before->mask, NULL);
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (before->closed[fd]) close(fd);
    int fault = ENOMEM;
    if (exec_environment(p)) {
        execvp(command[0], command);
        fault = errno;
    }
    if (write(fault_pipe, &fault, sizeof fault) != sizeof fault) _exit(CLI_CANNOT);
    _exit(CANNOT_RUN);
}

/* A key pressed at the terminal has already reached COMMAND if that is still in our process group.
 * A terminal that closes signals only the leader of its session. */
static void pass_on(pid_t child, const siginfo_t *info)
{
    bool key = info->si_code == SI_KERNEL && getpgid(child) == getpgrp();
    bool hang_up = info->si_signo == SIGHUP && getsid(0) == getpid();
    if (!key || hang_up) kill(child, info->si_signo);
}

/* Waits until COMMAND ends. Returns its status, as in a shell. */
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

/* A signal that came while the proxy started ends everything: COMMAND did not get it. */
static int early_signal(void)
{
    static const int fatal[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    sigset_t pending;
    sigpending(&pending);
    for (size_t i = 0; i < COUNT_OF(fatal); i++)
        if (sigismember(&pending, fatal[i])) return fatal[i];
    return 0;
}

/* The result of COMMAND. */
struct outcome {
    bool started;
    int status; /* as in a shell; our own if it was not started */
};

static struct outcome run(const struct exec_proxy *p, char **command,
                          const struct inherited *before)
{
    int ends[2], fault = 0, early = early_signal();
    if (early) return (struct outcome){.status = OF_SIGNAL + early};
    pid_t parent = getpid(), child = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
    if (child < 0) {
        fprintf(stderr, "suitegate exec: no process: %s\n", strerror(errno));
        return (struct outcome){.status = CLI_CANNOT};
    }
    if (child == 0) run_command(p, command, before, parent, ends[1]);
    close(ends[1]);
    ssize_t n = read(ends[0], &fault, sizeof fault);
    close(ends[0]);
    int status = await(child);
    if (n != sizeof fault) return (struct outcome){true, status};
    fprintf(stderr, "suitegate exec: %s: %s\n", command[0], strerror(fault));
    return (struct outcome){.status = fault == ENOENT ? NOT_FOUND : CANNOT_RUN};
}

/* Opens the report before anything runs, so that an error shows at once and no old report remains.
 * Standard error if there is no name; -1 when it cannot be opened. */
static int open_report(const char *file)
{
    if (!file) return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) fprintf(stderr, "suitegate exec: %s: %s\n", file, strerror(errno));
    return fd;
}

static bool write_report(int fd, const char *file, const struct text *out)
{
    const char *p = text_string(out);
    size_t left = out->failed ? 0 : out->size;
    int fault = out->failed ? ENOMEM : 0;
    while (left > 0 && !fault) {
        ssize_t n = write(fd, p, left);
        if (n < 0 && errno != EINTR) fault = errno;
        if (n <= 0) continue;
        p += n;
        left -= (size_t)n;
    }
    if (fault)
        fprintf(stderr, "suitegate exec: %s: %s\n", file ? file : "standard error",
                strerror(fault));
    return fault == 0;
}

/* Removes the directory before writing the report: its reader may end us. */
static int conclude(struct exec_proxy *p, const struct cli_options *options, int report_fd,
                    int status, bool recorded)
{
    struct exec_summary summary;
    struct text out = {0}, errors = {0};
    bool ok = exec_report(p, status, options->json, &summary, &out, &errors);
    if (!recorded) exec_proxy_complain(p, &errors);
    exec_proxy_end(p);
    if (errors.size) cli_print_errors(&errors);
    ok = ok && write_report(report_fd, options->report, &out);
    text_fini(&out);
    text_fini(&errors);
    return ok && recorded ? exec_status(&summary, status) : CLI_CANNOT;
}

/* Removes the report if nothing ran: an empty one would mislead. */
static void remove_report(const char *file, int fd)
{
    struct stat st;
    if (file && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) unlink(file);
}

/* Everything after the command line is parsed. */
static int execute(const struct cli_options *options, struct inherited *before, int report_fd)
{
    struct exec_proxy proxy;
    struct outcome outcome = {.status = CLI_CANNOT};
    struct text errors = {0};
    take_signals(before);
    bool started = exec_proxy_start(&proxy, options, &errors);
    if (!started) cli_print_errors(&errors);
    if (started) outcome = run(&proxy, options->operands, before);
    bool recorded = exec_proxy_stop(&proxy);
    int status = outcome.status;
    if (outcome.started) status = conclude(&proxy, options, report_fd, status, recorded);
    exec_proxy_end(&proxy);
    if (!outcome.started) remove_report(options->report, report_fd);
    text_fini(&errors);
    return status;
}

int cli_exec(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(JSON) | CLI_WITH(REPORT) | CLI_WITH(CA),
                                             CLI_COMMAND, help};
    struct cli_options options;
    struct inherited before = {.closed = {false}};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    if (options.operand_count == 0) {
        fprintf(stderr, "suitegate exec: which command? Try: suitegate exec --help\n");
        return CLI_USAGE;
    }
    fill_standard_streams(&before);
    int report_fd = open_report(options.report);
    if (report_fd < 0) return CLI_CANNOT;
    status = execute(&options, &before, report_fd);
    close(report_fd);
    return status;
}
