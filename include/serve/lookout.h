/* What the proxy knows for an operator, gathered when somebody asks (operate/overview.h): the
 * workers' counts, what their connections are doing, what the keeper and the clerk tell. From any
 * thread, but for what says otherwise. */
#ifndef SERVE_LOOKOUT_H
#define SERVE_LOOKOUT_H

#include "operate/overview.h"
#include "serve/worker_thread.h"

struct lookout;

/* shared outlives it. NULL when out of memory. */
WARN_UNUSED struct lookout *lookout_new(struct worker_shared *shared);
/* After the workers. */
void lookout_free(struct lookout *l);

/* ---- for the main thread ---- */

/* They outlive it; n 0: none any more. */
void lookout_watch(struct lookout *l, struct worker_thread **workers, unsigned n);
/* The configuration in use. */
void lookout_use(struct lookout *l, struct loaded_config *loaded);
/* What the keeper and the clerk tell. */
void lookout_note_state(struct lookout *l, const char *keeper, const char *clerk);
void lookout_note_drain(struct lookout *l);
/* Every OVERVIEW_SAMPLE_S. */
void lookout_sample(struct lookout *l);

/* ---- */

/* May this client ask over HTTP? */
bool lookout_allows(struct lookout *l, const struct addr *client);
/* Calls `show` with the overview, if a configuration is in use; waits at most LOOKOUT_WAIT_S for
 * the workers. False: there is none. */
enum { LOOKOUT_WAIT_S = 1 };
WARN_UNUSED bool lookout_show(struct lookout *l, void (*show)(const struct overview *o, void *arg),
                              void *arg);

#endif
