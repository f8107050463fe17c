#include "front/fronts.h"

#include "rows.h"

static const struct front *const fronts[LISTEN_TYPES] = {
#define PLAIN_LISTEN_TYPE(name, word)
#define LISTEN_TYPE(name, word) [LISTEN_##name] = &front_##word,
#include "config/listen_types.def"
#undef LISTEN_TYPE
};

const struct front *front_of(enum listen_type type)
{
    return fronts[type];
}
