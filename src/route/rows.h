/* The routes by name: each is defined in a file of its own. */
#ifndef ROUTE_ROWS_H
#define ROUTE_ROWS_H

#include "conn/route.h"

extern const struct route route_direct;

#endif
