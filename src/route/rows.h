/* The routes of routes.def. */
#ifndef ROUTE_ROWS_H
#define ROUTE_ROWS_H

#include "conn/route.h"

#define ROUTE(name) extern const struct route route_##name;
#include "routes.def"
#undef ROUTE

#endif
