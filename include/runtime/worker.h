/* What a worker thread has for its connections: its loop, their queues, counters, and the mailbox,
 * which is the only part for other threads. serve/worker_thread.h runs it. Knows nothing of what a
 * connection does. */
#ifndef RUNTIME_WORKER_H
#define RUNTIME_WORKER_H

#include "audit/recorder.h"
#include "base/attr.h"
#include "config/config.h"
#include "page/recent.h"
#include "runtime/counts.h"
#include "runtime/mints.h"
#include "runtime/own_hellos.h"
#include "runtime/refusals.h"
#include "runtime/run_queue.h"
#include "runtime/sources.h"
#include "tls/ticket.h"

#include <ev.h>
#include <pthread.h>

struct conn;
struct front;
struct route;
struct worker;

/* What all workers share. */
struct worker_shared {
    struct recording *recording;
    struct recent *recent; /* of test listeners */
    struct refusals *refusals;
    struct sources *sources;
    struct own_hellos *own_hellos;
    unsigned active; /* atomic: connections of all workers */
    /* How the clients of a listener type arrive (front/fronts.h), and how an upstream is reached
     * (route/routes.h). */
    const struct front *(*front_of)(enum listen_type type);
    const struct route *(*route_of)(const struct conn *c);
};

/* Embedded in its subject; posted at most once at a time. */
struct mail {
    struct mail *next;
    void (*deliver)(struct worker *w, struct mail *mail); /* on the worker's thread */
};

/* Connections that may have to make room: before their first bytes are complete, in a handshake, or
 * refused and leaving. */
enum worker_crowd { CROWD_SILENT, CROWD_HALF_OPEN, CROWD_LEAVING, WORKER_CROWDS };
enum { WORKER_SCRATCH = 16384 };

/* serve/ begins and ends it. Only the mailbox is for other threads. */
struct worker {
    unsigned number;
    struct worker_shared *shared;
    struct ev_loop *loop;
    struct recorder *recorder;
    struct conn *connections;
    struct conn *prepared;      /* memory for the next one, or NULL */
    struct run_queue run_queue; /* connections that have used their share and have more to move */
    size_t count;               /* of connections */
    bool draining;              /* the loop ends with the last connection */
    struct counts counts;
    struct crowd crowds[WORKER_CROWDS];
    struct queue *leaving; /* the one queue of CROWD_LEAVING */
    uint64_t next_id;
    struct signer *signer; /* NULL: none yet */
    struct mints mints;
    struct ticket_keys ticket_keys;
    uint8_t scratch[WORKER_SCRATCH]; /* for one call's use */
    ev_async wake;
    pthread_mutex_t lock;
    struct mail *mail, **mail_end; /* under lock */
};

/* w is zeroed. Makes the loop, which does not run yet. False when out of memory. */
WARN_UNUSED bool worker_init(struct worker *w, unsigned number, struct worker_shared *shared);
/* After every connection has ended. Does not deliver remaining mail. */
void worker_fini(struct worker *w);

/* From any thread. */
void worker_post(struct worker *w, struct mail *mail);

uint64_t worker_next_id(struct worker *w);
/* source: NULL for CROWD_LEAVING. */
void worker_crowd_join(struct worker *w, enum worker_crowd crowd, struct source *source,
                       struct waiter *waiter);
void worker_crowd_leave(struct worker *w, enum worker_crowd crowd, struct waiter *waiter);
/* A connection no longer counts for max_connections and its source. source may be NULL. */
void worker_uncount(struct worker *w, struct source *source);
/* A connection is freed. */
void worker_connection_ended(struct worker *w);

#endif
