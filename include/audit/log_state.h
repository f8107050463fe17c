/* How the clerk's work goes, as text in its answers to the keeper's ping, which goes on to whoever
 * shows it. Its reader trusts no number in it. */
#ifndef AUDIT_LOG_STATE_H
#define AUDIT_LOG_STATE_H

#include "base/attr.h"
#include "base/histogram.h"
#include "base/text.h"

#include <stdbool.h>

enum { LOG_STATE_SINKS = 16, LOG_STATE_NAME = 400 };

/* A further sink: a copy, or a syslog daemon. */
struct log_sink {
    char name[LOG_STATE_NAME];
    unsigned long written, waiting, dropped;
};

struct log_state {
    /* Since the clerk's start: records written; those that wait now; 1: the file cannot be
     * written. */
    unsigned long written, waiting, failing;
    unsigned long sequence; /* of the chain's last record */
    char head[65];          /* its hash; "": none yet */
    struct histogram syncs; /* how long they took */
    struct log_sink sinks[LOG_STATE_SINKS];
    size_t sink_count;
};

void log_state_put(const struct log_state *s, struct text *out);
/* What cannot be read stays zero. */
void log_state_read(const char *text, struct log_state *out);

#endif
