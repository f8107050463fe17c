#include "policy/client_flight.h"

#include <string.h>

enum { ADMIT = -1 };

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
bool client_flight_hello(struct client_flight *f, struct span message)
{
    while (message.n > 0) {
        size_t n = message.n < RECORD_PLAIN_LIMIT ? message.n : RECORD_PLAIN_LIMIT;
        if (!admit(f, RECORD_HANDSHAKE, message.p, n)) return false;
        message.p += n;
        message.n -= n;
    }
    return true;
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

/* A message may be refused by its first bytes. */
static int check_message(struct client_flight *f, bool abbreviated)
{
    const uint8_t *m = buf_head(&f->message);
    size_t have = buf_size(&f->message);
    f->hello = m[0] == MESSAGE_CLIENT_HELLO;
    if (m[0] != MESSAGE_CLIENT_KEY_EXCHANGE || f->has_key_exchange || abbreviated)
        return ALERT_UNEXPECTED_MESSAGE;
    if (have < MESSAGE_HEADER) return ADMIT;
    size_t size = MESSAGE_HEADER + message_length(m);
    if (size > CLIENT_KEY_EXCHANGE_LIMIT) return ALERT_DECODE_ERROR;
    if (have < size) return ADMIT;
    f->hello = have > size && m[size] == MESSAGE_CLIENT_HELLO;
    if (have > size) return ALERT_UNEXPECTED_MESSAGE;
    f->has_key_exchange = true;
    if (!admit(f, RECORD_HANDSHAKE, m, have)) return ALERT_INTERNAL_ERROR;
    buf_fini(&f->message);
    return ADMIT;
}

static int take_handshake(struct client_flight *f, bool abbreviated, const uint8_t *p, size_t n)
{
    /* One byte more than the largest message shows that the message is too long. */
    size_t room = CLIENT_KEY_EXCHANGE_LIMIT + 1 - buf_size(&f->message);
    if (!buf_append(&f->message, p, n < room ? n : room)) return ALERT_INTERNAL_ERROR;
    return check_message(f, abbreviated);
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
    bool due = (f->has_key_exchange || abbreviated) && buf_size(&f->message) == 0;
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
