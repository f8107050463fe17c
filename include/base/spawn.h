/* Starts this very program again, as another process with a part of its own. */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include "base/attr.h"

#include <sys/types.h>

enum { SPAWN_POST = 3 /* the descriptor that the new process finds */ };

/* At the process's start: the program that spawn_part() starts, whatever its file becomes later.
 * Not /proc/self/exe: under valgrind that is valgrind. */
void spawn_remember(void);
/* part: its one argument. post: becomes its descriptor SPAWN_POST; it has the standard ones
 * besides. -1 with errno. */
WARN_UNUSED pid_t spawn_part(const char *part, int post);

#endif
