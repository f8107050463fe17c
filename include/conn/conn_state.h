/* The states of a connection by name, and what a step may say. For conn/, front/ and route/. */
#ifndef CONN_CONN_STATE_H
#define CONN_CONN_STATE_H

enum conn_state {
#define STATE(name, ...) CONN_##name,
#include "conn/conn_state.def"
#undef STATE
    CONN_STATES
};

/* A step's result: look at the state again, or wait for an event. */
enum step { STEP_AGAIN, STEP_WAIT };

#endif
