/* The newest refusals, for an operator: in memory only, fed by all workers. The evidence is the
 * audit log. */
#ifndef RUNTIME_REFUSALS_H
#define RUNTIME_REFUSALS_H

#include "base/addr.h"
#include "policy/reasons.h"
#include "policy/target.h"

#include <time.h>

enum { REFUSALS_KEPT = 64, REFUSAL_LABEL = 48, REFUSAL_DETAIL = 320 };

struct refusal {
    struct timespec at;
    struct addr source;
    enum reason reason;
    int alert_received; /* -1: none */
    char listener[REFUSAL_LABEL], connection_id[REFUSAL_LABEL];
    char host[TARGET_HOST_SIZE]; /* "": not known yet */
    uint16_t port;
    bool is_ip;
    char detail[REFUSAL_DETAIL];
};

struct refusals;

WARN_UNUSED struct refusals *refusals_new(void);
void refusals_free(struct refusals *r);
/* The place for one more, which the caller fills, and refusals_end(): nobody else may look
 * meanwhile. */
struct refusal *refusals_begin(struct refusals *r);
void refusals_end(struct refusals *r);
/* The newest ones first, at most so many. */
void refusals_each(struct refusals *r, size_t most,
                   void (*each)(void *arg, const struct refusal *e), void *arg);

#endif
