#include "serve/proxy.h"

#include "base/confine.h"
#include "base/confine_files.h"
#include "base/diag.h"

#include <stddef.h>

/* Sockets and threads; and files to read, as far as there are any: c-ares 1.18 takes the key for
 * its queries' numbers from this one, and a worse one where it cannot be opened. */
static const struct confine_place places[] = {
    {"/dev/urandom", CONFINE_FILE},
    /* The publish listeners' library, which is loaded for the first of them. */
    {"/etc/ld.so.cache", CONFINE_FILE},
    {"/usr/lib", CONFINE_READ},
    {"/lib", CONFINE_READ},
};
/* clang-format off */
static const char *const calls[] = {
    "read", "pread64", "readv", "write", "writev", "lseek", "close", "dup", "dup3", "fstat",
    "stat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat",
    "faccessat2", "readlink", "readlinkat", "getcwd", "getdents64",
    "connect", "bind", "listen", "accept", "accept4", "send", "sendto",
    "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "shutdown", "getsockopt",
    "setsockopt", "getsockname", "getpeername", "poll", "ppoll", "select", "pselect6",
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
    "eventfd2", "pipe2", "timerfd_create", "timerfd_settime", "uname",
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mlock", "mlock2", "munlock",
    "futex", "futex_waitv", "set_robust_list", "rseq", "membarrier", "sched_yield",
    "sched_getaffinity", "getcpu", "gettid", "getpid", "getppid", "getuid", "geteuid", "getgid",
    "getegid", "getrusage", "getrlimit", "getrandom", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times", "sysinfo",
    "prctl", "arch_prctl", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "restart_syscall", "exit", "exit_group", NULL};
/* clang-format on */

void proxy_confine(void)
{
    confine_files_warn("the proxy", confine_files(places, COUNT_OF(places)));
    if (!confine_calls(calls, CONFINE_READS | CONFINE_INTERNET))
        diag_warning("the kernel does not limit the proxy's system calls (seccomp)");
}
