/* What a worker thread has for its connections: its loop, the queues they wait in, counters, and
 * the mailbox, which is all that other threads reach. serve/worker_thread.h runs it.
 * Knows nothing of what a connection does. */
#ifndef RUNTIME_WORKER_H
#define RUNTIME_WORKER_H

#include "audit/writer.h"
#include "base/attr.h"
#include "config/config.h"
#include "page/recent.h"
#include "runtime/counts.h"
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
    struct writer *writer;
    struct recent *recent; /* of test listeners */
    struct sources *sources;
    unsigned active; /* atomic: connections of all workers */
    /* How the clients of a listener type arrive (front/fronts.h), and how an upstream is reached
     * (route/routes.h). */
    const struct front *(*front_of)(enum listen_type type);
    const struct route *(*route_of)(const struct conn *c);
};

/* Embedded in what it is about; on its way at most once at a time. */
struct mail {
    struct mail *next;
    void (*deliver)(struct worker *w, struct mail *mail); /* on the worker's thread */
};

/* Those that may have to make room for others, by what they hold it for. */
enum worker_crowd { CROWD_SILENT, CROWD_HALF_OPEN, CROWD_LEAVING, WORKER_CROWDS };
enum { WORKER_SCRATCH = 16384 };

/* Begin and end are serve/'s; all but the mailbox is the worker's own thread's. */
struct worker {
    unsigned number;
    struct worker_shared *shared;
    struct ev_loop *loop;
    struct conn *connections;
    struct run_queue
        run_queue; /* connections that have used up their share and have more to move */
    size_t count;  /* of connections */
    bool draining; /* the loop ends with the last connection */
    struct counts counts;
    struct crowd crowds[WORKER_CROWDS];
    struct queue *leaving; /* the one queue of CROWD_LEAVING */
    uint64_t next_id;
    unsigned mint_iteration; /* of the loop, when a certificate was made last */
    struct ticket_keys ticket_keys;
    uint8_t scratch[WORKER_SCRATCH]; /* for one call's use */
    ev_async wake;
    pthread_mutex_t lock;
    struct mail *mail, **mail_end; /* under lock */
};

/* All zero before. Makes the loop, which is not yet running. False when out of memory. */
WARN_UNUSED bool worker_init(struct worker *w, unsigned number, struct worker_shared *shared);
/* Every connection has ended; mail that is left is not delivered. */
void worker_fini(struct worker *w);

/* From any thread. */
void worker_post(struct worker *w, struct mail *mail);

uint64_t worker_next_id(struct worker *w);
/* May a certificate be made in this iteration of the loop? One was made. */
WARN_UNUSED bool worker_may_mint(const struct worker *w);
void worker_minted(struct worker *w);
/* source: NULL for CROWD_LEAVING. */
void worker_crowd_join(struct worker *w, enum worker_crowd crowd, struct source *source,
                       struct waiter *waiter);
void worker_crowd_leave(struct worker *w, enum worker_crowd crowd, struct waiter *waiter);
/* A connection no longer counts for max_connections nor for its source, which may be NULL. */
void worker_uncount(struct worker *w, struct source *source);
/* A connection is freed. */
void worker_connection_ended(struct worker *w);

#endif
