/* The fronts: front_NAME of each listener type, each defined in a file of its own. */
#ifndef FRONT_ROWS_H
#define FRONT_ROWS_H

#include "conn/front.h"

#define PLAIN_LISTEN_TYPE(name, word)
#define LISTEN_TYPE(name, word) extern const struct front front_##word;
#include "config/listen_types.def"
#undef LISTEN_TYPE

#endif
