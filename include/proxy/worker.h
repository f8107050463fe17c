/* A worker thread: its loop, its gate, its connections. Nothing of it is shared but the
 * mailbox, through which other threads reach it. */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "audit/writer.h"
#include "base/attr.h"
#include "proxy/conn.h"
#include "proxy/gate.h"
#include "proxy/recent.h"
#include "proxy/run_queue.h"
#include "proxy/sources.h"
#include "tls/ticket.h"

#include <ev.h>

struct worker;

/* What all workers share. */
struct worker_shared {
    struct writer *writer;
    struct recent *recent; /* of test listeners */
    struct sources *sources;
    unsigned active;        /* atomic: connections of all workers */
    unsigned long unspoken; /* atomic: connections that ended before their first byte */
    /* Called on a worker's thread: its loop is over; it has taken the gate it was sent. */
    void (*ended)(void *arg);
    void (*gate_taken)(void *arg);
    void *arg;
    struct ticket_key first_ticket_key; /* what every worker begins with */
};

enum mail_kind { MAIL_AUDIT, MAIL_GATE, MAIL_TICKET_KEY, MAIL_DRAIN, MAIL_SHUT_DOWN };

/* Embedded in who it is about; on its way at most once at a time. */
struct mail {
    struct mail *next;
    enum mail_kind kind;
    struct conn *conn; /* MAIL_AUDIT */
    bool written;
    struct gate *gate; /* MAIL_GATE */
};

/* The loop, not yet running; gates are built on it. NULL when out of memory. */
WARN_UNUSED struct worker *worker_new(unsigned number, struct worker_shared *shared);
struct ev_loop *worker_loop(struct worker *w);
WARN_UNUSED bool worker_start(struct worker *w, struct gate *gate);
/* From any thread. */
void worker_post(struct worker *w, struct mail *mail);
/* From the thread that controls the worker: follow this gate (not again before the former one
 * is taken), stop accepting and end with the last connection, end them all. None of these can
 * fail. */
void worker_change_gate(struct worker *w, struct gate *gate);
/* Seal session tickets with this key from now on. False when the former one is still on its
 * way. */
bool worker_change_ticket_key(struct worker *w, const struct ticket_key *key);
void worker_drain(struct worker *w);
void worker_shut_down(struct worker *w);
/* Waits until the worker has ended (after a drain), and frees it. */
void worker_join(struct worker *w);
/* For one that was never started. */
void worker_free(struct worker *w);

/* For connections, on the worker's own thread. */
struct worker_shared *worker_shared(struct worker *w);
uint64_t worker_next_id(struct worker *w);
/* May a certificate be made in this iteration of the loop? One was made. */
WARN_UNUSED bool worker_may_mint(const struct worker *w);
void worker_minted(struct worker *w);
const struct ticket_keys *worker_ticket_keys(const struct worker *w);
uint8_t *worker_scratch(struct worker *w); /* WORKER_SCRATCH bytes for one call's use */
enum { WORKER_SCRATCH = 16384 };
struct conn **worker_connections(struct worker *w);
/* Connections that have used up their share and have more to move. */
struct run_queue *worker_run_queue(struct worker *w);
/* Those that may have to make room for others, by what they hold it for. */
enum worker_crowd { CROWD_SILENT, CROWD_HALF_OPEN, CROWD_LEAVING, WORKER_CROWDS };
/* source: NULL for CROWD_LEAVING. */
void worker_crowd_join(struct worker *w, enum worker_crowd crowd, struct source *source,
                       struct waiter *waiter);
void worker_crowd_leave(struct worker *w, enum worker_crowd crowd, struct waiter *waiter);
/* It no longer counts for max_connections nor for its source, which may be NULL. */
void worker_uncount(struct worker *w, struct source *source);
/* A connection is freed: accepting may go on. */
void worker_connection_ended(struct worker *w);

#endif
