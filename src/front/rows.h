/* The fronts by name: each is defined in a file of its own. */
#ifndef FRONT_ROWS_H
#define FRONT_ROWS_H

#include "conn/front.h"

extern const struct front front_forward, front_fixed, front_test;

#endif
