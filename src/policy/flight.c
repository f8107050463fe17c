#include "policy/flight.h"

#include "policy/certificate_request.h"
#include "policy/server_hello.h"

#include <string.h>

void flight_fini(struct flight *f)
{
    buf_fini(&f->request);
}

static enum reason fault(enum reason reason, int with, int *alert)
{
    *alert = with;
    return reason;
}

static bool offered_alpn(struct span list, struct span name)
{
    struct reader r = reader_of(list);
    while (r.left > 0) {
        struct span s = reader_vector(&r, 1);
        if (s.n == name.n && s.n > 0 && memcmp(s.p, name.p, s.n) == 0) return true;
    }
    return false;
}

/* ProtocolNameList with exactly one name (RFC 7301 section 3.1), one that was offered. */
static bool read_alpn(struct flight *f, const struct flight_offer *offer, struct span s)
{
    struct reader body = reader_of(s);
    struct reader list = reader_of(reader_vector(&body, 2));
    struct span name = reader_vector(&list, 1);
    if (!reader_done(&body) || !reader_done(&list) || name.n == 0) return false;
    if (offer && !offered_alpn(offer->alpn, name)) return false;
    memcpy(f->alpn, name.p, name.n);
    f->alpn[name.n] = '\0';
    return true;
}

/* One extension of the ServerHello. False: it was not offered, or is malformed. */
static bool read_extension(struct flight *f, const struct flight_offer *offer, uint16_t type,
                           struct span body)
{
    switch (type) {
    case EXTENSION_SERVER_NAME:
    case EXTENSION_GROUPS: /* sent by some servers, ignored by all clients */
    case EXTENSION_POINT_FORMATS:
        return true;
    case EXTENSION_ALPN:
        return read_alpn(f, offer, body);
    case EXTENSION_ENCRYPT_THEN_MAC:
        f->encrypt_then_mac = true;
        return true;
    case EXTENSION_EXTENDED_MASTER_SECRET:
        f->extended_master_secret = true;
        return true;
    case EXTENSION_SESSION_TICKET:
        f->ticket = true;
        return true;
    case EXTENSION_RENEGOTIATION:
        /* Empty in a first handshake (RFC 5746 section 3.4). */
        f->secure_renegotiation = body.n == 1 && body.p[0] == 0;
        return true;
    default:
        return offer == NULL;
    }
}

static void note_marker(struct flight *f, struct span random, bool *downgraded)
{
    static const uint8_t marker[7] = {'D', 'O', 'W', 'N', 'G', 'R', 'D'};
    if (random.n != 32 || memcmp(random.p + 24, marker, sizeof marker) != 0) return;
    *downgraded = random.p[31] == 0;
    f->speaks_tls13 = random.p[31] == 1;
}

static enum reason read_extensions(struct flight *f, const struct flight_offer *offer,
                                   struct server_hello *h, int *alert)
{
    uint16_t type;
    struct span body;
    while (server_hello_extension(h, &type, &body))
        if (!read_extension(f, offer, type, body))
            return fault(REASON_UPSTREAM_SUITE_NOT_OFFERED, ALERT_UNSUPPORTED_EXTENSION, alert);
    if (h->extensions.failed)
        return fault(REASON_UPSTREAM_HANDSHAKE_FAILED, ALERT_DECODE_ERROR, alert);
    if (offer && !f->secure_renegotiation)
        return fault(REASON_UPSTREAM_NO_SECURE_RENEGOTIATION, ALERT_HANDSHAKE_FAILURE, alert);
    return REASON_OK;
}

static enum reason read_server_hello(struct flight *f, const struct flight_offer *offer, int *alert)
{
    struct server_hello h;
    bool downgraded = false;
    enum server_hello_status status = server_hello_read((struct span){f->head, f->head_size}, &h);
    f->version = h.version;
    f->suite = h.suite;
    if (status == SERVER_HELLO_CUT)
        return fault(REASON_UPSTREAM_HANDSHAKE_FAILED, ALERT_DECODE_ERROR, alert);
    f->has_hello = true;
    if (offer && f->version < TLS_1_2)
        return fault(REASON_UPSTREAM_PROTOCOL_TOO_OLD, ALERT_PROTOCOL_VERSION, alert);
    if (offer && f->version > TLS_1_2)
        return fault(REASON_UPSTREAM_SUITE_NOT_OFFERED, ALERT_PROTOCOL_VERSION, alert);
    const struct suite *suite = suite_by_id(f->suite);
    if (offer && (!suite || !(offer->suites & suite_bit(suite)) || h.compression != 0))
        return fault(REASON_UPSTREAM_SUITE_NOT_OFFERED, ALERT_ILLEGAL_PARAMETER, alert);
    note_marker(f, h.random, &downgraded);
    if (offer && downgraded)
        return fault(REASON_UPSTREAM_DOWNGRADE_MARKER, ALERT_ILLEGAL_PARAMETER, alert);
    if (status != SERVER_HELLO_OK)
        return fault(REASON_UPSTREAM_HANDSHAKE_FAILED, ALERT_DECODE_ERROR, alert);
    return read_extensions(f, offer, &h, alert);
}

/* ServerECDHParams with a named curve, then the signature (RFC 8422 section 5.4). */
static enum reason read_key_exchange(struct flight *f, const struct flight_offer *offer, int *alert)
{
    struct reader r = reader_of((struct span){f->head, f->head_size});
    uint8_t curve_type = reader_u8(&r);
    f->group = reader_u16(&r);
    reader_vector(&r, 1); /* public point */
    f->scheme = reader_u16(&r);
    if (!offer) return REASON_OK;
    if (r.failed) return fault(REASON_UPSTREAM_HANDSHAKE_FAILED, ALERT_DECODE_ERROR, alert);
    const struct scheme *scheme = scheme_by_id(f->scheme);
    if (curve_type != NAMED_CURVE || !group_allowed(f->group) || !scheme ||
        scheme->verdict != SCHEME_ALLOWED)
        return fault(REASON_UPSTREAM_HANDSHAKE_FAILED, ALERT_ILLEGAL_PARAMETER, alert);
    return REASON_OK;
}

/* Counts the certificates of the chain (RFC 5246 section 7.4.2) without keeping them. */
static void count_certificates(struct flight *f, const uint8_t *p, size_t n)
{
    while (n > 0) {
        if (f->certificate_left > 0) {
            size_t take = n < f->certificate_left ? n : f->certificate_left;
            f->certificate_left -= take;
            p += take;
            n -= take;
            continue;
        }
        f->certificate_length = f->certificate_length << 8 | *p++;
        n--;
        if (++f->certificate_length_size < 3) continue;
        if (f->certificate_list) {
            f->certificates++;
            f->certificate_left = f->certificate_length;
        }
        f->certificate_list = true;
        f->certificate_length = f->certificate_length_size = 0;
    }
}

static enum reason end_request(struct flight *f, const struct flight_offer *offer, int *alert)
{
    struct certificate_request r;
    bool repeated = f->has_certificate_request;
    f->has_certificate_request = true;
    if (offer && (repeated || !certificate_request_read(
                                  (struct span){buf_head(&f->request), buf_size(&f->request)}, &r)))
        return fault(REASON_UPSTREAM_HANDSHAKE_FAILED,
                     repeated ? ALERT_UNEXPECTED_MESSAGE : ALERT_DECODE_ERROR, alert);
    return REASON_OK;
}

static enum reason end_message(struct flight *f, const struct flight_offer *offer, int *alert)
{
    uint8_t type = f->message_header[0];
    f->message_header_size = 0;
    if (type == MESSAGE_SERVER_HELLO && !f->has_hello) return read_server_hello(f, offer, alert);
    if (type == MESSAGE_SERVER_KEY_EXCHANGE) return read_key_exchange(f, offer, alert);
    bool chain = f->certificates > 0 && f->certificates <= FLIGHT_CHAIN_LIMIT;
    if (type == MESSAGE_CERTIFICATE && offer && !chain)
        return fault(REASON_UPSTREAM_CERTIFICATE_INVALID, ALERT_BAD_CERTIFICATE, alert);
    return type == MESSAGE_CERTIFICATE_REQUEST ? end_request(f, offer, alert) : REASON_OK;
}

static enum reason start_message(struct flight *f, int *alert)
{
    const uint8_t *h = f->message_header;
    f->message_left = message_length(h);
    f->head_size = 0;
    bool whole = h[0] == MESSAGE_SERVER_HELLO || h[0] == MESSAGE_SERVER_KEY_EXCHANGE;
    bool request = h[0] == MESSAGE_CERTIFICATE_REQUEST;
    if ((whole && f->message_left > FLIGHT_HEAD) ||
        (request && f->message_left > FLIGHT_REQUEST_LIMIT))
        return fault(REASON_UPSTREAM_HANDSHAKE_FAILED, ALERT_DECODE_ERROR, alert);
    return REASON_OK;
}

/* One fragment's bytes (or a part of them) of handshake records. */
static enum reason read_handshake(struct flight *f, const struct flight_offer *offer,
                                  const uint8_t *p, size_t n, int *alert)
{
    enum reason reason = REASON_OK;
    while (n > 0 && reason == REASON_OK) {
        if (f->message_header_size < sizeof f->message_header) {
            f->message_header[f->message_header_size++] = *p++;
            n--;
            if (f->message_header_size == sizeof f->message_header) {
                reason = start_message(f, alert);
                if (reason == REASON_OK && f->message_left == 0)
                    reason = end_message(f, offer, alert);
            }
            continue;
        }
        size_t take = n < f->message_left ? n : f->message_left;
        size_t keep = FLIGHT_HEAD - f->head_size < take ? FLIGHT_HEAD - f->head_size : take;
        memcpy(f->head + f->head_size, p, keep);
        f->head_size += keep;
        if (f->message_header[0] == MESSAGE_CERTIFICATE) count_certificates(f, p, take);
        bool request = offer && f->message_header[0] == MESSAGE_CERTIFICATE_REQUEST;
        if (request && !f->has_certificate_request && !buf_append(&f->request, p, take))
            return fault(REASON_INTERNAL_ERROR, ALERT_INTERNAL_ERROR, alert);
        f->message_left -= take;
        p += take;
        n -= take;
        if (f->message_left == 0) reason = end_message(f, offer, alert);
    }
    return reason;
}

static enum reason check_record(struct flight *f, const struct flight_offer *offer, int *alert)
{
    const uint8_t *header = f->records.header;
    bool tls = record_type_is_known(header[0]) && header[1] == VERSION_MAJOR;
    if (!tls || f->records.left > RECORD_LIMIT) {
        if (!offer) return REASON_OK;
        return f->has_hello ? fault(REASON_UPSTREAM_HANDSHAKE_FAILED, ALERT_DECODE_ERROR, alert)
                            : fault(REASON_UPSTREAM_NOT_TLS, REASON_ALERT_NONE, alert);
    }
    if (header[0] == RECORD_ALERT) {
        f->alert_version = record_version(header);
        f->alert_size = 0;
    }
    f->done = header[0] == RECORD_CHANGE_CIPHER_SPEC;
    return REASON_OK;
}

static void read_alert(struct flight *f, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n && f->alert_size < sizeof f->alert_bytes; i++)
        f->alert_bytes[f->alert_size++] = p[i];
    if (f->alert_size == sizeof f->alert_bytes && f->alert_bytes[0] == ALERT_LEVEL_FATAL)
        f->alert = f->alert_bytes[1];
}

/* Checks a record's header, also an incomplete one: the first byte already shows an answer that is
 * not TLS. */
static enum reason check_header(struct flight *f, const struct flight_offer *offer, int *alert)
{
    const struct records *records = &f->records;
    if (offer && !f->has_hello && !record_type_is_known(records->header[0]))
        return fault(REASON_UPSTREAM_NOT_TLS, REASON_ALERT_NONE, alert);
    return records->header_size == RECORD_HEADER ? check_record(f, offer, alert) : REASON_OK;
}

static enum reason read_fragment(struct flight *f, const struct flight_offer *offer,
                                 struct span fragment, int *alert)
{
    if (f->records.header[0] == RECORD_ALERT) read_alert(f, fragment.p, fragment.n);
    if (f->records.header[0] != RECORD_HANDSHAKE) return REASON_OK;
    return read_handshake(f, offer, fragment.p, fragment.n, alert);
}

enum reason flight_feed(struct flight *f, const struct flight_offer *offer, const uint8_t *p,
                        size_t n, int *alert)
{
    enum reason reason = REASON_OK;
    struct span in = {p, n}, fragment;
    *alert = REASON_ALERT_NONE;
    while (in.n > 0 && !f->done && reason == REASON_OK)
        reason = records_next(&f->records, &in, &fragment) == RECORDS_FRAGMENT
                     ? read_fragment(f, offer, fragment, alert)
                     : check_header(f, offer, alert);
    return reason;
}

enum reason flight_explain(const struct flight *f, bool closed)
{
    if (f->alert >= 0 && f->has_certificate_request)
        return REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE;
    if (f->alert >= 0 && !f->has_hello) {
        if (f->alert_version < TLS_1_2) return REASON_UPSTREAM_PROTOCOL_TOO_OLD;
        if (f->alert == ALERT_PROTOCOL_VERSION) return REASON_UPSTREAM_PROTOCOL_REFUSED;
        if (f->alert == ALERT_HANDSHAKE_FAILURE || f->alert == ALERT_INSUFFICIENT_SECURITY)
            return REASON_UPSTREAM_NO_APPROVED_SUITE;
    }
    if (f->alert >= 0) return REASON_UPSTREAM_HANDSHAKE_FAILED;
    if (f->has_certificate_request && closed) return REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE;
    return closed ? REASON_UPSTREAM_CLOSED_HANDSHAKE : REASON_UPSTREAM_HANDSHAKE_FAILED;
}
