#include "base/confine.h"

#include "base/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void confine_process(void)
{
    const struct rlimit none = {0, 0}, all = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit lockable;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    /* For keys, see base/secret.h: as root without a limit, else up to the one that is set. */
    if (setrlimit(RLIMIT_MEMLOCK, &all) == 0 || getrlimit(RLIMIT_MEMLOCK, &lockable) < 0) return;
    lockable.rlim_cur = lockable.rlim_max;
    (void)setrlimit(RLIMIT_MEMLOCK, &lockable);
}

void confine_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR2, SIGPIPE, SIGXFSZ};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (size_t i = 0; i < COUNT_OF(signals); i++) sigaction(signals[i], &ignore, NULL);
}

void confine_signals_of_first(sigset_t *before)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t early;
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    sigemptyset(&early);
    sigaddset(&early, SIGHUP);
    sigaddset(&early, SIGINT);
    sigaddset(&early, SIGTERM);
    sigaddset(&early, SIGUSR2);
    sigprocmask(SIG_BLOCK, &early, before);
}

/* A call that is not allowed interrupts none that is: so this may use what those calls do. */
static void on_forbidden(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    char *name = seccomp_syscall_resolve_num_arch(info->si_arch, info->si_syscall);
    diag_error("a system call that this process never makes: %s (%d); it ends",
               name ? name : "unknown", info->si_syscall);
    _exit(CONFINE_STATUS);
}

/* glibc starts threads with clone() where clone3(), whose flags cannot be seen, does not exist. */
static int allow_threads(scmp_filter_ctx filter)
{
    int fault = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (fault) return fault;
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
}

/* What could reach other processes of the user: signals and limits only for this one, and no
 * signals for input. */
static int allow_own(scmp_filter_ctx filter)
{
    static const int commands[] = {F_GETFL, F_SETFL,         F_GETFD,    F_SETFD,
                                   F_DUPFD, F_DUPFD_CLOEXEC, F_ADD_SEALS};
    /* Bytes that wait to be read or are not acknowledged; is it a terminal; names of interfaces. */
    static const int requests[] = {FIONREAD, SIOCOUTQ, FIONBIO, TCGETS, SIOCGIFNAME, SIOCGIFINDEX};
    int fault = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (!fault)
        fault = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                                 SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
    for (size_t i = 0; !fault && i < COUNT_OF(commands); i++)
        fault = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                                 SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i]));
    for (size_t i = 0; !fault && i < COUNT_OF(requests); i++)
        fault = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                 SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)requests[i]));
    return fault;
}

static int allow_reading(scmp_filter_ctx filter)
{
    const scmp_datum_t changes =
        (scmp_datum_t)((O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | O_TMPFILE) & ~O_DIRECTORY);
    int fault = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, changes, O_RDONLY));
    if (fault) return fault;
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
                            SCMP_A1(SCMP_CMP_MASKED_EQ, changes, O_RDONLY));
}

/* The sockets of other processes of this machine, the keeper's control socket among them, are out
 * of reach. */
static int allow_internet(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6, AF_NETLINK /* getifaddrs() */};
    int fault = 0;
    for (size_t i = 0; !fault && i < COUNT_OF(families); i++)
        fault = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
    return fault;
}

static int fill(scmp_filter_ctx filter, const char *const *names, unsigned besides)
{
    int fault = allow_threads(filter);
    if (!fault) fault = allow_own(filter);
    if (!fault && besides & CONFINE_READS) fault = allow_reading(filter);
    if (!fault && besides & CONFINE_INTERNET) fault = allow_internet(filter);
    for (; !fault && *names; names++) {
        int number = seccomp_syscall_resolve_name(*names);
        /* This machine's kernel or architecture may not have it. */
        if (number != __NR_SCMP_ERROR) fault = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    }
    return fault ? fault : seccomp_load(filter);
}

/* It makes its own system calls in the process, and loads a library into it. */
static bool in_valgrind(void)
{
    const char *loaded = getenv("LD_PRELOAD");
    return loaded && strstr(loaded, "/vgpreload_");
}

bool confine_is_possible(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    (void)in_valgrind;
    return false;
#else
    return !in_valgrind();
#endif
}

bool confine_calls(const char *const *names, unsigned besides)
{
    if (!confine_is_possible()) return true;
    struct sigaction action = {.sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    if (!filter) return false;
    tzset(); /* the line's time must open no file */
    sigaction(SIGSYS, &action, NULL);
    bool ok = fill(filter, names, besides) == 0;
    seccomp_release(filter);
    return ok;
}
