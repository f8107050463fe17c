/* The states of a connection by name, and the results of a step. For conn/, front/ and route/. */
#ifndef CONN_CONN_STATE_H
#define CONN_CONN_STATE_H

enum conn_state {
#define STATE(name, ...) CONN_##name,
#include "conn/conn_state.def"
#undef STATE
    CONN_STATES
};

/* A step's result: run the state's step again, or wait for an event. */
enum step { STEP_AGAIN, STEP_WAIT };

#endif
