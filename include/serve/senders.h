/* The keeper's own recorder and those of the proxy's workers, as senders of the clerk: connects all
 * of them to each new clerk. For the main thread. */
#ifndef SERVE_SENDERS_H
#define SERVE_SENDERS_H

#include "audit/recorder.h"
#include "serve/clerk_process.h"
#include "serve/proxy_process.h"

enum { SENDERS_LIMIT = 1 + CONFIG_WORKERS };

/* Embedded in its owner. Channel 0 is the keeper's own; each worker of the proxy has one. */
struct senders {
    struct ev_loop *loop;
    struct recording *recording;
    struct clerk_process *clerk;
    struct recorder *own;
    struct timespec start;       /* of the keeper, for its records' name */
    struct proxy_process *proxy; /* not owned; NULL: none */
    unsigned count;              /* of its workers */
    bool wanted[SENDERS_LIMIT];  /* channels that have to be connected */
    ev_timer again;
};

/* s is zeroed. Starts the clerk, which opens the log (serve/clerk_process.h), and connects the own
 * recorder. False with a sentence in errors, or when out of memory; senders_end() all the same. */
WARN_UNUSED bool senders_start(struct senders *s, struct ev_loop *loop,
                               const struct audit_config *config, const struct audit_origin *origin,
                               const struct clerk_events *events, struct text *errors);
/* Connects this proxy's workers; NULL: there is none now. If there is no descriptor for one, it is
 * tried again. */
void senders_use(struct senders *s, struct proxy_process *proxy, unsigned count);
/* For each new clerk: connects all. */
void senders_connect(struct senders *s);
/* Has the clerk taken all of them? */
bool senders_are_connected(const struct senders *s);
/* This channel has lost its clerk, or could not be connected: it is tried again in a moment. */
void senders_missed(struct senders *s, unsigned channel);
/* At the end, without the loop: the own records go out, to another clerk if this one dies. Returns
 * how many records were lost. */
size_t senders_end(struct senders *s);

#endif
