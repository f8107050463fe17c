/* What the open connections of a worker are doing, counted when somebody asks: no connection pays
 * for it. For the worker's thread. */
#ifndef CONN_CENSUS_H
#define CONN_CENSUS_H

#include "base/attr.h"
#include "conn/conn_state.h"
#include "policy/target.h"
#include "runtime/counts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

/* Listeners and destinations that are told apart; the rest is in the last one, without a name. */
enum { CENSUS_LISTENERS = 128, CENSUS_UPSTREAMS = 1024, CENSUS_NAME = 41 };

struct census_listener {
    char name[CENSUS_NAME];
    unsigned states[CONN_STATES];
};

/* Relays to one destination. */
struct census_upstream {
    char name[TARGET_TEXT_SIZE];
    unsigned relays;
};

struct census {
    struct census_listener listeners[CENSUS_LISTENERS];
    size_t listener_count;
    struct census_upstream upstreams[CENSUS_UPSTREAMS]; /* a hash table: name "" is a free place */
    unsigned other_relays;                              /* for which it had no place */
    unsigned long bytes[COUNTS_LEGS];                   /* payload from each leg so far */
};

/* "relay" ... */
enum { CONN_STATE_NAME = 24 };
void conn_state_name(enum conn_state state, char out[CONN_STATE_NAME]);
/* Adds the worker's connections to `all`, which is zeroed at first. */
void census_take(const struct worker *w, struct census *all);

#endif
