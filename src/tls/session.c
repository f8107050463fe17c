#include "io.h"
#include "session_impl.h"

#include "base/shortage.h"
#include "policy/wire.h"

#include <stdlib.h>
#include <string.h>
#include <wolfssl/error-ssl.h>

/* Sends an alert by its number, which the public interface cannot; encrypted if the session is.
 * Declared in the library's internal.h, present in the static library. */
extern int SendAlert(WOLFSSL *ssl, int severity, int type);

/* The longest record with Finished alone and the usual padding: explicit nonce, 16 bytes and tag;
 * IV, 16 bytes, SHA-384 and padding. A real ClientHello is longer. */
enum { FINISHED_GCM = 8 + 16 + 16, FINISHED_CBC = 16 + 80 };

struct saved_session {
    WOLFSSL_SESSION *library;
};

static struct session *session_new(const struct tls_context *context, struct stream *stream,
                                   bool is_server)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->stream = stream;
    s->is_server = is_server;
    s->alert_sent = s->violation = -1;
    s->handshake = calloc(1, sizeof *s->handshake);
    s->ssl = s->handshake ? wolfSSL_new(tls_context_library(context)) : NULL;
    if (!s->ssl) {
        session_free(s);
        return NULL;
    }
    flight_init(&s->handshake->flight);
    wolfSSL_SetIOReadCtx(s->ssl, s);
    wolfSSL_SetIOWriteCtx(s->ssl, s);
    return s;
}

static bool use_alpn(struct session *s, const char *alpn)
{
    size_t n = strlen(alpn);
    char list[2048];
    if (n == 0) return true;
    if (n >= sizeof list) return false;
    memcpy(list, alpn, n + 1);
    return wolfSSL_UseALPN(s->ssl, list, (unsigned)n, WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) ==
           WOLFSSL_SUCCESS;
}

struct session *session_server(const struct tls_context *context, struct stream *stream,
                               const char *alpn, const struct ticket_scope *tickets)
{
    struct session *s = session_new(context, stream, true);
    if (s && tickets) s->handshake->tickets = *tickets;
    if (s && use_alpn(s, alpn)) return s;
    session_free(s);
    return NULL;
}

void session_ask_certificate(struct session *s, enum client_certificate asked,
                             struct peer_check *check)
{
    s->handshake->client.asked = asked;
    s->handshake->check = check;
    wolfSSL_set_verify(s->ssl, WOLFSSL_VERIFY_PEER, session_verify_callback);
    wolfSSL_SetCertCbCtx(s->ssl, check);
}

bool session_hello(struct session *s, struct span message)
{
    return client_flight_hello(&s->handshake->client, message);
}

struct session *session_client(const struct tls_context *context, struct stream *stream,
                               const char *server_name, const char *alpn,
                               const struct flight_offer *offer, struct peer_check *check,
                               const struct saved_session *resume)
{
    struct session *s = session_new(context, stream, false);
    if (!s) return NULL;
    s->handshake->offer = *offer;
    s->handshake->check = check;
    wolfSSL_SetCertCbCtx(s->ssl, check);
    bool ok = use_alpn(s, alpn);
    if (server_name)
        ok = ok && wolfSSL_UseSNI(s->ssl, WOLFSSL_SNI_HOST_NAME, server_name,
                                  (unsigned short)strlen(server_name)) == WOLFSSL_SUCCESS;
    if (ok && resume) ok = wolfSSL_set_session(s->ssl, resume->library) == WOLFSSL_SUCCESS;
    if (ok) return s;
    session_free(s);
    return NULL;
}

bool session_present(struct session *s, const struct text *chain)
{
    return wolfSSL_use_certificate_chain_buffer(s->ssl, (const uint8_t *)text_string(chain),
                                                (long)chain->size) == WOLFSSL_SUCCESS;
}

static void free_handshake(struct session *s)
{
    if (s->handshake) {
        client_flight_fini(&s->handshake->client);
        flight_fini(&s->handshake->flight);
        free(s->handshake->signature);
    }
    free(s->handshake);
    s->handshake = NULL;
}

void session_free(struct session *s)
{
    if (!s) return;
    wolfSSL_free(s->ssl);
    free_handshake(s);
    free(s);
}

enum reason session_received(struct session *s, size_t n, int *alert)
{
    *alert = REASON_ALERT_NONE;
    if (s->is_server || !s->handshake) return REASON_OK;
    return flight_feed(&s->handshake->flight, &s->handshake->offer,
                       s->stream->in.data + s->stream->in.end - n, n, alert);
}

/* A CBC record of up to 2^14 bytes may have more padding than the library has room for. */
static bool is_beyond_library(const struct session *s)
{
    const struct suite *suite = suite_by_id(s->agreed.suite);
    return s->error == LENGTH_ERROR && s->record_header[0] != RECORD_CHANGE_CIPHER_SPEC && suite &&
           suite->mode == SUITE_CBC;
}

static bool is_own_failure(const struct session *s)
{
    return s->violation == ALERT_INTERNAL_ERROR || s->short_of_memory || is_beyond_library(s);
}

/* Records the result of a library call; shortages: their count before it. */
static void note_result(struct session *s, int result, unsigned shortages)
{
    s->error = wolfSSL_get_error(s->ssl, result);
    s->short_of_memory = shortage_count() != shortages || s->error == MEMORY_E;
}

/* For failures about which the library sends nothing (RFC 5246 section 7.2.2). */
static int alert_of_failure(const struct session *s)
{
    if (s->violation >= 0) return s->violation;
    if (is_own_failure(s)) return ALERT_INTERNAL_ERROR;
    if (s->record_header[0] == RECORD_CHANGE_CIPHER_SPEC) return ALERT_UNEXPECTED_MESSAGE;
    if (s->error == LENGTH_ERROR) return ALERT_RECORD_OVERFLOW;
    return s->established ? ALERT_UNEXPECTED_MESSAGE : ALERT_HANDSHAKE_FAILURE;
}

static bool is_gone(const struct session *s)
{
    return s->violation < 0 && (s->stream->end_of_data || s->error == WOLFSSL_ERROR_ZERO_RETURN ||
                                session_alert_received(s) >= 0);
}

static enum session_status fail(struct session *s)
{
    if (!is_gone(s)) session_fatal_alert(s, alert_of_failure(s));
    s->failed = true;
    return SESSION_FAILED;
}

static void note_agreed(struct session *s)
{
    struct agreed *f = &s->agreed;
    const struct flight *flight = &s->handshake->flight;
    char *name = NULL;
    unsigned short n = 0;
    if (strcmp(wolfSSL_get_version(s->ssl), "TLSv1.2") == 0) f->version = TLS_1_2;
    f->suite = (uint16_t)wolfSSL_get_current_cipher_suite(s->ssl);
    f->resumed = wolfSSL_session_reused(s->ssl) == 1;
    f->group = flight->group;
    f->extended_master_secret = flight->extended_master_secret;
    f->encrypt_then_mac = flight->encrypt_then_mac;
    f->speaks_tls13 = flight->speaks_tls13;
    if (wolfSSL_ALPN_GetProtocol(s->ssl, &name, &n) == WOLFSSL_SUCCESS && n < sizeof f->alpn) {
        memcpy(f->alpn, name, n);
        f->alpn[n] = '\0';
    }
}

/* A client that was asked for a certificate sent none and may go on, or a good one with the proof
 * that it has its key. */
static bool client_is_verified(const struct session *s)
{
    const struct client_flight *client = &s->handshake->client;
    if (!s->handshake->check) return true;
    if (wolfSSL_session_reused(s->ssl) == 1 || !client->has_certificates) return false;
    if (client->certificates == 0) return client->asked == CLIENT_CERTIFICATE_OPTIONAL;
    return s->handshake->check->verified && client->has_verify;
}

/* The library would accept a peer whose certificate was not judged. */
static bool peer_is_verified(const struct session *s)
{
    if (s->is_server) return client_is_verified(s);
    return wolfSSL_session_reused(s->ssl) == 1 || s->handshake->check->verified;
}

/* The library verifies nothing, so it sends no alert for a certificate. */
static void refuse_certificate(struct session *s)
{
    const struct peer_check *check = s->handshake->check;
    if (!check || !check->called || check->verified) return;
    int alert = reason_row(check->reason)->alert;
    if (alert >= 0) session_fatal_alert(s, alert);
}

enum session_status session_handshake(struct session *s)
{
    if (s->failed) return SESSION_FAILED;
    unsigned shortages = shortage_count();
    int result = s->is_server ? wolfSSL_accept(s->ssl) : wolfSSL_connect(s->ssl);
    note_result(s, result, shortages);
    if (result == WOLFSSL_SUCCESS && peer_is_verified(s)) {
        note_agreed(s);
        s->established = true;
        return SESSION_OK;
    }
    if (result != WOLFSSL_SUCCESS && s->error == WOLFSSL_ERROR_WANT_READ && !s->stream->end_of_data)
        return SESSION_WANT_BYTES;
    if (s->error == WC_PENDING_E) return SESSION_WANT_SIGNATURE;
    refuse_certificate(s);
    return fail(s);
}

enum session_status session_read(struct session *s, void *p, size_t n, size_t *got)
{
    *got = 0;
    if (s->failed) return SESSION_FAILED;
    /* After close_notify a later write would make the library read on. */
    if (s->closed_by_peer) return SESSION_CLOSE_NOTIFY;
    s->sent_in_read = false;
    unsigned shortages = shortage_count();
    int result = wolfSSL_read(s->ssl, p, (int)n);
    if (result > 0) {
        *got = (size_t)result;
        return SESSION_OK;
    }
    note_result(s, result, shortages);
    switch (s->error) {
    case WOLFSSL_ERROR_WANT_READ:
        return s->stream->end_of_data ? SESSION_TRUNCATED : SESSION_WANT_BYTES;
    case WOLFSSL_ERROR_ZERO_RETURN:
        s->closed_by_peer = true;
        return SESSION_CLOSE_NOTIFY;
    default:
        return fail(s);
    }
}

bool session_write(struct session *s, const void *p, size_t n)
{
    if (s->failed || s->ended) return false;
    unsigned shortages = shortage_count();
    int result = wolfSSL_write(s->ssl, p, (int)n);
    if (result == (int)n) return true;
    note_result(s, result, shortages);
    s->failed = true;
    return false;
}

void session_close_notify(struct session *s)
{
    if (s->failed || s->ended) return;
    s->ended = true;
    /* Not wolfSSL_shutdown(): its second call reads, and it sends nothing after the peer's end of
     * data. */
    unsigned shortages = shortage_count();
    int result = SendAlert(s->ssl, ALERT_LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
    if (result == 0) return;
    note_result(s, result, shortages);
    s->failed = true;
}

void session_fatal_alert(struct session *s, int description)
{
    /* A failed session may still send one alert. */
    if (s->ended || session_alert_sent(s) >= 0) return;
    s->ended = true;
    if (SendAlert(s->ssl, ALERT_LEVEL_FATAL, description) == 0) s->alert_sent = description;
    s->failed = true;
}

const struct flight *session_flight(const struct session *s)
{
    return s->handshake ? &s->handshake->flight : NULL;
}

void session_handshake_done(struct session *s)
{
    free_handshake(s);
    wolfSSL_SetCertCbCtx(s->ssl, NULL);
}

struct agreed session_agreed(const struct session *s)
{
    return s->agreed;
}

int session_alert_sent(const struct session *s)
{
    WOLFSSL_ALERT_HISTORY history;
    if (s->alert_sent >= 0) return s->alert_sent;
    if (wolfSSL_get_alert_history(s->ssl, &history) != WOLFSSL_SUCCESS) return -1;
    return history.last_tx.level == ALERT_LEVEL_FATAL ? history.last_tx.code : -1;
}

int session_alert_received(const struct session *s)
{
    WOLFSSL_ALERT_HISTORY history;
    if (wolfSSL_get_alert_history(s->ssl, &history) != WOLFSSL_SUCCESS) return -1;
    return history.last_rx.level == ALERT_LEVEL_FATAL ? history.last_rx.code : -1;
}

enum reason session_explain(const struct session *s, bool closed, int *alert_received)
{
    const struct handshake *h = s->handshake;
    struct flight seen = h->flight;
    enum reason reason = h->check ? h->check->reason : REASON_OK;
    if (is_own_failure(s)) reason = REASON_INTERNAL_ERROR;
    if (seen.alert < 0) seen.alert = session_alert_received(s);
    *alert_received = seen.alert;
    if (reason == REASON_OK && seen.alert < 0 && !closed) reason = trust_reason_of_error(s->error);
    return reason != REASON_OK ? reason : flight_explain(&seen, closed);
}

/* A plaintext hello was parsed. An encrypted one is known by the library's error for a repeated
 * message: apart from it only Finished gives that error, and Finished is shorter. */
static bool is_hello_repeated(const struct session *s)
{
    const uint8_t *header = s->record_header;
    const struct suite *suite = suite_by_id(s->agreed.suite);
    size_t finished = suite && suite->mode == SUITE_GCM ? FINISHED_GCM : FINISHED_CBC;
    if (s->handshake && s->handshake->client.hello) return true;
    return s->error == DUPLICATE_MSG_E && header[0] == RECORD_HANDSHAKE &&
           record_length(header) > finished;
}

enum reason session_fault(const struct session *s)
{
    if (!s->failed || is_gone(s)) return REASON_OK;
    if (is_own_failure(s)) return REASON_INTERNAL_ERROR;
    if (!s->is_server) return REASON_UPSTREAM_PROTOCOL_VIOLATION;
    return is_hello_repeated(s) ? REASON_CLIENT_RENEGOTIATION : REASON_CLIENT_PROTOCOL_VIOLATION;
}

bool session_lacks_certificate(const struct session *s)
{
    return s->handshake && s->handshake->client.lacks_certificate;
}

bool session_excess_certificates(const struct session *s)
{
    return s->handshake && s->handshake->client.excess;
}

bool session_certificate_unread(const struct session *s)
{
    const struct handshake *h = s->handshake;
    return s->failed && s->violation < 0 && !is_gone(s) && h && h->client.certificates > 0 &&
           h->check && !h->check->called;
}

bool session_sent_certificate(const struct session *s)
{
    return s->handshake && s->handshake->sent_certificate;
}

bool session_lacks_proof(const struct session *s)
{
    const struct handshake *h = s->handshake;
    /* A wrong signature, one of PKCS #1 that is wrong, a key that the library did not reach. */
    bool unproved =
        s->error == SIG_VERIFY_E || s->error == VERIFY_CERT_ERROR || s->error == INVALID_PARAMETER;
    return h && h->client.has_verify && h->check && h->check->verified && unproved;
}

bool session_renegotiation_asked(const struct session *s)
{
    WOLFSSL_ALERT_HISTORY history;
    if (!s->sent_in_read || s->ended ||
        wolfSSL_get_alert_history(s->ssl, &history) != WOLFSSL_SUCCESS)
        return false;
    return history.last_tx.level == ALERT_LEVEL_WARNING &&
           history.last_tx.code == ALERT_NO_RENEGOTIATION;
}

struct saved_session *session_save(struct session *s)
{
    WOLFSSL_SESSION *library = wolfSSL_get1_session(s->ssl);
    if (!library) return NULL;
    struct saved_session *saved =
        wolfSSL_SessionIsSetup(library) == 1 ? malloc(sizeof *saved) : NULL;
    if (!saved) {
        wolfSSL_SESSION_free(library);
        return NULL;
    }
    saved->library = library;
    return saved;
}

void saved_session_free(struct saved_session *saved)
{
    if (!saved) return;
    wolfSSL_SESSION_free(saved->library);
    free(saved);
}
