#include "policy/client_flight.h"

#include "policy/flight.h"
#include "policy/policy.h"

#include <assert.h>

#include <string.h>

enum { ADMIT = -1, NO_MESSAGE = -1 };

void client_flight_fini(struct client_flight *f)
{
    buf_fini(&f->admitted);
    buf_fini(&f->message);
}

static bool admit(struct client_flight *f, enum wire_record type, const uint8_t *p, size_t n)
{
    const uint8_t header[] = {(uint8_t)type, TLS_1_2 >> 8, TLS_1_2 & 0xff, (uint8_t)(n >> 8),
                              (uint8_t)n};
    return buf_append(&f->admitted, header, sizeof header) && buf_append(&f->admitted, p, n);
}

/* The transcript leaves record headers out (RFC 5246 section 7.4.9). */
static bool admit_message(struct client_flight *f, struct span message)
{
    while (message.n > 0) {
        size_t n = message.n < RECORD_PLAIN_LIMIT ? message.n : RECORD_PLAIN_LIMIT;
        if (!admit(f, RECORD_HANDSHAKE, message.p, n)) return false;
        message.p += n;
        message.n -= n;
    }
    return true;
}

bool client_flight_hello(struct client_flight *f, struct span message)
{
    return admit_message(f, message);
}

static int check_record(struct client_flight *f)
{
    const uint8_t *h = f->records.header;
    size_t length = record_length(h);
    /* An alert may have an older version: it says why the client leaves. */
    bool version = record_version(h) == TLS_1_2 || (h[1] == VERSION_MAJOR && h[0] == RECORD_ALERT);
    if (!version) return ALERT_PROTOCOL_VERSION;
    if (length > RECORD_PLAIN_LIMIT) return ALERT_RECORD_OVERFLOW;
    /* Fragments of these types are not empty (section 6.2.1), nor can an alert be split here. */
    bool whole = h[0] == RECORD_HANDSHAKE            ? length > 0
                 : h[0] == RECORD_ALERT              ? length == sizeof f->alert
                 : h[0] == RECORD_CHANGE_CIPHER_SPEC ? length == 1
                                                     : false;
    if (!whole) return ALERT_UNEXPECTED_MESSAGE;
    f->alert_size = 0;
    return ADMIT;
}

/* The type of the next message (RFC 5246 section 7.3), or NO_MESSAGE. */
static int due_message(const struct client_flight *f, bool abbreviated)
{
    if (abbreviated) return NO_MESSAGE;
    if (f->asked >= CLIENT_CERTIFICATE_OPTIONAL && !f->has_certificates) return MESSAGE_CERTIFICATE;
    if (!f->has_key_exchange) return MESSAGE_CLIENT_KEY_EXCHANGE;
    return f->certificates > 0 && !f->has_verify ? MESSAGE_CERTIFICATE_VERIFY : NO_MESSAGE;
}

static size_t message_limit(uint8_t type)
{
    return type == MESSAGE_CERTIFICATE          ? CLIENT_CERTIFICATES_LIMIT
           : type == MESSAGE_CERTIFICATE_VERIFY ? CLIENT_VERIFY_LIMIT
                                                : CLIENT_KEY_EXCHANGE_LIMIT;
}

/* Section 7.4.6: a client without a suitable certificate sends an empty list. */
static int take_certificates(struct client_flight *f, struct span body)
{
    struct reader r = reader_of(body), list = reader_of(reader_vector(&r, 3));
    bool ok = reader_done(&r);
    while (ok && list.left > 0) {
        ok = reader_vector(&list, 3).n > 0 && !list.failed;
        f->certificates++;
    }
    if (!ok) return ALERT_DECODE_ERROR;
    f->has_certificates = true;
    f->lacks_certificate = f->certificates == 0 && f->asked == CLIENT_CERTIFICATE_REQUIRED;
    if (f->lacks_certificate) return ALERT_HANDSHAKE_FAILURE;
    f->excess = f->certificates > FLIGHT_CHAIN_LIMIT;
    return f->excess ? ALERT_BAD_CERTIFICATE : ADMIT;
}

/* Section 7.4.8. The library checks the signature. */
static int take_verify(struct client_flight *f, struct span body)
{
    struct reader r = reader_of(body);
    f->scheme = reader_u16(&r);
    const struct scheme *scheme = scheme_by_id(f->scheme);
    reader_vector(&r, 2);
    if (!reader_done(&r)) return ALERT_DECODE_ERROR;
    f->has_verify = true;
    return scheme && scheme->verdict == SCHEME_ALLOWED ? ADMIT : ALERT_ILLEGAL_PARAMETER;
}

static int take_message(struct client_flight *f, struct span message)
{
    struct span body = {message.p + MESSAGE_HEADER, message.n - MESSAGE_HEADER};
    int alert = ADMIT;
    if (message.p[0] == MESSAGE_CERTIFICATE) alert = take_certificates(f, body);
    if (message.p[0] == MESSAGE_CERTIFICATE_VERIFY) alert = take_verify(f, body);
    if (message.p[0] == MESSAGE_CLIENT_KEY_EXCHANGE) f->has_key_exchange = true;
    if (alert != ADMIT) return alert;
    if (!admit_message(f, message)) return ALERT_INTERNAL_ERROR;
    buf_fini(&f->message);
    return ADMIT;
}

/* A message may be refused by its first bytes. */
static int check_message(struct client_flight *f, bool abbreviated)
{
    struct span m = {buf_head(&f->message), buf_size(&f->message)};
    assert(m.p && m.n > 0);
    f->hello = m.p[0] == MESSAGE_CLIENT_HELLO;
    if (m.p[0] != due_message(f, abbreviated)) return ALERT_UNEXPECTED_MESSAGE;
    if (m.n < MESSAGE_HEADER) return ADMIT;
    size_t size = MESSAGE_HEADER + message_length(m.p);
    if (size > message_limit(m.p[0])) {
        f->excess = m.p[0] == MESSAGE_CERTIFICATE;
        return f->excess ? ALERT_BAD_CERTIFICATE : ALERT_DECODE_ERROR;
    }
    return m.n < size ? ADMIT : take_message(f, m);
}

/* How much of the current message is read at once: its type, its header, the rest. */
static size_t message_part(const struct client_flight *f)
{
    size_t have = buf_size(&f->message);
    if (have == 0) return 1;
    if (have < MESSAGE_HEADER) return MESSAGE_HEADER - have;
    return MESSAGE_HEADER + message_length(buf_head(&f->message)) - have;
}

static int take_handshake(struct client_flight *f, bool abbreviated, const uint8_t *p, size_t n)
{
    int alert = ADMIT;
    while (n > 0 && alert == ADMIT) {
        size_t part = message_part(f);
        if (part > n) part = n;
        if (!buf_append(&f->message, p, part)) return ALERT_INTERNAL_ERROR;
        p += part;
        n -= part;
        alert = check_message(f, abbreviated);
    }
    return alert;
}

static int take_alert(struct client_flight *f, const uint8_t *p, size_t n)
{
    memcpy(f->alert + f->alert_size, p, n);
    f->alert_size = (uint8_t)(f->alert_size + n);
    if (f->records.left > 0) return ADMIT;
    return admit(f, RECORD_ALERT, f->alert, sizeof f->alert) ? ADMIT : ALERT_INTERNAL_ERROR;
}

static int take_change_cipher(struct client_flight *f, bool abbreviated, uint8_t value)
{
    bool due = due_message(f, abbreviated) == NO_MESSAGE && buf_size(&f->message) == 0;
    if (!due || value != 1) return ALERT_UNEXPECTED_MESSAGE;
    f->done = true;
    return admit(f, RECORD_CHANGE_CIPHER_SPEC, &value, 1) ? ADMIT : ALERT_INTERNAL_ERROR;
}

static int take_fragment(struct client_flight *f, bool abbreviated, const uint8_t *p, size_t n)
{
    switch (f->records.header[0]) {
    case RECORD_HANDSHAKE:
        return take_handshake(f, abbreviated, p, n);
    case RECORD_ALERT:
        return take_alert(f, p, n);
    default:
        return take_change_cipher(f, abbreviated, *p);
    }
}

int client_flight_feed(struct client_flight *f, bool abbreviated, const uint8_t *p, size_t n,
                       size_t *used)
{
    int alert = ADMIT;
    struct span in = {p, n}, fragment;
    while (in.n > 0 && alert == ADMIT && !f->done) {
        enum records_part part = records_next(&f->records, &in, &fragment);
        if (part == RECORDS_HEADER) alert = check_record(f);
        if (part == RECORDS_FRAGMENT) alert = take_fragment(f, abbreviated, fragment.p, fragment.n);
    }
    *used = n - in.n;
    return alert;
}

int record_judge(const uint8_t header[RECORD_HEADER])
{
    size_t length = record_length(header);
    if (!record_type_is_known(header[0])) return ALERT_UNEXPECTED_MESSAGE; /* RFC 5246 section 6 */
    if (record_version(header) != TLS_1_2) return ALERT_PROTOCOL_VERSION;
    if (length > RECORD_PROTECTED_LIMIT) return ALERT_RECORD_OVERFLOW;
    return length > 0 ? ADMIT : ALERT_BAD_RECORD_MAC;
}
