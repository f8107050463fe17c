/* A client's plaintext after its hello. First byte: how the rest is split; its lowest bit: the
 * session is resumed; the next two: whether the client is asked for a certificate. The result must
 * not depend on the splits, and what is admitted is well-formed for any input. */
#include "fuzz.h"

#include "policy/client_flight.h"
#include "policy/flight.h"
#include "policy/policy.h"
#include "policy/wire.h"

static int feed(struct client_flight *f, bool abbreviated, const uint8_t *p, size_t n,
                uint32_t *seed)
{
    int alert = -1;
    for (size_t i = 0, used; i < n && alert < 0 && !f->done; i += used) {
        size_t piece = seed ? fuzz_piece(seed, n - i) : n - i;
        uint8_t *copy = fuzz_copy(p + i, piece);
        alert = client_flight_feed(f, abbreviated, copy, piece, &used);
        free(copy);
        CHECK(used <= piece && (used == piece || f->done || alert >= 0));
    }
    return alert;
}

/* What the admitted records contain. */
struct admitted {
    struct buf messages; /* of the handshake, without records */
    bool changed;
};

/* Whole records: alerts of two bytes, handshake messages, then ChangeCipherSpec. */
static void read_records(const struct client_flight *f, struct admitted *a)
{
    const uint8_t *p = buf_head(&f->admitted);
    size_t left = buf_size(&f->admitted);
    while (left > 0) {
        CHECK(left >= RECORD_HEADER && p[1] == 3 && p[2] == 3 && !a->changed);
        size_t n = (size_t)p[3] << 8 | p[4];
        CHECK(n > 0 && n <= RECORD_PLAIN_LIMIT && left - RECORD_HEADER >= n);
        const uint8_t *body = p + RECORD_HEADER;
        if (p[0] == RECORD_HANDSHAKE)
            CHECK(buf_append(&a->messages, body, n));
        else if (p[0] == RECORD_CHANGE_CIPHER_SPEC)
            CHECK(n == 1 && body[0] == 1);
        else
            CHECK(p[0] == RECORD_ALERT && n == 2);
        a->changed = p[0] == RECORD_CHANGE_CIPHER_SPEC;
        p = body + n;
        left -= RECORD_HEADER + n;
    }
}

static size_t number(const uint8_t *p, size_t width)
{
    size_t v = 0;
    for (size_t i = 0; i < width; i++) v = v << 8 | p[i];
    return v;
}

/* Returns how many there are. */
static unsigned check_certificates(const uint8_t *p, size_t n)
{
    unsigned count = 0;
    CHECK(n >= 3 && number(p, 3) == n - 3);
    for (size_t i = 3, size; i < n; i += 3 + size, count++) {
        CHECK(n - i >= 3);
        size = number(p + i, 3);
        CHECK(size > 0 && size <= n - i - 3);
    }
    CHECK(count <= FLIGHT_CHAIN_LIMIT);
    return count;
}

static void check_verify(const uint8_t *p, size_t n)
{
    CHECK(n >= 4 && number(p + 2, 2) == n - 4);
    const struct scheme *scheme = scheme_by_id((uint16_t)number(p, 2));
    CHECK(scheme && scheme->verdict == SCHEME_ALLOWED);
}

/* Certificate if the client is asked, ClientKeyExchange, CertificateVerify if it has sent any: each
 * once, whole, within its limit, in this order; no other message. */
static void check_messages(const struct client_flight *f, const struct buf *messages)
{
    static const uint8_t order[] = {MESSAGE_CERTIFICATE, MESSAGE_CLIENT_KEY_EXCHANGE,
                                    MESSAGE_CERTIFICATE_VERIFY};
    static const size_t limits[] = {CLIENT_CERTIFICATES_LIMIT, CLIENT_KEY_EXCHANGE_LIMIT,
                                    CLIENT_VERIFY_LIMIT};
    bool is_asked = f->asked >= CLIENT_CERTIFICATE_OPTIONAL;
    const uint8_t *p = buf_head(messages);
    size_t left = buf_size(messages), at = is_asked ? 0 : 1;
    unsigned certificates = 0;
    bool has[3] = {false, false, false};
    for (; left > 0; at++) {
        CHECK(at < 3 && left >= MESSAGE_HEADER && p[0] == order[at]);
        size_t n = number(p + 1, 3);
        CHECK(MESSAGE_HEADER + n <= limits[at] && n <= left - MESSAGE_HEADER);
        if (at == 0) certificates = check_certificates(p + MESSAGE_HEADER, n);
        if (at == 2) check_verify(p + MESSAGE_HEADER, n);
        CHECK(at != 2 || certificates > 0);
        has[at] = true;
        p += MESSAGE_HEADER + n;
        left -= MESSAGE_HEADER + n;
    }
    CHECK(!has[0] || f->has_certificates);
    CHECK(!has[0] || f->certificates == certificates);
    CHECK(f->asked != CLIENT_CERTIFICATE_REQUIRED || !has[0] || certificates > 0);
    CHECK(has[1] == f->has_key_exchange);
    CHECK(!has[2] || f->has_verify);
}

static void check_admitted(const struct client_flight *f, bool abbreviated, int alert)
{
    struct admitted a = {0};
    read_records(f, &a);
    check_messages(f, &a.messages);
    bool is_asked = f->asked >= CLIENT_CERTIFICATE_OPTIONAL;
    CHECK(a.changed == f->done);
    CHECK(!abbreviated || buf_size(&a.messages) == 0);
    CHECK(is_asked || (!f->has_certificates && !f->has_verify && f->certificates == 0));
    if (f->done && !abbreviated) {
        CHECK(f->has_key_exchange && f->has_certificates == is_asked);
        CHECK(f->has_verify == (f->certificates > 0));
    }
    CHECK(!f->lacks_certificate ||
          (alert == ALERT_HANDSHAKE_FAILURE && f->asked == CLIENT_CERTIFICATE_REQUIRED &&
           f->has_certificates && f->certificates == 0 && buf_size(&a.messages) == 0));
    CHECK(alert != ALERT_HANDSHAKE_FAILURE || f->lacks_certificate);
    CHECK(buf_size(&f->message) <= CLIENT_CERTIFICATES_LIMIT);
    CHECK(is_asked || buf_size(&f->message) <= CLIENT_KEY_EXCHANGE_LIMIT);
    buf_fini(&a.messages);
}

static void check_same(const struct client_flight *a, const struct client_flight *b, int alert)
{
    CHECK(a->hello == b->hello && a->done == b->done);
    CHECK(a->lacks_certificate == b->lacks_certificate && a->certificates == b->certificates);
    CHECK(a->has_certificates == b->has_certificates && a->has_verify == b->has_verify);
    CHECK(a->has_key_exchange == b->has_key_exchange);
    size_t n = buf_size(&a->admitted);
    CHECK(alert >= 0 ||
          (n == buf_size(&b->admitted) &&
           (n == 0 || memcmp(buf_head(&a->admitted), buf_head(&b->admitted), n) == 0)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum client_certificate asked[] = {
        CLIENT_CERTIFICATE_UNSET, CLIENT_CERTIFICATE_OPTIONAL, CLIENT_CERTIFICATE_REQUIRED,
        CLIENT_CERTIFICATE_NONE};
    if (size < 1) return 0;
    uint32_t seed = data[0];
    bool abbreviated = data[0] & 1;
    struct client_flight whole = {.asked = asked[data[0] >> 1 & 3]}, cut = {.asked = whole.asked};
    int alert = feed(&whole, abbreviated, data + 1, size - 1, NULL);
    CHECK(alert == feed(&cut, abbreviated, data + 1, size - 1, &seed));
    check_same(&whole, &cut, alert);
    check_admitted(&whole, abbreviated, alert);
    check_admitted(&cut, abbreviated, alert);
    if (size >= 6) {
        int judged = record_judge(data + 1);
        CHECK(judged >= 0 || (data[1] >= 20 && data[1] <= 23 && data[2] == 3 && data[3] == 3));
    }
    client_flight_fini(&whole);
    client_flight_fini(&cut);
    return 0;
}
