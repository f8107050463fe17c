/* Memory for private keys: kept out of swap, of core dumps and of forked processes, and wiped when
 * it is freed. A block takes whole pages, so it is not for many. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/attr.h"

#include <stddef.h>

/* n bytes of zeros; NULL when out of memory. If the process may lock no more memory
 * (RLIMIT_MEMLOCK), they can be swapped out. */
WARN_UNUSED void *secret_new(size_t n);
/* n as given to secret_new(). No effect for NULL. */
void secret_free(void *p, size_t n);

#endif
