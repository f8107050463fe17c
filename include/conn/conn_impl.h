/* The connection's own struct and the functions its files share. For conn/, front/ and
 * route/ only. */
#ifndef CONN_CONN_IMPL_H
#define CONN_CONN_IMPL_H

#include "audit/record.h"
#include "conn/conn.h"
#include "conn/conn_state.h"
#include "conn/front.h"
#include "conn/leg.h"
#include "conn/route.h"
#include "net/dialler.h"
#include "policy/ja4.h"
#include "policy/outlook.h"
#include "policy/target.h"
#include "policy/verdict.h"
#include "runtime/worker.h"

/* How a refusal is answered, decided when it is made. */
enum refusal_form {
    FORM_CLOSE, /* send what the library queued, then close */
    FORM_FRONT, /* as the listener's type answers before TLS */
    FORM_HTTP,  /* a plain HTTP answer, where TLS was expected */
    FORM_ALERT, /* a fatal alert of ours, in plaintext */
    FORM_PAGE,  /* a page in the client's own TLS session */
};

enum { CONNECTION_ID_SIZE = 40, ALPN_LIMIT = 1024 };

/* A signature that one of the sessions waits for. */
struct conn_signing {
    struct signing signing;
    struct conn *conn;
    struct session *session;
    enum conn_state back; /* where its handshake goes on */
};

/* What only the time before the relay needs. */
struct setup {
    struct target_scan scan; /* of a forward listener's request */
    struct buf request;      /* received in the client's TLS session; see conn_collect_request() */
    struct hello_reader reader;
    struct hello hello; /* a view into reader.message */
    bool has_hello;
    struct verdict verdict;
    char ja4[JA4_SIZE];
    uint8_t hello_alert; /* of a malformed hello */

    struct lookup *lookup;
    struct dial *dial;
    size_t greeted;     /* the front's own progress in GREETING; 0 at the beginning */
    unsigned exchanged; /* the route's own progress before TLS; 0 at the beginning */
    struct addr addresses[LOOKUP_LIMIT];
    size_t address_count;

    struct peer_check check;                 /* of the upstream */
    struct peer_check client_check;          /* of a client that is asked for a certificate */
    const struct own_certificate *presented; /* to an upstream that asked for one, or NULL */
    bool requested;                          /* it has asked */
    int64_t handshake_ns;                    /* when the handshake under way began, steady */
    int64_t verified_ns;                /* when the upstream's certificate was verified, steady */
    struct cert_facts known_facts;      /* of the session offered for resumption */
    char alpn[ALPN_LIMIT];              /* offered upstream, comma-separated */
    uint8_t alpn_wire[ALPN_LIMIT];      /* the same, length-prefixed */
    char agreed_alpn[FLIGHT_ALPN_SIZE]; /* to send to the client, "" for none */
    size_t alpn_wire_size;
    bool without_h2, without_resumption; /* for a second dial */
    size_t header_size;                  /* of the bytes queued in front of our hello */
    bool naming; /* the lookup is that of a redirected client's name, not of the next hop */
    bool resuming;
    bool answered, left_unanswered; /* the client, after our flight */
    struct conn_signing signing;
    struct mint_wait mint; /* for the client's certificate */

    enum refusal_form form;
    int form_alert;           /* to the client, -1: none */
    const char *proxy_status; /* error type */
    char detail[288];         /* of the refusal, if not a constant */
    unsigned http;
};

/* What is seen of a connection whose TLS only passes. */
struct observer {
    /* Before the upstream is connected: bytes of the client for it. Then: the client's first ones,
     * until they show that they are no PROXY header. */
    struct buf kept;
    struct reply reply;
    struct outlook outlook;
    bool begun;        /* they are none */
    bool client_seen;  /* the hello is judged, and allowed */
    bool name_pending; /* a redirected client's name is looked up */
};

/* tls-server-end-point (RFC 5929 section 4): a hash of the server's certificate. It is the same on
 * both legs if, and only if, the certificates are the same. */
enum channel_binding { BINDING_UNKNOWN, BINDING_SAME, BINDING_DIFFERS };

enum direction_state { DIRECTION_OPEN, DIRECTION_DRAINING, DIRECTION_CLOSED };

struct direction {
    enum direction_state state;
    uint64_t bytes;
};

struct conn {
    struct worker *worker;
    struct runtime *runtime;
    struct runtime_listener *listener;
    const struct front *front; /* of the listener's type */
    struct conn *next, **link;

    struct source *source; /* while counted for it */
    struct waiter waiter;
    enum worker_crowd crowd; /* the one it waits in, or WORKER_CROWDS */

    enum conn_state state;
    ev_timer timer;
    int64_t deadline_ns; /* steady; INT64_MAX: none */
    int64_t started_ns, active_ns;

    struct leg client, upstream;
    struct setup *setup;       /* NULL once the relay runs, or the observer has seen enough */
    struct observer *observer; /* of a listener that observes; NULL: it has seen enough */
    struct direction to_upstream, to_client;

    struct addr peer, upstream_address;
    /* With a PROXY header: who sent it, and the address to which its client had connected. */
    struct addr via, via_destination;
    const struct route *route; /* to the upstream, once known */
    struct target target;      /* where the client wants to go; host "" until known */
    struct addr original; /* to which a redirected client connected; length 0: not redirected */
    char identity[HELLO_NAME_SIZE];
    bool identity_is_ip;
    bool expects_tls; /* the client expects TLS in answers */
    bool saw_bytes;   /* the first byte has come */
    char id[CONNECTION_ID_SIZE];

    enum reason reason; /* the first verdict */
    const char *detail;
    const char *closed_by;
    enum channel_binding channel_binding;
    int alert_sent, alert_received;
    struct own_hello *own_hello; /* sent upstream and not answered yet, or NULL */
    unsigned passes;             /* how often the client's hello has come through this process */
    struct mail mail;            /* the audit writer's answer */
    bool written;                /* its result */
    struct run_entry run_entry;
    bool waiting_for_audit, recorded;
    bool counted;        /* for max_connections */
    bool rerun;          /* has more work that no socket event announces */
    bool given_a_moment; /* this state's deadline was extended after a stall of the process */
    size_t discarded;    /* bytes read and dropped while the last ones are sent */
    int unsent;          /* bytes in the sockets' send queues at the last check */
};

/* client.c: what goes upstream now is known again by this mark, until it is answered. */
void client_mark(struct conn *c, const uint8_t mark[HELLO_RANDOM_SIZE]);
void client_mark_answered(struct conn *c);

/* conn.c */
void conn_set_state(struct conn *c, enum conn_state state);
/* Its first byte has come. */
void conn_saw_bytes(struct conn *c);
void conn_run(struct conn *c);
void conn_on_leg(struct ev_loop *loop, ev_io *io, int events);
/* Its sessions are set up, or it ends: it needs no more of its configuration than relays do. */
void conn_end_setup(struct conn *c);
const struct config *conn_config(const struct conn *c);
/* It no longer counts for max_connections: it is refused or has ended. */
void conn_uncount(struct conn *c);
/* It counts for this source from now on. */
void conn_change_source(struct conn *c, struct source *source);

/* mutual.c: does the listener ask its clients for a certificate? */
bool mutual_asks(const struct conn *c);
/* Lets the client's session ask for it, if so. */
void mutual_ask(struct conn *c);
/* The client's handshake has failed. Refuses because of its certificate; false: that is not why. */
WARN_UNUSED bool mutual_refuse(struct conn *c);
/* Presents an identity to an upstream that has just asked for one. False: the library refuses it.
 */
WARN_UNUSED bool mutual_answer(struct conn *c);
void mutual_describe(const struct conn *c, struct audit_request *out);

/* signing.c: a session wants a signature with this key: asks for it, and goes on with the handshake
 * afterwards, in this state. */
enum step signing_begin(struct conn *c, struct session *session, enum sign_what what, size_t index);
/* Nothing is awaited any more. */
void signing_abandon(struct conn *c);

/* arrival.c: is the client a program of this machine, as far as is known? */
bool conn_is_of_this_machine(const struct conn *c);

/* Called by the state table, by file. */
enum step proxy_header_step(struct conn *c); /* arrival.c */
void proxy_header_overdue(struct conn *c);
enum step watch_step(struct conn *c);
void watch_overdue(struct conn *c);
enum step waiting_step(struct conn *c);
void conn_end(struct conn *c);
void conn_refuse_for_shutdown(struct conn *c);
enum step conn_greeting_step(struct conn *c); /* the front's */
enum step conn_exchange_step(struct conn *c); /* the route's */
enum step conn_responder_step(struct conn *c);
void conn_responder_overdue(struct conn *c);
void conn_responder_shut_down(struct conn *c);
enum step hello_step(struct conn *c); /* client.c */
void client_hello_overdue(struct conn *c);
enum step client_certificate_step(struct conn *c);
void client_certificate_overdue(struct conn *c);
enum step signing_step(struct conn *c); /* signing.c */
void signing_overdue(struct conn *c);
enum step client_handshake_step(struct conn *c);
void client_handshake_overdue(struct conn *c);
void reach_lookup_overdue(struct conn *c); /* reach.c */
void reach_dial_overdue(struct conn *c);
enum step upstream_handshake_step(struct conn *c); /* upstream.c */
void upstream_handshake_overdue(struct conn *c);
enum step relay_step(struct conn *c); /* relay.c */
void relay_idle(struct conn *c);
void relay_shut_down(struct conn *c);
void relay_give_up(struct conn *c);  /* the time for the queues is over */
enum step page_step(struct conn *c); /* refusal.c */
void refusal_shut_down(struct conn *c);
void page_overdue(struct conn *c);
enum step linger_step(struct conn *c); /* linger.c */
void linger_overdue(struct conn *c);

/* reach.c: resolves the next hop and dials it, if c->target is allowed; dials the addresses found;
 * continues once connected. */
enum step reach_begin(struct conn *c);
/* The one of these addresses to which a redirected client connected; NULL: none. */
const struct addr *reach_original_among(const struct conn *c, const struct addr *addresses,
                                        size_t n);
/* Of a lookup that found nothing; REASON_LIMIT_REACHED is our own shortage. */
enum reason reach_lookup_reason(enum lookup_status status);
/* Do allow_upstreams have c->target, or the address to which a redirected client connected? */
bool reach_is_allowed(const struct conn *c);
enum step reach_dial(struct conn *c);
enum step reach_done(struct conn *c);
/* Cancels lookup and dial. */
void reach_abandon(struct conn *c);

/* upstream.c */
WARN_UNUSED bool upstream_queue_header(struct conn *c);
enum step upstream_start_handshake(struct conn *c);
enum step upstream_failed(struct conn *c, enum reason reason, int alert);

/* client.c: sets the identity that is presented and verified. */
void client_set_identity(struct conn *c);
/* For fronts whose clients ask for a target. Its name; for a target by address the hello's server
 * name, if any. */
const char *client_target_name(const struct conn *c);
/* Has what has this mark, or the hello, gone in a circle? Sets c->passes. */
bool client_circles(struct conn *c, const uint8_t mark[HELLO_RANDOM_SIZE]);
bool client_hello_circles(struct conn *c);
/* Does the hello's server name fit the target? */
enum reason client_judge_name(const struct conn *c);
/* Refuses bytes that begin a PROXY header, which is not expected. False: they do not. */
WARN_UNUSED bool client_refuse_header(struct conn *c, const uint8_t *p, size_t n);
/* Refuses what cannot be read: as such a header, or for the reason. */
enum step client_refuse_unread(struct conn *c, enum reason reason, const uint8_t *p, size_t n);
/* There are not enough bytes yet: waits, or ends. */
enum step client_greeting_incomplete(struct conn *c);
/* The upstream is connected: from now on the client expects TLS. */
enum step client_await_hello(struct conn *c);
enum step client_start_handshake(struct conn *c, const char *alpn);

/* observe.c: a listener that only observes. observe_start(): at the beginning; false: no memory.
 * observe_keep(): n bytes of the client were taken that the upstream has to get. observe_relay():
 * the upstream is connected; bytes pass from now on. observe_bytes(): these pass; false: they must
 * not, and the connection is refused. observe_end(): no more will; false: nobody said anything,
 * which is no record. */
WARN_UNUSED bool observe_start(struct conn *c);
WARN_UNUSED bool observe_keep(struct conn *c, const void *p, size_t n);
enum step observe_relay(struct conn *c);
WARN_UNUSED bool observe_bytes(struct conn *c, bool from_client, const void *p, size_t n);
bool observe_end(struct conn *c);
void observe_free(struct conn *c);

/* arrival.c: who the client is, is known: its first bytes are read, or its target is reached. */
enum step arrival_begin(struct conn *c);
bool conn_observes(const struct conn *c);

/* relay.c */
void relay_begin(struct conn *c);
int relay_events(struct conn *c, struct leg *l);

/* refusal.c: collects the request of the client's TLS session in setup->request: its whole head, or
 * enough to see that it is not one or too large. */
enum request_status { REQUEST_HERE, REQUEST_WAIT, REQUEST_GONE };
enum request_status conn_collect_request(struct conn *c);

/* refusal.c: the one way to refuse. alert: to the client instead of the table's, or
 * REASON_ALERT_AS_SENT. proxy_status: instead of the table's, or NULL. Always STEP_AGAIN. */
enum step conn_refuse(struct conn *c, enum reason reason);
enum step conn_refuse_with(struct conn *c, enum reason reason, int alert, const char *proxy_status);
/* Queues the refusal as a plain HTTP answer. */
void refusal_http(struct conn *c);
/* refusal.c: the refusal is recorded, or recording failed. */
void conn_audit_answered(struct conn *c, bool written);
bool hello_wants_http(const struct setup *a);

/* evidence.c */
void evidence_refused(struct conn *c, bool wait);
void evidence_opened(struct conn *c);
void evidence_observed(struct conn *c);
void evidence_closed(struct conn *c);
/* A handshake of this leg (COUNTS_CLIENT or COUNTS_UPSTREAM) has succeeded: it is counted. */
void evidence_handshake(struct conn *c, unsigned leg, const struct agreed *agreed);
/* For a test listener's operator (page/recent.h); no effect for other listeners. */
void evidence_recent(const struct conn *c);

#endif
