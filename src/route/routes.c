#include "route/routes.h"

#include "base/attr.h"
#include "rows.h"

static const struct route *const routes[] = {
#define ROUTE(name) &route_##name,
#include "routes.def"
#undef ROUTE
};

const struct route *route_of(const struct conn *c)
{
    size_t i = 0;
    while (i + 1 < COUNT_OF(routes) && !routes[i]->applies(c)) i++;
    return routes[i];
}
