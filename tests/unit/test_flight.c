/* The server's plaintext flight: facts, what stops the handshake, and the reason that is given for
 * a failed handshake. */
#include "helper.h"

#include "policy/flight.h"

static struct blob message, wire;

struct server_hello {
    uint16_t version, suite;
    uint8_t compression;
    const char *tail;       /* the last 8 bytes of the random */
    const char *extensions; /* NULL: no block at all */
};

#define SECURE "ff01 0001 00 "
#define SERVER_HELLO(...)              \
    (struct server_hello)              \
    {                                  \
        .version = 0x0303, __VA_ARGS__ \
    }

static void add_hello(struct blob *b, struct server_hello s)
{
    blob_number(b, 2, 1);
    size_t body = blob_open(b, 3);
    blob_number(b, s.version, 2);
    for (unsigned i = 0; i < 24; i++) blob_number(b, i, 1);
    blob_hex(b, s.tail ? s.tail : "18191a1b1c1d1e1f");
    blob_hex(b, "04 01020304");
    blob_number(b, s.suite ? s.suite : 0xc02f, 2);
    blob_number(b, s.compression, 1);
    if (s.extensions) {
        size_t all = blob_open(b, 2);
        blob_hex(b, s.extensions);
        blob_close(b, all, 2);
    }
    blob_close(b, body, 3);
}

static void add_message(struct blob *b, uint8_t type, const char *hex, size_t padding)
{
    blob_number(b, type, 1);
    size_t body = blob_open(b, 3);
    blob_hex(b, hex);
    for (size_t i = 0; i < padding; i++) blob_number(b, 0, 1);
    blob_close(b, body, 3);
}

/* x25519 with rsa_pss_rsae_sha256, a signature of n bytes. */
static void add_key_exchange(struct blob *b, const char *group, const char *scheme, size_t n)
{
    char head[128];
    snprintf(head, sizeof head, "03 %s 04 aabbccdd %s %04zx", group, scheme, n);
    add_message(b, 12, head, n);
}

static const struct flight_offer offer = {.suites = 0xff,
                                          .alpn = {(const uint8_t *)"\x02h2\x08http/1.1", 12}};

static enum reason feed(struct flight *f, const struct flight_offer *o, size_t piece, int *alert)
{
    enum reason reason = REASON_OK;
    flight_init(f);
    for (size_t i = 0; i < wire.n && reason == REASON_OK; i += piece) {
        size_t n = wire.n - i < piece ? wire.n - i : piece;
        uint8_t *copy = exact(wire.p + i, n);
        reason = flight_feed(f, o, copy, n, alert);
        free(copy);
    }
    return reason;
}

static const size_t sizes[] = {1, 2, 3, 5, 7, 50, 1000, 16384};

static void good_flight(void **state)
{
    (void)state;
    message.n = 0;
    add_hello(&message, SERVER_HELLO(.extensions = SECURE "0017 0000 0016 0000 0023 0000 "
                                                          "000b 0002 01 00 0000 0000 "
                                                          "0010 0005 0003 02 6832"));
    add_message(&message, 11, "001385 001382", 5000); /* Certificate, larger than the limit */
    add_key_exchange(&message, "001d", "0804", 256);
    add_message(&message, 13, "01 40 0002 0403 0000", 0);
    add_message(&message, 14, "", 0);
    for (size_t record = 0; record < N_OF(sizes); record++) {
        wire.n = 0;
        blob_records(&wire, 22, 0x0303, message.p, message.n, sizes[record]);
        blob_hex(&wire, "14 0303 0001 01  16 0303 0028 ff ff");
        for (size_t piece = 0; piece < N_OF(sizes); piece++) {
            struct flight f;
            int alert = 1;
            assert_int_equal(feed(&f, &offer, sizes[piece], &alert), REASON_OK);
            assert_int_equal(alert, -1);
            assert_true(f.has_hello && f.has_certificate_request && f.done);
            assert_true(f.secure_renegotiation && f.extended_master_secret);
            assert_true(f.encrypt_then_mac && f.ticket);
            assert_false(f.speaks_tls13);
            assert_int_equal(f.version, 0x0303);
            assert_int_equal(f.suite, 0xc02f);
            assert_int_equal(f.group, 0x001d);
            assert_int_equal(f.scheme, 0x0804);
            assert_string_equal(f.alpn, "h2");
            assert_int_equal(f.alert, -1);
            assert_int_equal(buf_size(&f.request), 8);
            flight_fini(&f);
        }
    }
}

static const struct {
    const char *name;
    struct server_hello hello;
    enum reason reason;
    int alert;
} hellos[] = {
#define REFUSE(name, reason, alert, ...)                      \
    {                                                         \
        name, {.version = 0x0303, __VA_ARGS__}, reason, alert \
    }
#define PASS(name, ...) REFUSE(name, REASON_OK, -1, __VA_ARGS__)
    PASS("least", .extensions = SECURE),
    PASS("CBC", .suite = 0xc027, .extensions = SECURE),
    PASS("marker of TLS 1.3", .tail = "444f574e47524401", .extensions = SECURE),
    PASS("nearly a marker", .tail = "444f574e47524500", .extensions = SECURE),
    PASS("http/1.1", .extensions = SECURE "0010 000b 0009 08 687474702f312e31"),
    REFUSE("no extensions", REASON_UPSTREAM_NO_SECURE_RENEGOTIATION, 40, .suite = 0xc02f),
    REFUSE("no renegotiation_info", REASON_UPSTREAM_NO_SECURE_RENEGOTIATION, 40,
           .extensions = "0017 0000"),
    REFUSE("marker below TLS 1.2", REASON_UPSTREAM_DOWNGRADE_MARKER, 47, .tail = "444f574e47524400",
           .extensions = SECURE),
    REFUSE("static RSA", REASON_UPSTREAM_SUITE_NOT_OFFERED, 47, .suite = 0x002f,
           .extensions = SECURE),
    REFUSE("TLS 1.3 suite", REASON_UPSTREAM_SUITE_NOT_OFFERED, 47, .suite = 0x1301,
           .extensions = SECURE),
    REFUSE("compression", REASON_UPSTREAM_SUITE_NOT_OFFERED, 47, .compression = 1,
           .extensions = SECURE),
    REFUSE("supported_versions", REASON_UPSTREAM_SUITE_NOT_OFFERED, 110,
           .extensions = SECURE "002b 0002 0304"),
    REFUSE("key_share", REASON_UPSTREAM_SUITE_NOT_OFFERED, 110, .extensions = SECURE "0033 0000"),
    REFUSE("truncated_hmac", REASON_UPSTREAM_SUITE_NOT_OFFERED, 110,
           .extensions = SECURE "0004 0000"),
    REFUSE("unknown extension", REASON_UPSTREAM_SUITE_NOT_OFFERED, 110,
           .extensions = "9999 0000 " SECURE),
    REFUSE("extension cut", REASON_UPSTREAM_HANDSHAKE_FAILED, 50, .extensions = SECURE "0017 0001"),
    REFUSE("extension header cut", REASON_UPSTREAM_HANDSHAKE_FAILED, 50, .extensions = SECURE "00"),
    {"TLS 1.1", {.version = 0x0302}, REASON_UPSTREAM_PROTOCOL_TOO_OLD, 70},
    {"TLS 1.0", {.version = 0x0301, .extensions = SECURE}, REASON_UPSTREAM_PROTOCOL_TOO_OLD, 70},
    {"SSL 3.0", {.version = 0x0300}, REASON_UPSTREAM_PROTOCOL_TOO_OLD, 70},
    {"TLS 1.1 with the marker",
     {.version = 0x0302, .tail = "444f574e47524400"},
     REASON_UPSTREAM_PROTOCOL_TOO_OLD,
     70},
    {"TLS 1.3", {.version = 0x0304, .extensions = SECURE}, REASON_UPSTREAM_SUITE_NOT_OFFERED, 70},
};

static void server_hellos(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(hellos); i++) {
        message.n = wire.n = 0;
        add_hello(&message, hellos[i].hello);
        blob_records(&wire, 22, 0x0303, message.p, message.n, 20);
        for (size_t piece = 1; piece < 200; piece += 33) {
            struct flight f;
            int alert = 1;
            enum reason reason = feed(&f, &offer, piece, &alert);
            if (reason != hellos[i].reason || alert != hellos[i].alert)
                fail_msg("%s: %s, alert %d", hellos[i].name,
                         reason ? reason_row(reason)->code : "ok", alert);
        }
    }
}

static void offers(void **state)
{
    (void)state;
    struct flight f;
    int alert;
    struct flight_offer narrow = {.suites = suite_bit(suite_by_id(0xc030))};
    message.n = wire.n = 0;
    add_hello(&message, SERVER_HELLO(.suite = 0xc02f, .extensions = SECURE));
    blob_records(&wire, 22, 0x0303, message.p, message.n, 500);
    assert_int_equal(feed(&f, &narrow, 500, &alert), REASON_UPSTREAM_SUITE_NOT_OFFERED);
    assert_int_equal(alert, 47);
    static const struct {
        const char *extension;
        bool offered; /* was ALPN offered at all */
    } bad[] = {
        {"0010 0005 0003 02 6832", false},        /* not offered */
        {"0010 0006 0004 03 682d32", true},       /* another name */
        {"0010 0004 0002 01 68", true},           /* a part of one */
        {"0010 0008 0006 02 6832 02 6832", true}, /* two names */
        {"0010 0002 0000", true},                 /* none */
        {"0010 0003 0001 00", true},              /* an empty one */
        {"0010 0006 0003 02 6832 00", true},      /* a trailing byte */
        {"0010 0000", true},                      /* no list */
    };
    for (size_t i = 0; i < N_OF(bad); i++) {
        char extensions[128];
        struct flight_offer without = {.suites = 0xff};
        snprintf(extensions, sizeof extensions, SECURE "%s", bad[i].extension);
        message.n = wire.n = 0;
        add_hello(&message, SERVER_HELLO(.extensions = extensions));
        blob_records(&wire, 22, 0x0303, message.p, message.n, 500);
        if (feed(&f, bad[i].offered ? &offer : &without, 500, &alert) == REASON_OK)
            fail_msg("ALPN row %zu passes", i);
        assert_string_equal(f.alpn, "");
    }
}

static void marker_noted(void **state)
{
    (void)state;
    struct flight f;
    int alert;
    message.n = wire.n = 0;
    add_hello(&message, SERVER_HELLO(.tail = "444f574e47524401", .extensions = SECURE));
    blob_records(&wire, 22, 0x0303, message.p, message.n, 500);
    assert_int_equal(feed(&f, &offer, 500, &alert), REASON_OK);
    assert_true(f.speaks_tls13);
}

static const struct {
    const char *name, *group, *scheme;
    size_t signature;
    bool good;
} exchanges[] = {
    {"x25519", "001d", "0403", 72, true},
    {"secp521r1 with RSA 4096", "0019", "0401", 512, true},
    {"RSA 4096 with PSS", "001d", "0804", 512, true},
    {"x448", "001e", "0403", 72, false},
    {"finite field", "0100", "0403", 72, false},
    {"secp192r1", "0013", "0403", 72, false},
    {"SHA-1", "001d", "0201", 256, false},
    {"MD5", "001d", "0101", 256, false},
    {"SHA-1 with ECDSA", "001d", "0203", 72, false},
    {"unknown scheme", "001d", "fe01", 72, false},
    {"ed25519", "001d", "0807", 64, false},
};

static void key_exchanges(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(exchanges); i++) {
        struct flight f;
        int alert;
        message.n = wire.n = 0;
        add_hello(&message, SERVER_HELLO(.extensions = SECURE));
        add_key_exchange(&message, exchanges[i].group, exchanges[i].scheme, exchanges[i].signature);
        blob_records(&wire, 22, 0x0303, message.p, message.n, 700);
        enum reason reason = feed(&f, &offer, 100, &alert);
        if (reason != (exchanges[i].good ? REASON_OK : REASON_UPSTREAM_HANDSHAKE_FAILED))
            fail_msg("%s: %s", exchanges[i].name, reason ? reason_row(reason)->code : "ok");
        if (!exchanges[i].good) assert_int_equal(alert, 47);
    }
}

/* Explicit curves (RFC 8422 section 5.4 deprecates them) and a cut message. */
static void key_exchange_malformed(void **state)
{
    (void)state;
    static const char *const bodies[] = {"01 001d 04 aabbccdd 0403 0000", "03 001d 04 aabb", "03",
                                         ""};
    for (size_t i = 0; i < N_OF(bodies); i++) {
        struct flight f;
        int alert;
        message.n = wire.n = 0;
        add_hello(&message, SERVER_HELLO(.extensions = SECURE));
        add_message(&message, 12, bodies[i], 0);
        blob_records(&wire, 22, 0x0303, message.p, message.n, 700);
        assert_int_equal(feed(&f, &offer, 9, &alert), REASON_UPSTREAM_HANDSHAKE_FAILED);
    }
}

/* How the answer begins. */
static const struct {
    const char *name, *hex;
    enum reason reason;
} openings[] = {
    {"HTTP", "485454502f312e31 20 343030", REASON_UPSTREAM_NOT_TLS},
    {"SSH", "5353482d", REASON_UPSTREAM_NOT_TLS},
    {"zero", "00", REASON_UPSTREAM_NOT_TLS},
    {"major version 2", "16 0200 0004", REASON_UPSTREAM_NOT_TLS},
    {"record too long", "16 0303 4801", REASON_UPSTREAM_NOT_TLS},
    {"SSL 2.0 server hello", "8403 04 00 01 0002", REASON_UPSTREAM_NOT_TLS},
    {"ServerHello of 1025 bytes", "16 0303 0004 02 000401", REASON_UPSTREAM_HANDSHAKE_FAILED},
    {"ServerHello of no byte", "16 0303 0004 02 000000", REASON_UPSTREAM_HANDSHAKE_FAILED},
};

static void first_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(openings); i++) {
        for (size_t piece = 1; piece < 9; piece++) {
            struct flight f;
            int alert;
            wire.n = 0;
            blob_hex(&wire, openings[i].hex);
            enum reason reason = feed(&f, &offer, piece, &alert);
            if (reason != openings[i].reason) fail_msg("%s: reason %d", openings[i].name, reason);
        }
    }
}

/* An alert record between two records of one handshake message does not change how it is read. */
static void alert_inside_a_message(void **state)
{
    (void)state;
    struct flight f;
    int alert;
    message.n = wire.n = 0;
    add_hello(&message, SERVER_HELLO(.tail = "444f574e47524400", .extensions = SECURE));
    blob_records(&wire, 22, 0x0303, message.p, 20, 20);
    blob_hex(&wire, "15 0303 0002 01 70");
    blob_records(&wire, 22, 0x0303, message.p + 20, message.n - 20, 500);
    for (size_t piece = 1; piece < 100; piece += 9) {
        assert_int_equal(feed(&f, &offer, piece, &alert), REASON_UPSTREAM_DOWNGRADE_MARKER);
        assert_int_equal(f.suite, 0xc02f);
        assert_int_equal(f.alert, -1); /* a warning ends nothing */
    }
}

/* Our own side: facts only, no judgement. */
static void without_offer(void **state)
{
    (void)state;
    struct flight f;
    int alert;
    message.n = wire.n = 0;
    add_hello(&message, (struct server_hello){.version = 0x0302,
                                              .suite = 0x002f,
                                              .extensions = "9999 0000 0010 0005 0003 02 6832"});
    blob_records(&wire, 22, 0x0303, message.p, message.n, 30);
    blob_hex(&wire, "15 0303 0002 02 28");
    assert_int_equal(feed(&f, NULL, 11, &alert), REASON_OK);
    assert_int_equal(f.version, 0x0302);
    assert_int_equal(f.suite, 0x002f);
    assert_string_equal(f.alpn, "h2");
    assert_int_equal(f.alert, 40);
}

static const struct {
    const char *name, *hex;
    bool hello, request, closed;
    enum reason reason;
} ends[] = {
    {"closed without a byte", "", false, false, true, REASON_UPSTREAM_CLOSED_HANDSHAKE},
    {"closed behind the ServerHello", "", true, false, true, REASON_UPSTREAM_CLOSED_HANDSHAKE},
    {"failed, still open", "", true, false, false, REASON_UPSTREAM_HANDSHAKE_FAILED},
    {"alert 40 first", "15 0303 0002 02 28", false, false, true, REASON_UPSTREAM_NO_APPROVED_SUITE},
    {"alert 71 first", "15 0303 0002 02 47", false, false, true, REASON_UPSTREAM_NO_APPROVED_SUITE},
    {"alert 70 first", "15 0303 0002 02 46", false, false, true, REASON_UPSTREAM_PROTOCOL_REFUSED},
    {"alert 70 in a TLS 1.0 record", "15 0301 0002 02 46", false, false, true,
     REASON_UPSTREAM_PROTOCOL_TOO_OLD},
    {"alert 40 in an SSL 3.0 record", "15 0300 0002 02 28", false, false, false,
     REASON_UPSTREAM_PROTOCOL_TOO_OLD},
    {"alert 80 first", "15 0303 0002 02 50", false, false, true, REASON_UPSTREAM_HANDSHAKE_FAILED},
    {"alert 112 first", "15 0303 0002 02 70", false, false, true, REASON_UPSTREAM_HANDSHAKE_FAILED},
    {"alert 40 behind the ServerHello", "15 0303 0002 02 28", true, false, true,
     REASON_UPSTREAM_HANDSHAKE_FAILED},
    {"alert 40 behind CertificateRequest", "15 0303 0002 02 28", true, true, true,
     REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE},
    {"closed behind CertificateRequest", "", true, true, true,
     REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE},
    {"what follows CertificateRequest fails here", "", true, true, false,
     REASON_UPSTREAM_HANDSHAKE_FAILED},
    {"half an alert", "15 0303 0002 02", false, false, true, REASON_UPSTREAM_CLOSED_HANDSHAKE},
    {"alert in two records", "15 0303 0001 02 15 0303 0001 28", false, false, true,
     REASON_UPSTREAM_CLOSED_HANDSHAKE},
};

static void explanations(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(ends); i++) {
        for (size_t piece = 1; piece < 600; piece += 100) {
            struct flight f;
            int alert;
            message.n = wire.n = 0;
            if (ends[i].hello) add_hello(&message, SERVER_HELLO(.extensions = SECURE));
            if (ends[i].request) add_message(&message, 13, "01 40 0002 0403 0000", 0);
            if (message.n) blob_records(&wire, 22, 0x0303, message.p, message.n, 500);
            blob_hex(&wire, ends[i].hex);
            assert_int_equal(feed(&f, &offer, piece, &alert), REASON_OK);
            enum reason reason = flight_explain(&f, ends[i].closed);
            flight_fini(&f);
            if (reason != ends[i].reason)
                fail_msg("%s: %s", ends[i].name, reason_row(reason)->code);
        }
    }
}

static void certificate_requests(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool good;
    } requests[] = {
        {"01 40 0002 0403 0000", true},
        {"00 0000 0000", true}, /* takes none, which is legal to say */
        {"01 40 0002 0403 0004 0002 3000", true},
        {"", false},
        {"01 40", false},
        {"01 40 0002 0403", false},
        {"01 40 0003 040301 0000", false},    /* half a scheme */
        {"01 40 0002 0403 0002 0000", false}, /* an empty name */
        {"01 40 0002 0403 0003 000230", false},
        {"01 40 0002 0403 0000 00", false},
    };
    for (size_t i = 0; i < N_OF(requests); i++) {
        struct flight f;
        int alert;
        message.n = wire.n = 0;
        add_hello(&message, SERVER_HELLO(.extensions = SECURE));
        add_message(&message, 13, requests[i].body, 0);
        blob_records(&wire, 22, 0x0303, message.p, message.n, 500);
        enum reason reason = feed(&f, &offer, 7, &alert);
        assert_int_equal(reason, requests[i].good ? REASON_OK : REASON_UPSTREAM_HANDSHAKE_FAILED);
        assert_int_equal(alert, requests[i].good ? -1 : 50);
        flight_fini(&f);
    }
    /* One is enough, and its size is bounded. */
    for (unsigned large = 0; large < 2; large++) {
        struct flight f;
        int alert;
        message.n = wire.n = 0;
        add_hello(&message, SERVER_HELLO(.extensions = SECURE));
        add_message(&message, 13, "01 40 0002 0403 0000", 0);
        if (!large) add_message(&message, 13, "01 40 0002 0403 0000", 0);
        blob_records(&wire, 22, 0x0303, message.p, message.n, 500);
        if (large) blob_hex(&wire, "16 0303 0004 0d 010401");
        assert_int_equal(feed(&f, &offer, 7, &alert), REASON_UPSTREAM_HANDSHAKE_FAILED);
        assert_int_equal(alert, large ? 50 : 10);
        flight_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_flight),
        cmocka_unit_test(server_hellos),
        cmocka_unit_test(offers),
        cmocka_unit_test(marker_noted),
        cmocka_unit_test(key_exchanges),
        cmocka_unit_test(key_exchange_malformed),
        cmocka_unit_test(first_bytes),
        cmocka_unit_test(alert_inside_a_message),
        cmocka_unit_test(without_offer),
        cmocka_unit_test(explanations),
        cmocka_unit_test(certificate_requests),
    };
    return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
