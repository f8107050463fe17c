/* The process's own recorder and those of its workers, as senders of the clerk: connects all of
 * them to each new clerk, and brings home what they have at the end. For the main thread. */
#ifndef SERVE_SENDERS_H
#define SERVE_SENDERS_H

#include "audit/recorder.h"
#include "serve/clerk_process.h"
#include "serve/worker_thread.h"

/* Embedded in its owner. Channel 0 is the process's own, each worker has
 * one. */
struct senders {
    struct ev_loop *loop;
    struct recording *recording;
    struct clerk_process *clerk;
    struct recorder *own;
    struct worker_thread **workers; /* not owned */
    unsigned count;                 /* of workers */
    unsigned connected;             /* channels, in order */
    ev_timer again;
    int64_t end_by; /* steady: how long the end waits for clerks; 0: it has not begun */
};

/* s is zeroed. Starts the clerk, which opens the log (serve/clerk_process.h). False with a sentence
 * in errors, or when out of memory; senders_end() all the same. */
WARN_UNUSED bool senders_start(struct senders *s, struct ev_loop *loop,
                               const struct audit_config *config, const struct audit_policy *policy,
                               const struct clerk_events *events, struct text *errors);
/* Once, and for each new clerk. If there is no descriptor for one, it is tried again. */
void senders_connect(struct senders *s, struct worker_thread **workers, unsigned count);
/* At the end, without the loop: the records of a recorder that has lost its clerk go to another
 * one. All calls together wait RECORDING_END_S. */
void senders_settle(struct senders *s, struct recorder *r, unsigned channel);
/* After the workers' recorders. Returns how many records were lost. */
size_t senders_end(struct senders *s);

#endif
