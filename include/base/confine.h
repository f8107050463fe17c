/* What this process and its children give up for good. */
#ifndef BASE_CONFINE_H
#define BASE_CONFINE_H

#include "base/attr.h"

#include <signal.h>
#include <stdbool.h>

/* No further privileges from any program (no_new_privs), no core file, and no other process of the
 * same user may look into its memory. */
void confine_process(void);
/* For a process that another one has started: signals for the whole group or service are that
 * one's. */
void confine_signals(void);
/* For that one: a broken pipe and a file at its limit are ordinary errors, and HUP, INT, TERM
 * and USR2 wait until it restores the mask `before`. */
void confine_signals_of_first(sigset_t *before);

/* Not in a build with a sanitizer nor under Valgrind, which need calls and files of their own. */
WARN_UNUSED bool confine_is_possible(void);

/* Only these system calls from now on, of this thread and those that it starts, by their names;
 * ends with NULL. Besides, some of fcntl and ioctl, and tgkill and prlimit64 for this process
 * alone; and by a set of these: open files, to read only; sockets of the Internet's families and
 * netlink. A thread may be started, never a process or a program. Any other call ends the process
 * with the status CONFINE_STATUS, after a line that names it. False when the kernel has no seccomp,
 * or out of memory. Without effect where that is not possible. */
enum { CONFINE_STATUS = 159 /* 128 + SIGSYS */ };
enum { CONFINE_READS = 1, CONFINE_INTERNET = 2 };
WARN_UNUSED bool confine_calls(const char *const *names, unsigned besides);

#endif
