/* What the keeper's threads give up once it has begun: they read what the proxy, the clerk, other
 * keepers and commands send. What needs more is an errand (base/errand.h). */
#ifndef SERVE_KEEPER_CONFINE_H
#define SERVE_KEEPER_CONFINE_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>

/* For the calling thread and those that it starts from now on: no file, no program, no other
 * process, no capability. What the kernel cannot do, the proxy warns of. False with a sentence in
 * errors: there is no thread for errands. */
WARN_UNUSED bool keeper_confine(struct text *errors);

#endif
