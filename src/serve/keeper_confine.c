#include "serve/keeper_confine.h"

#include "base/account.h"
#include "base/confine.h"
#include "base/confine_files.h"
#include "base/errand.h"

#include <errno.h>
#include <string.h>

/* Sockets that it has, memory, waiting for its processes, and what the threads for signatures need
 * to give up more. Files to read as far as there are any (none with Landlock): the C library asks
 * some about processors and memory, and lives without. */
/* clang-format off */
static const char *const calls[] = {
    "read", "readv", "write", "writev", "pread64", "lseek", "close", "fstat", "stat", "newfstatat",
    "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd",
    "accept", "accept4", "listen", "socketpair", "send", "sendto", "sendmsg", "sendmmsg",
    "recv", "recvfrom", "recvmsg", "recvmmsg", "shutdown", "getsockopt", "setsockopt", "getsockname",
    "getpeername", "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe2", "timerfd_create",
    "timerfd_settime", "memfd_create", "ftruncate", "wait4", "waitid", "uname", "brk", "mmap", "munmap",
    "mremap", "mprotect", "madvise", "mlock", "mlock2", "munlock", "futex", "futex_waitv",
    "set_robust_list", "rseq", "membarrier", "sched_yield", "sched_getaffinity", "sched_setscheduler",
    "sched_getparam", "sched_getscheduler", "getcpu", "gettid", "getpid", "getppid", "getuid",
    "geteuid", "getgid", "getegid", "getrlimit", "getrandom", "clock_gettime", "clock_getres",
    "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times", "sysinfo", "prctl", "arch_prctl",
    "seccomp", "landlock_create_ruleset", "landlock_restrict_self", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group", NULL};
/* clang-format on */

bool keeper_confine(struct text *errors)
{
    if (!errand_begin()) {
        text_printf(errors, "no thread: %s\n", strerror(errno));
        return false;
    }
    account_give_up();
    (void)!confine_files(NULL, 0);
    (void)!confine_calls(calls, CONFINE_READS);
    return true;
}
