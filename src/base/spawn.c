#include "base/spawn.h"

#include "base/errand.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

static int program = -1;
static char program_path[4096];
static char given_path[4096];

/* The path that this program was started with: it may lead over links to another file by the time
 * of an upgrade. */
static void remember_given_path(void)
{
    const char *given = (const char *)(uintptr_t)getauxval(AT_EXECFN); /* NOLINT: getauxval(3) */
    struct stat own, there;
    char here[sizeof given_path], whole[sizeof given_path];
    snprintf(given_path, sizeof given_path, "%s", program_path);
    if (!given || !strchr(given, '/') || !getcwd(here, sizeof here)) return;
    int n = given[0] == '/' ? snprintf(whole, sizeof whole, "%s", given)
                            : snprintf(whole, sizeof whole, "%s/%s", here, given);
    bool same = n > 0 && n < (int)sizeof whole && stat(whole, &there) == 0 &&
                stat("/proc/self/exe", &own) == 0 && own.st_dev == there.st_dev &&
                own.st_ino == there.st_ino;
    if (same) snprintf(given_path, sizeof given_path, "%s", whole);
}

void spawn_remember(void)
{
    if (program >= 0) return;
    ssize_t n = readlink("/proc/self/exe", program_path, sizeof program_path - 1);
    program_path[n > 0 ? n : 0] = '\0';
    remember_given_path();
    int fd = open(program_path, O_PATH | O_CLOEXEC);
    if (fd < 0) return;
    program = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_POST + 1); /* none that the new process gets */
    close(fd);
}

/* The file may have been replaced since. */
static void choose_path(char *out, size_t size)
{
    struct stat remembered, there;
    bool known = program >= 0 && fstat(program, &remembered) == 0;
    if (known && stat(program_path, &there) == 0 && there.st_dev == remembered.st_dev &&
        there.st_ino == remembered.st_ino)
        snprintf(out, size, "%s", program_path);
    else if (known)
        snprintf(out, size, "/proc/self/fd/%d", program);
    else
        snprintf(out, size, "/proc/self/exe");
}

/* ---- a part ---- */

static struct part_user {
    const char *part; /* NULL: none */
    struct account user;
} users[2];

void spawn_set_user(const char *part, const struct account *user)
{
    for (size_t i = 0; i < COUNT_OF(users); i++) {
        if (users[i].part && strcmp(users[i].part, part) != 0) continue;
        users[i] = (struct part_user){part, *user};
        return;
    }
}

bool spawn_has_users(void)
{
    return users[0].part != NULL;
}

static const struct account *user_of(const char *part)
{
    for (size_t i = 0; i < COUNT_OF(users); i++)
        if (users[i].part && strcmp(users[i].part, part) == 0) return &users[i].user;
    return NULL;
}

/* In the new process: only what signal-safety(7) allows. */
static void reset_signals(bool keep_ignored)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++) {
        struct sigaction now;
        bool ignored = sigaction(i, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
        if (!ignored || !keep_ignored) signal(i, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* No handler of this process runs in the other one. */
static pid_t fork_without_signals(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, before);
    pid_t pid = _Fork(); /* no handlers of a library, which may wait for a lock of its own */
    int fault = errno;
    if (pid != 0) sigprocmask(SIG_SETMASK, before, NULL);
    errno = fault;
    return pid;
}

/* The log may go there: only to the process that writes it. */
static bool silence(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && (fd == STDOUT_FILENO || dup2(fd, STDOUT_FILENO) >= 0);
    if (fd > STDERR_FILENO && fd != SPAWN_POST) close(fd);
    return ok;
}

static bool give_post(int post)
{
    return post == SPAWN_POST ? fcntl(post, F_SETFD, 0) == 0 : dup2(post, SPAWN_POST) >= 0;
}

/* posix_spawn() can change no user. */
static pid_t start_part(const char *part, int post)
{
    const struct account *user = user_of(part);
    const bool silent = strcmp(part, "clerk") != 0;
    char name[] = "suitegate", *argument = text_copy(part, strlen(part));
    char *const argv[] = {name, argument, NULL};
    char path[sizeof program_path];
    sigset_t before;
    if (!argument) return -1;
    choose_path(path, sizeof path);
    pid_t pid = fork_without_signals(&before);
    if (pid != 0) {
        free(argument);
        return pid;
    }
    if (!give_post(post) || (silent && !silence()) || (user && !account_become_only(user)))
        _exit(SPAWN_FAILED);
    reset_signals(false);
    execve(path, argv, environ);
    _exit(SPAWN_FAILED);
}

struct part_errand {
    const char *part;
    int post, fault;
    pid_t pid;
};

static void on_part(void *arg)
{
    struct part_errand *e = arg;
    e->pid = start_part(e->part, e->post);
    e->fault = errno;
}

pid_t spawn_part(const char *part, int post)
{
    struct part_errand e = {.part = part, .post = post};
    errand_run(on_part, &e);
    errno = e.fault;
    return e.pid;
}

struct signal_errand {
    pid_t pid;
    int number;
};

static void on_signal(void *arg)
{
    const struct signal_errand *e = arg;
    kill(e->pid, e->number);
}

void spawn_signal(pid_t pid, int number)
{
    struct signal_errand e = {pid, number};
    errand_run(on_signal, &e);
}

/* ---- a successor ---- */

enum { FIRST_GIVEN = 3, VARIABLES = 3, NUMBER_SIZE = 12 };

/* LISTEN_PID is known once it runs. */
struct environment {
    char count[sizeof "LISTEN_FDS=" + NUMBER_SIZE];
    char pid[sizeof "LISTEN_PID=" + NUMBER_SIZE];
    char *names, **all;
};

/* Without WATCHDOG_PID, the next main process tells the service manager that it lives. */
static bool is_replaced(const char *variable)
{
    return strncmp(variable, "LISTEN_FDS=", 11) == 0 || strncmp(variable, "LISTEN_PID=", 11) == 0 ||
           strncmp(variable, "LISTEN_FDNAMES=", 15) == 0 ||
           strncmp(variable, "WATCHDOG_PID=", 13) == 0;
}

static bool make_environment(struct environment *e, size_t n, const char *names)
{
    struct text line = {0};
    size_t count = 0;
    while (environ[count]) count++;
    snprintf(e->count, sizeof e->count, "LISTEN_FDS=%zu", n);
    text_printf(&line, "LISTEN_FDNAMES=%s", names);
    e->names = text_take(&line);
    e->all = calloc(count + VARIABLES + 1, sizeof *e->all);
    if (!e->names || !e->all) return false;
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_replaced(environ[i])) e->all[used++] = environ[i];
    e->all[used++] = e->count;
    e->all[used++] = e->pid;
    e->all[used] = e->names;
    return true;
}

/* Out of the way of the numbers that they will have. */
static bool copy_descriptors(const int *fds, size_t n, int *copies)
{
    for (size_t i = 0; i < n; i++) {
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_GIVEN + (int)n);
        if (copies[i] >= 0) continue;
        int fault = errno;
        while (i > 0) close(copies[--i]);
        errno = fault;
        return false;
    }
    return true;
}

/* Not what a library has opened in this process, such as a PKCS #11 module. A kernel before 5.11
 * cannot do that. */
static void pass_on_only(size_t n)
{
    (void)!close_range(FIRST_GIVEN + (unsigned)n, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* In the new process: only what signal-safety(7) allows. */
_Noreturn static void become(char *const argv[], struct environment *e, const int *fds, size_t n)
{
    char digits[NUMBER_SIZE];
    size_t k = 0, at = sizeof "LISTEN_PID=" - 1;
    memcpy(e->pid, "LISTEN_PID=", at);
    for (pid_t pid = getpid(); pid > 0; pid /= 10) digits[k++] = (char)('0' + pid % 10);
    while (k > 0) e->pid[at++] = digits[--k];
    for (size_t i = 0; i < n; i++)
        if (dup2(fds[i], FIRST_GIVEN + (int)i) < 0) _exit(SPAWN_FAILED);
    pass_on_only(n);
    reset_signals(true);
    account_pass_on();
    execve(given_path, argv, e->all);
    _exit(SPAWN_FAILED);
}

static pid_t start_successor(char *const argv[], struct environment *e, const int *fds, size_t n)
{
    sigset_t before;
    pid_t pid = fork_without_signals(&before);
    if (pid == 0) become(argv, e, fds, n);
    return pid;
}

static pid_t start_next(char *const argv[], const int *fds, size_t n, const char *names)
{
    struct environment e = {0};
    int *copies = calloc(n, sizeof *copies);
    pid_t pid = -1;
    bool ready = copies && make_environment(&e, n, names) && access(given_path, X_OK) == 0 &&
                 copy_descriptors(fds, n, copies);
    int fault = errno;
    if (ready) {
        pid = start_successor(argv, &e, copies, n);
        fault = errno;
        for (size_t i = 0; i < n; i++) close(copies[i]);
    }
    free(copies);
    free(e.names);
    free(e.all);
    errno = fault;
    return pid;
}

struct next_errand {
    char *const *argv;
    const int *fds;
    size_t n;
    const char *names;
    int fault;
    pid_t pid;
};

static void on_next(void *arg)
{
    struct next_errand *e = arg;
    e->pid = start_next(e->argv, e->fds, e->n, e->names);
    e->fault = errno;
}

pid_t spawn_successor(char *const argv[], const int *fds, size_t n, const char *names)
{
    struct next_errand e = {.argv = argv, .fds = fds, .n = n, .names = names};
    errand_run(on_next, &e);
    errno = e.fault;
    return e.pid;
}

const char *spawn_path(void)
{
    return given_path;
}
