/* libev ends the process when it gets no memory, and every tunnel with it. These 4 MiB are for
 * that: each of its arrays grows by doubling, and they are given back when there is memory again.
 * The pages are the process's own only once they are used. */
#ifndef SERVE_LOOP_MEMORY_H
#define SERVE_LOOP_MEMORY_H

#include "base/attr.h"

#include <stdbool.h>

/* Before the first loop. False when there is no memory even now. */
WARN_UNUSED bool loop_memory_init(void);

#endif
