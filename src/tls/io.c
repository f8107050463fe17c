/* The library's callbacks: to read, to write, for certificates and tickets. Each record is checked
 * here before the library gets it. */
#include "io.h"

#include "base/clock.h"
#include "policy/wire.h"
#include "session_impl.h"

#include <string.h>
#include <wolfssl/error-ssl.h>

_Static_assert(TICKET_NAME == WOLFSSL_TICKET_NAME_SZ && TICKET_IV == WOLFSSL_TICKET_IV_SZ &&
                   TICKET_TAG <= WOLFSSL_TICKET_MAC_SZ,
               "the library's ticket has other parts");

/* The queue the library reads from: on the server side, plaintext is judged and put into new
 * records. NULL: violation. */
static struct buf *source(struct session *s)
{
    struct client_flight *flight = s->is_server && s->handshake ? &s->handshake->client : NULL;
    if (!flight || (flight->done && buf_size(&flight->admitted) == 0)) return &s->stream->in;
    if (buf_size(&flight->admitted) > 0) return &flight->admitted;
    /* In a resumed session our own ChangeCipherSpec comes first. */
    bool abbreviated = s->handshake->flight.done;
    size_t used;
    s->violation = client_flight_feed(flight, abbreviated, buf_head(&s->stream->in),
                                      buf_size(&s->stream->in), &used);
    buf_consume(&s->stream->in, used);
    s->protected = flight->done;
    return s->violation < 0 ? &flight->admitted : NULL;
}

/* At a record's beginning: false unless the library may have it. */
static bool begin_record(struct session *s)
{
    const uint8_t *header = memcpy(s->record_header, buf_head(&s->stream->in), RECORD_HEADER);
    if (s->protected) s->violation = record_judge(header);
    if (s->violation >= 0) return false;
    s->protected = s->protected || header[0] == RECORD_CHANGE_CIPHER_SPEC;
    s->record_left = RECORD_HEADER + record_length(header);
    return true;
}

int session_receive_callback(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct session *s = context;
    struct buf *from = source(s);
    size_t most = (size_t)size;
    (void)ssl;
    if (!from) return WOLFSSL_CBIO_ERR_GENERAL;
    size_t n = buf_size(from);
    bool header_waits = from == &s->stream->in && s->record_left == 0 && n < RECORD_HEADER;
    /* Do not report the end of data to the library: inside a record it would send an alert for a
     * bad MAC. */
    if (n == 0 || header_waits) return WOLFSSL_CBIO_ERR_WANT_READ;
    if (from == &s->stream->in) {
        if (s->record_left == 0 && !begin_record(s)) return WOLFSSL_CBIO_ERR_GENERAL;
        if (most > s->record_left) most = s->record_left;
    }
    if (n > most) n = most;
    memcpy(buffer, buf_head(from), n);
    buf_consume(from, n);
    if (from == &s->stream->in) s->record_left -= n;
    return (int)n;
}

/* Is the scheme of the client's proof for its certificate's type of key? */
static bool proof_fits(const struct handshake *h)
{
    const struct scheme *scheme = scheme_by_id(h->client.scheme);
    return scheme && (scheme->key == KEY_RSA) == (h->check->facts.key == CERT_KEY_RSA);
}

/* Has one of these plaintext records a Certificate message with a certificate? */
static bool has_certificate(const uint8_t *p, size_t n)
{
    enum { LIST_AT = RECORD_HEADER + MESSAGE_HEADER, LIST_SIZE = 3 };
    while (n >= RECORD_HEADER) {
        size_t size = RECORD_HEADER + record_length(p);
        if (size > n) return false;
        const uint8_t *list = p + LIST_AT;
        if (p[0] == RECORD_HANDSHAKE && size >= LIST_AT + LIST_SIZE &&
            p[RECORD_HEADER] == MESSAGE_CERTIFICATE)
            return list[0] || list[1] || list[2];
        p += size;
        n -= size;
    }
    return false;
}

/* The policy chooses a plaintext fatal alert for a certificate, not the library. */
static void choose_alert(struct session *s, const char *record, int size, uint8_t *copy)
{
    const uint8_t *r = (const uint8_t *)record;
    struct handshake *h = s->handshake;
    bool plain = h && size == ALERT_RECORD_SIZE && r[0] == RECORD_ALERT && r[4] == 2;
    if (!plain) return;
    if (h->check && h->check->reason != REASON_OK && r[5] == ALERT_LEVEL_FATAL) {
        int alert = reason_row(h->check->reason)->alert;
        if (alert >= 0) copy[6] = (uint8_t)alert;
    }
    /* A chain that the library cannot parse fails before the callback. */
    unsigned certificates = s->is_server ? h->client.certificates : h->flight.certificates;
    bool unread = s->violation < 0 && h->check && !h->check->called && certificates > 0 &&
                  (s->is_server || !h->flight.group);
    if (unread && r[5] == ALERT_LEVEL_FATAL) copy[6] = ALERT_BAD_CERTIFICATE;
    /* Its proof is wrong, or for another type of key (RFC 5246 section 7.4.8). */
    bool unproved = s->is_server && h->check && h->check->verified;
    if (unproved && copy[6] == ALERT_BAD_CERTIFICATE)
        copy[6] = proof_fits(h) ? ALERT_DECRYPT_ERROR : ALERT_ILLEGAL_PARAMETER;
    /* After a client's ChangeCipherSpec nothing is negotiated any more. */
    if (h->client.done && copy[6] == ALERT_HANDSHAKE_FAILURE) copy[6] = ALERT_UNEXPECTED_MESSAGE;
    s->alert_sent = copy[6];
}

int session_send_callback(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct session *s = context;
    (void)ssl;
    uint8_t *place = buf_reserve(&s->stream->out, (size_t)size);
    if (!place) return WOLFSSL_CBIO_ERR_GENERAL;
    memcpy(place, buffer, (size_t)size);
    choose_alert(s, buffer, size, place);
    if (!s->is_server && s->handshake && has_certificate(place, (size_t)size))
        s->handshake->sent_certificate = true;
    if (s->is_server && s->handshake) {
        int unused;
        enum reason ignored =
            flight_feed(&s->handshake->flight, NULL, place, (size_t)size, &unused);
        (void)ignored;
    }
    buf_commit(&s->stream->out, (size_t)size);
    s->sent_in_read = true;
    return size;
}

/* Called for the leaf, with all certificates sent: the library's own result does not count. */
int session_verify_callback(int ok, WOLFSSL_X509_STORE_CTX *store)
{
    struct peer_check *check = store->userCtx;
    struct span chain[FLIGHT_CHAIN_LIMIT];
    size_t n = store->totalCerts > 0 ? (size_t)store->totalCerts : 0;
    (void)ok;
    if (!check || n > FLIGHT_CHAIN_LIMIT) return 0;
    /* A client's empty list: see client_is_verified(). */
    if (n == 0 && check->purpose == PATH_CLIENT) return 1;
    for (size_t i = 0; i < n; i++)
        chain[i] = (struct span){store->certs[i].buffer, store->certs[i].length};
    return trust_judge(check, chain, n);
}

/* Called for each certificate that the library has parsed or failed to parse: the others, then the
 * leaf. It is stricter than RFC 5280 in places, and its result does not count. A leaf fails if the
 * library did not reach its key. On the server side the library would keep a CA that a client
 * sends, for all sessions of the context, unless no signer of it is known. */
int session_parsed_callback(WOLFSSL *ssl, struct DecodedCert *cert)
{
    const struct session *s = wolfSSL_GetIOReadCtx(ssl);
    (void)cert;
    return s->is_server ? ASN_NO_SIGNER_E : 0;
}

int session_ticket_callback(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
                            unsigned char iv[WOLFSSL_TICKET_IV_SZ],
                            unsigned char tag[WOLFSSL_TICKET_MAC_SZ], int seal,
                            unsigned char *ticket, int size, int *result_size, void *context)
{
    (void)context;
    const struct session *s = wolfSSL_GetIOReadCtx(ssl);
    const struct ticket_scope *scope = s->handshake ? &s->handshake->tickets : NULL;
    if (!scope || !scope->own || size <= 0) return WOLFSSL_TICKET_RET_REJECT;
    *result_size = size;
    uint32_t now = (uint32_t)time(NULL);
    bool ok = seal ? ticket_seal(scope, now, name, iv, tag, ticket, (size_t)size)
                   : ticket_open(scope, now, name, iv, tag, ticket, (size_t)size);
    if (ok) return WOLFSSL_TICKET_RET_OK;
    return seal ? WOLFSSL_TICKET_RET_FATAL : WOLFSSL_TICKET_RET_REJECT;
}
