/* One connection to the server: an offer (policy/offer.h) and the reply, or a whole handshake of
 * the TLS library under the policy. Each call opens a connection, waits a limited time, and closes
 * it. Safe to call from several threads with one target. */
#ifndef CHECK_PROBE_H
#define CHECK_PROBE_H

#include "base/addr.h"
#include "check/limiter.h"
#include "pki/trust.h"
#include "policy/offer.h"
#include "policy/reply.h"
#include "tls/context.h"
#include "tls/session.h"

#include <stdatomic.h>

struct probe_target {
    struct addr address;
    const char *identity; /* the name or address that the certificate must have */
    bool identity_is_ip;  /* then no server_name is sent */
    bool smtp;            /* STARTTLS comes first */
    struct limiter *limiter;
    int64_t deadline;         /* steady; for all connections together */
    int64_t first_wait;       /* nanoseconds for one answer, until the server's speed is known */
    _Atomic int64_t slowest;  /* nanoseconds of its slowest answer; 0: none yet */
    atomic_uint *connections; /* counts them, for the progress line; NULL: no counting */
};

enum probe_outcome {
    PROBE_ANSWERED,    /* reply.kind is a ServerHello, an alert, SSL 2.0 */
    PROBE_NOT_TLS,     /* reply.kind has details */
    PROBE_UNREACHABLE, /* `fault` is the errno of connect() */
    PROBE_SILENT,      /* connected, but no byte came in time */
    PROBE_SLOW,        /* bytes came, but not all in time */
    PROBE_CLOSED,      /* closed without an answer */
    PROBE_SMTP,        /* STARTTLS failed: `smtp` says why */
    PROBE_NO_STARTTLS, /* the mail server does not support it */
    PROBE_NO_TIME,     /* the deadline is over */
    PROBE_FAILED,      /* on our side: `fault` is an errno */
};

enum { PROBE_SMTP_TEXT = 160 };

struct probe {
    enum probe_outcome outcome;
    int fault;
    char smtp[PROBE_SMTP_TEXT];
    struct reply reply;
};

enum probe_depth { PROBE_HELLO, PROBE_FLIGHT }; /* to the ServerHello, or all plaintext */

/* offer NULL: the hello of SSL 2.0. patient: always waits for first_wait. probe_fini() frees the
 * result. */
void probe_run(struct probe_target *t, const struct offer *offer, enum probe_depth depth,
               bool patient, struct probe *out);
void probe_fini(struct probe *p);

/* A real handshake with exactly these suites. */
struct proof {
    bool completed;
    bool verified;    /* the certificate passed; the handshake may have failed later */
    bool keys_agreed; /* the server's key exchange passed too: its signature proves the key */
    enum reason reason;
    uint16_t group;
    enum probe_outcome outcome; /* PROBE_ANSWERED: there is a verdict */
};
/* check: with its trust set; for the calling thread only. */
void probe_handshake(struct probe_target *t, const struct tls_context *context,
                     const struct flight_offer *offer, struct peer_check *check, struct proof *out);

#endif
