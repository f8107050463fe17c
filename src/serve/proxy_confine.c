#include "serve/proxy.h"

#include "base/confine.h"

#include <stddef.h>

/* Sockets, threads, and files to read: those of the resolver, and the publish listeners' library.
 */
/* clang-format off */
static const char *const calls[] = {
    "read", "pread64", "readv", "write", "writev", "lseek", "close", "dup", "fstat",
    "stat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat",
    "faccessat2", "readlink", "readlinkat", "getcwd", "getdents64",
    "socketpair", "connect", "bind", "listen", "accept", "accept4", "send", "sendto",
    "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "shutdown", "getsockopt",
    "setsockopt", "getsockname", "getpeername", "poll", "ppoll", "select", "pselect6",
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
    "eventfd2", "pipe2", "timerfd_create", "timerfd_settime", "ioctl", "uname",
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mlock", "mlock2", "munlock",
    "futex", "futex_waitv", "set_robust_list", "rseq", "membarrier", "sched_yield",
    "sched_getaffinity", "getcpu", "gettid", "getpid", "getppid", "getuid", "geteuid", "getgid",
    "getegid", "getrusage", "getrlimit", "getrandom", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times", "sysinfo",
    "prctl", "arch_prctl", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "restart_syscall", "exit", "exit_group", NULL};
/* clang-format on */

bool proxy_confine(void)
{
    return confine_calls(calls, CONFINE_READS | CONFINE_INTERNET);
}
