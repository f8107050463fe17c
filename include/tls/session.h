/* One leg's TLS session as an engine: bytes in, bytes out, a status. It touches no socket: the
 * owner fills its stream's `in` from the network and empties `out` to it.
 * A session belongs to one thread. It borrows its stream, and its peer_check until the handshake
 * ends.
 * Nothing here waits. The out queue always accepts, so the owner limits it. */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include "base/attr.h"
#include "base/stream.h"
#include "pki/signing.h"
#include "pki/trust.h"
#include "policy/agreed.h"
#include "policy/client_flight.h"
#include "policy/flight.h"
#include "tls/context.h"
#include "tls/ticket.h"

#include <stdbool.h>

enum session_status {
    SESSION_OK,             /* done; or bytes were read */
    SESSION_WANT_BYTES,     /* needs more in the stream */
    SESSION_WANT_SIGNATURE, /* needs session_give_signature() */
    SESSION_CLOSE_NOTIFY,   /* the peer ended its side properly */
    SESSION_TRUNCATED,      /* the peer's bytes ended without close_notify */
    SESSION_FAILED,         /* the session is dead; see session_explain(), alerts */
};

struct session;
struct saved_session; /* what a later handshake can resume */

/* Server side. alpn: the one protocol to answer, "" for none. tickets: copied; needed if the
 * context has tickets and the client supports them, else NULL. */
WARN_UNUSED struct session *session_server(const struct tls_context *context, struct stream *stream,
                                           const char *alpn, const struct ticket_scope *tickets);
/* Asks the client for a certificate, which check judges; it is borrowed until the handshake ends.
 * For a context without tickets: a resumed session would not ask. */
void session_ask_certificate(struct session *s, enum client_certificate asked,
                             struct peer_check *check);
/* The client's hello, which was read before the session began; what follows it is in the stream.
 * False: no memory. */
WARN_UNUSED bool session_hello(struct session *s, struct span message);
/* Client side. server_name: SNI, NULL for none; alpn: comma-separated, "" for none; offer: for
 * judging the answer (its ALPN span and check are borrowed until the handshake ends); resume: may
 * be NULL. */
WARN_UNUSED struct session *session_client(const struct tls_context *context, struct stream *stream,
                                           const char *server_name, const char *alpn,
                                           const struct flight_offer *offer,
                                           struct peer_check *check,
                                           const struct saved_session *resume);
/* Presents this certificate (PEM, leaf first) if the server asks for one: to be called before the
 * library reads its CertificateRequest. Its signature is asked for. False when the library refuses
 * it. */
WARN_UNUSED bool session_present(struct session *s, const struct text *chain);
void session_free(struct session *s);

/* The owner calls this after it appended n bytes to the stream's `in`: during a client handshake
 * they are judged. REASON_OK, or why to end it, with the alert to send (-1: none). */
WARN_UNUSED enum reason session_received(struct session *s, size_t n, int *alert);

WARN_UNUSED enum session_status session_handshake(struct session *s);
/* The signature that the handshake waits for, with the key that this side presents. */
const struct signing_request *session_wanted_signature(const struct session *s);
/* n = 0: it could not be made, and the handshake fails with an internal error. */
void session_give_signature(struct session *s, const uint8_t *p, size_t n);
/* Up to n bytes of payload; *got > 0 on SESSION_OK. */
WARN_UNUSED enum session_status session_read(struct session *s, void *p, size_t n, size_t *got);
/* Takes all n bytes. False: the session has failed. */
WARN_UNUSED bool session_write(struct session *s, const void *p, size_t n);
/* Ends our side; reading may continue. Call once. */
void session_close_notify(struct session *s);
/* A fatal alert, in plaintext or encrypted, as the session is; nothing may follow. */
void session_fatal_alert(struct session *s, int description);

/* What was seen of the server's flight; on either side. */
const struct flight *session_flight(const struct session *s);
/* Frees what only the handshake needs. */
void session_handshake_done(struct session *s);
/* Valid after the handshake. */
struct agreed session_agreed(const struct session *s);

/* Why a client handshake failed that session_received() did not stop: the certificate's fault, the
 * alert received (-1: none), or what else was seen. closed: the peer has ended its side. Never
 * REASON_OK. */
enum reason session_explain(const struct session *s, bool closed, int *alert_received);

int session_alert_sent(const struct session *s);     /* -1: none */
int session_alert_received(const struct session *s); /* -1: none */
/* Why a session failed: client_renegotiation, the peer's protocol_violation, or our internal_error;
 * REASON_OK if the peer left. */
enum reason session_fault(const struct session *s);
/* A handshake ended because the client sent no certificate, which is required; because it sent too
 * many; or because it does not prove that it has its certificate's key. */
bool session_lacks_certificate(const struct session *s);
bool session_excess_certificates(const struct session *s);
/* A handshake ended because the library cannot read the client's certificate. */
bool session_certificate_unread(const struct session *s);
/* Client side: was a certificate sent? */
bool session_sent_certificate(const struct session *s);
bool session_lacks_proof(const struct session *s);
/* The peer has asked to renegotiate since the handshake. */
bool session_renegotiation_asked(const struct session *s);

/* Returns what is needed to resume, or NULL. saved_session_free(NULL) is fine. */
WARN_UNUSED struct saved_session *session_save(struct session *s);
void saved_session_free(struct saved_session *saved);

#endif
