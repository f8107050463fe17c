/* What needs files, programs or other processes, in a process whose threads have given those up:
 * one thread keeps them and makes calls for the others, one after the other. It takes no message
 * from anybody. Limits are for a thread and those that it starts, so what this one starts has none.
 */
#ifndef BASE_ERRAND_H
#define BASE_ERRAND_H

#include "base/attr.h"

#include <stdbool.h>

/* Starts that thread, for good; without effect if it is there. False with errno. */
WARN_UNUSED bool errand_begin(void);
/* Makes the call there and waits until it is done; without that thread, and within an errand, at
 * once. */
void errand_run(void (*call)(void *arg), void *arg);
/* exit(3), there: libraries have parts of it that may need what the caller has given up. */
_Noreturn void errand_exit(int status);

#endif
