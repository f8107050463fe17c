#include "route/routes.h"

#include "rows.h"

const struct route *route_of(const struct conn *c)
{
    (void)c;
    return &route_direct;
}
