/* One connection's life, from accept to the last byte and its records.
 * A connection belongs to its worker; only its own event callbacks free it. */
#ifndef CONN_CONN_H
#define CONN_CONN_H

#include "base/addr.h"
#include "policy/reasons.h"
#include "runtime/crowd.h"
#include "runtime/runtime.h"
#include "runtime/worker.h"

struct conn;

/* An accepted connection. */
struct arrival {
    int fd;
    struct addr peer;
    struct source *source; /* counts this connection; NULL: out of memory */
    bool expects_header;   /* a PROXY header comes first and says who the client is */
    enum reason refuse;    /* REASON_OK: serve it */
    const char *detail;    /* of the refusal, or NULL */
};

/* Counts a client's new connection for its source, which it returns (NULL: out of memory), and
 * decides by allow_clients and the limits of the source whether to serve it. *detail is set for
 * some refusals. */
WARN_UNUSED struct source *conn_admit(struct worker *w, const struct runtime_listener *l,
                                      const struct addr *client, enum reason *refuse,
                                      const char **detail);
/* Gets the memory for the next connection, before it is accepted: one that is accepted can be
 * refused and recorded. False: there is none. */
WARN_UNUSED bool conn_prepare(struct worker *w);
/* Before the worker ends. */
void conn_unprepare(struct worker *w);
/* Prepared. Takes the socket. May end and free the connection before it returns. */
void conn_start(struct worker *worker, struct runtime_listener *listener,
                const struct arrival *arrival);
/* Ends it now: the drain is over. */
void conn_shut_down(struct conn *c);
/* For a connection in a crowd: when it started; its source; refuse it, because others need its
 * place (greedy: because its source has too many); close it, since its refusal is recorded. */
int64_t conn_started_ns(const struct waiter *waiter); /* steady */
struct source *conn_source(const struct waiter *waiter);
void conn_yield(struct waiter *waiter, bool greedy);
void conn_cut(struct waiter *waiter);
struct conn *conn_next(const struct conn *c);

#endif
