#include "front/fronts.h"

#include "base/attr.h"
#include "rows.h"

static const struct front *const fronts[] = {
    [LISTEN_FORWARD] = &front_forward, [LISTEN_FIXED] = &front_fixed, [LISTEN_TEST] = &front_test};
_Static_assert(COUNT_OF(fronts) == LISTEN_TYPES, "one front per listener type");

const struct front *front_of(enum listen_type type)
{
    return fronts[type];
}
