/* Starts this very program again, as another process with a part of its own. An errand
 * (base/errand.h): what is started has none of the limits of the thread that asks. */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include "base/account.h"
#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SPAWN_POST = 3 /* the descriptor that the new process finds */ };

/* At the process's start: the program that spawn_part() starts, whatever its file becomes later.
 * Not /proc/self/exe: under valgrind that is valgrind. */
void spawn_remember(void);
/* The user of this part from now on; default: this process's. Copied. */
void spawn_set_user(const char *part, const struct account *user);
/* Is there such a part? */
bool spawn_has_users(void);
/* part: its one argument. post: becomes its descriptor SPAWN_POST; it has the standard ones
 * besides, but standard output only the clerk. -1 with errno. */
WARN_UNUSED pid_t spawn_part(const char *part, int post);
/* As kill(2), for a process that was started here. */
void spawn_signal(pid_t pid, int number);
/* The program whose file is at the path of this one by now. argv ends with NULL. It gets the n
 * descriptors as sd_listen_fds(3) says; names: as many, separated by colons. -1 with errno. Such a
 * program that cannot be started exits with SPAWN_FAILED. */
enum { SPAWN_FAILED = 127 };
WARN_UNUSED pid_t spawn_successor(char *const argv[], const int *fds, size_t n, const char *names);
/* Its path. */
const char *spawn_path(void);

#endif
