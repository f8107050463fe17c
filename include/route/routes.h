/* The ways to an upstream. */
#ifndef ROUTE_ROUTES_H
#define ROUTE_ROUTES_H

#include "conn/route.h"

/* The way to c->target. */
const struct route *route_of(const struct conn *c);

#endif
