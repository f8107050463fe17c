/* What a process may call once it is confined, in processes of the test's own. */
#include "helper.h"

#include "base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
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
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int a_signal(void)
{
    return kill(getppid(), 0);
}

/* Its exit status, and what it wrote to standard error. */
static int in_a_process(int (*body)(void), bool reads, char *said, size_t size)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        confine_process();
        _exit(confine_calls(calls, reads) ? body() : 99);
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
        bool reads;
    } rows[] = {
        {threads, NULL, false},
        {memory, NULL, false},
        {a_program, "execve", false},
        {a_process, "clone", false},
        {a_file, "openat", false},
        {a_socket, "socket", false},
        {a_signal, "getppid", false},
        {own_signal, NULL, false},
        {own_limit, NULL, false},
        {a_parent_s_signal, "tgkill", false},
        {a_parent_s_limit, "prlimit64", true},
        {a_signal_for_input, "fcntl", true},
        {threads, NULL, true},
        {a_program, "execve", true},
        {a_file_to_read, NULL, true},
        {a_file_to_write, "openat", true},
        {a_file_to_change, "openat", true},
        {a_new_file, "openat", true},
        {a_nameless_file, "openat", true},
        {a_file_s_end, "openat", true},
    };
#ifdef __SANITIZE_ADDRESS__
    skip(); /* it is off */
#endif
    for (size_t i = 0; i < N_OF(rows); i++) {
        char said[512];
        int status = in_a_process(rows[i].body, rows[i].reads, said, sizeof said);
        if (status != (rows[i].name ? CONFINE_STATUS : 0))
            fail_msg("row %zu: %d, %s", i, status, said);
        if (!rows[i].name) continue;
        assert_non_null(strstr(said, "a system call that this process never makes: "));
        if (!strstr(said, rows[i].name)) fail_msg("row %zu: %s", i, said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call),
    };
    return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
