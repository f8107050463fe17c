/* What a process may call once it is confined, in processes of the test's own. */
#include "helper.h"

#include "base/confine.h"
#include "base/confine_files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const calls[] = {
    "read",     "write",          "close",        "mmap",          "munmap",
    "mprotect", "madvise",        "brk",          "futex",         "set_robust_list",
    "rseq",     "rt_sigprocmask", "rt_sigaction", "clock_gettime", "clock_nanosleep",
    "exit",     "exit_group",     "gettid",       "getpid",        "no-such-call",
    NULL};

static void *wait_a_moment(void *arg)
{
    usleep(1000);
    return arg;
}

static int threads(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_a_moment, NULL) != 0) return 1;
    return pthread_join(thread, NULL);
}

static int memory(void)
{
    free(malloc((size_t)32 << 20));
    return 0;
}

static int a_program(void)
{
    return execl("/bin/true", "true", NULL);
}

static int a_process(void)
{
    return fork() >= 0;
}

static int a_file(void)
{
    return open("/dev/null", O_RDONLY);
}

static int a_file_to_write(void)
{
    return open("/dev/null", O_WRONLY);
}

static int a_file_to_change(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int a_new_file(void)
{
    return open("/tmp/suitegate-confine", O_RDONLY | O_CREAT, 0600);
}

static int a_nameless_file(void)
{
    return open("/tmp", O_TMPFILE | O_RDWR, 0600);
}

static int a_file_s_end(void)
{
    return open("/dev/null", O_RDONLY | O_TRUNC);
}

static int a_file_to_read(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || folder < 0 || close(fd) < 0 || close(folder) < 0;
}

static int own_signal(void)
{
    return (int)syscall(SYS_tgkill, getpid(), gettid(), 0);
}

static int a_parent_s_signal(void)
{
    return (int)syscall(SYS_tgkill, 1, 1, 0);
}

static int a_parent_s_limit(void)
{
    struct rlimit limit = {0, 0};
    return prlimit(1, RLIMIT_FSIZE, &limit, NULL);
}

static int own_limit(void)
{
    struct rlimit limit;
    return prlimit(0, RLIMIT_FSIZE, NULL, &limit);
}

static int a_signal_for_input(void)
{
    return fcntl(STDERR_FILENO, F_SETOWN, 1);
}

static int a_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int a_netlink_socket(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0) < 0;
}

static int a_local_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int a_signal(void)
{
    return kill(getppid(), 0);
}

/* Its exit status, and what it wrote to standard error. */
static int in_a_process(int (*body)(void), unsigned besides, char *said, size_t size)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        confine_process();
        _exit(confine_calls(calls, besides) ? body() : 99);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], said, size - 1);
    said[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void each_call(void **state)
{
    (void)state;
    static const struct {
        int (*body)(void);
        const char *name; /* NULL: it is allowed */
        unsigned besides;
    } rows[] = {
        {threads, NULL, 0},
        {memory, NULL, 0},
        {a_program, "execve", 0},
        {a_process, "clone", 0},
        {a_file, "openat", 0},
        {a_socket, "socket", 0},
        {a_socket, "socket", CONFINE_READS},
        {a_socket, NULL, CONFINE_INTERNET},
        {a_netlink_socket, NULL, CONFINE_INTERNET},
        {a_local_socket, "socket", CONFINE_INTERNET},
        {a_signal, "getppid", 0},
        {own_signal, NULL, 0},
        {own_limit, NULL, 0},
        {a_parent_s_signal, "tgkill", 0},
        {a_parent_s_limit, "prlimit64", CONFINE_READS},
        {a_signal_for_input, "fcntl", CONFINE_READS},
        {threads, NULL, CONFINE_READS},
        {a_program, "execve", CONFINE_READS},
        {a_file_to_read, NULL, CONFINE_READS},
        {a_file_to_write, "openat", CONFINE_READS},
        {a_file_to_change, "openat", CONFINE_READS},
        {a_new_file, "openat", CONFINE_READS},
        {a_nameless_file, "openat", CONFINE_READS},
        {a_file_s_end, "openat", CONFINE_READS},
    };
#ifdef __SANITIZE_ADDRESS__
    skip(); /* it is off */
#endif
    for (size_t i = 0; i < N_OF(rows); i++) {
        char said[512];
        int status = in_a_process(rows[i].body, rows[i].besides, said, sizeof said);
        if (status != (rows[i].name ? CONFINE_STATUS : 0))
            fail_msg("row %zu: %d, %s", i, status, said);
        if (!rows[i].name) continue;
        assert_non_null(strstr(said, "a system call that this process never makes: "));
        if (!strstr(said, rows[i].name)) fail_msg("row %zu: %s", i, said);
    }
}

/* ---- files ---- */

static char folder[] = "/tmp/suitegate-confine-XXXXXX";

static bool can(int flags, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* 0: as it should be; else the first that is not. */
static int files_within_reach(void)
{
    char own[128], other[128];
    snprintf(own, sizeof own, "%s/own", folder);
    snprintf(other, sizeof other, "%s/file", folder);
    const struct confine_place places[] = {
        {own, CONFINE_CHANGE}, {other, CONFINE_FILE}, {"/no/such/place", CONFINE_READ}};
    if (confine_files(places, COUNT_OF(places)) != CONFINE_DONE) return 1;
    if (!can(O_RDWR | O_CREAT, "own/new") || !can(O_RDONLY, "own/new")) return 2;
    if (!can(O_RDONLY, "file")) return 3;
    if (can(O_RDWR, "file") || can(O_RDONLY, "secret") || can(O_RDWR | O_CREAT, "more")) return 4;
    if (open("/etc/passwd", O_RDONLY) >= 0 || open("/proc/self/maps", O_RDONLY) >= 0) return 5;
    snprintf(own, sizeof own, "%s/own/new", folder);
    snprintf(other, sizeof other, "%s/own/newer", folder);
    if (rename(own, other) != 0 || unlink(other) != 0) return 6;
    snprintf(other, sizeof other, "%s/taken", folder);
    if (rename(own, other) == 0 || link("/etc/passwd", own) == 0) return 7;
    return execl("/bin/true", "true", NULL) == 0 || errno != EACCES ? 8 : 0;
}

static void test_files_out_of_reach(void **state)
{
    (void)state;
    int status;
    if (!confine_is_possible() ||
        syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* its version */) < 1)
        skip();
    assert_non_null(mkdtemp(folder));
    assert_true(can(O_RDWR | O_CREAT, "file") && can(O_RDWR | O_CREAT, "secret"));
    char path[128];
    snprintf(path, sizeof path, "%s/own", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    pid_t pid = fork();
    if (pid == 0) _exit(files_within_reach());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    rmdir(path);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i ? "file" : "secret");
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_out_of_reach),
        cmocka_unit_test(each_call),
    };
    return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
