/* All that an operator sees of the service at one moment: plain values, and how they are shown: as
 * metrics (metrics.def), as a page, as JSON, as text. serve/lookout.h fills it. */
#ifndef OPERATE_OVERVIEW_H
#define OPERATE_OVERVIEW_H

#include "audit/log_state.h"
#include "base/clock.h"
#include "conn/census.h"
#include "operate/keeper_state.h"
#include "runtime/loaded_config.h"
#include "runtime/refusals.h"

enum {
    OVERVIEW_SAMPLE_S = 10,
    OVERVIEW_SAMPLES = 361, /* an hour */
    OVERVIEW_ROWS = 20      /* of a table that may be long */
};

/* Totals at one time. */
struct overview_sample {
    time_t at;
    unsigned long opened, refused;
};

struct overview {
    time_t now;
    bool ready;        /* new connections are accepted */
    const char *fault; /* why it does not serve, or not all: a sentence; NULL: nothing */
    unsigned workers;
    unsigned active; /* connections */
    const struct loaded_config *loaded;
    const struct counts *counts; /* the bytes are also those of open connections */
    const struct census *census;
    const struct overview_sample *samples; /* the oldest first */
    size_t sample_count;
    struct refusals *refusals;
    const struct log_state *log;
    const struct keeper_state *keeper;
    int64_t state_age_s;                    /* of the last two; -1: there is none yet */
    unsigned descriptors, descriptor_limit; /* of the proxy */
};

unsigned long overview_refused(const struct counts *c);
/* Per second, over the last `seconds` seconds. */
struct overview_rate {
    double opened, refused;
};
struct overview_rate overview_rate(const struct overview *o, int seconds);
/* Whole days until then, negative afterwards. */
long overview_days_left(const struct overview *o, time_t end);
/* Certificates and lists that have expired or soon will. */
size_t overview_expiring(const struct overview *o);
/* The destinations with the most relays, at most OVERVIEW_ROWS; *others: relays to the rest. */
size_t overview_upstreams(const struct overview *o, const struct census_upstream **out,
                          unsigned *others);
/* Refused codes, the most frequent first. */
size_t overview_refusals(const struct overview *o, enum reason out[REASON_COUNT]);
/* A refusal's facts as text. destination: where it wanted to go, host:port; "": not known. */
struct refusal_text {
    char when[CLOCK_TEXT_SIZE], from[ADDR_TEXT_SIZE], destination[TARGET_TEXT_SIZE];
};
struct refusal_text overview_refusal(const struct refusal *e);
/* Open connections of a listener. */
unsigned overview_connections(const struct overview *o, const char *listener);

/* The exposition format of Prometheus, version 0.0.4. */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
void metrics_put(const struct overview *o, struct text *out);
/* Calls `each` once per metric, for documentation. */
void metrics_describe(void (*each)(void *arg, const char *name, const char *type, const char *help),
                      void *arg);

void status_put_json(const struct overview *o, struct text *out);
void status_put_text(const struct overview *o, struct text *out);

/* A page that renews itself with a small script, which is at OVERVIEW_SCRIPT, and works without. */
#define OVERVIEW_SCRIPT "/live.js"
#define OVERVIEW_POLICY                                                                      \
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; " \
    "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
void overview_put_page(const struct overview *o, struct text *out);
const char *overview_script(void);

#endif
