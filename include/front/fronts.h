/* The fronts, one per listener type. */
#ifndef FRONT_FRONTS_H
#define FRONT_FRONTS_H

#include "config/config.h"
#include "conn/front.h"

/* NULL for a type that workers do not serve. */
const struct front *front_of(enum listen_type type);

#endif
