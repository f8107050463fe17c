/* One connection's life, from accept to the last byte and its records.
 * A connection belongs to its worker; only its own event callbacks free it. */
#ifndef PROXY_CONN_H
#define PROXY_CONN_H

#include "base/addr.h"
#include "policy/reasons.h"
#include "proxy/gate.h"

struct worker;
struct conn;

/* Takes the accepted socket. at_once: a reason to refuse it with (REASON_OK: serve it).
 * May end and free the connection before it returns. */
void conn_start(struct worker *worker, struct gate_listener *listener, int fd,
                const struct addr *peer, enum reason at_once);
/* The audit writer's answer has come to this worker. */
void conn_audit_answered(struct conn *c, bool written);
/* The drain is over: end now. */
void conn_shut_down(struct conn *c);
struct conn *conn_next(const struct conn *c);

#endif
