/* What a server answers to an offer: facts, independent of how the bytes are cut up. */
#include "helper.h"

#include "policy/policy.h"
#include "policy/reply.h"

static struct blob message, wire;

struct server_hello {
    uint16_t version, suite;
    uint8_t compression;
    bool session_id;
    const char *random;     /* its first bytes */
    const char *extensions; /* NULL: no block at all */
};

#define SERVER_HELLO(...)              \
    (struct server_hello)              \
    {                                  \
        .version = 0x0303, __VA_ARGS__ \
    }
#define RETRY "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"

static void add_hello(struct blob *b, struct server_hello s)
{
    blob_number(b, 2, 1);
    size_t body = blob_open(b, 3);
    blob_number(b, s.version, 2);
    size_t random = b->n;
    if (s.random) blob_hex(b, s.random);
    while (b->n < random + 32) blob_number(b, 0x40, 1);
    blob_hex(b, s.session_id ? "04 01020304" : "00");
    blob_number(b, s.suite ? s.suite : 0xc02f, 2);
    blob_number(b, s.compression, 1);
    if (s.extensions) {
        size_t all = blob_open(b, 2);
        blob_hex(b, s.extensions);
        blob_close(b, all, 2);
    }
    blob_close(b, body, 3);
}

static void add_message(struct blob *b, uint8_t type, const char *hex)
{
    blob_number(b, type, 1);
    size_t body = blob_open(b, 3);
    blob_hex(b, hex);
    blob_close(b, body, 3);
}

/* A Certificate message of `count` certificates of n bytes; its list claims `missing`
 * bytes more. */
static void add_certificates(struct blob *b, size_t count, size_t n, size_t missing)
{
    blob_number(b, 11, 1);
    size_t body = blob_open(b, 3), list = blob_open(b, 3);
    for (size_t i = 0; i < count; i++) {
        blob_number(b, (uint32_t)n, 3);
        for (size_t k = 0; k < n; k++) blob_number(b, (uint32_t)(i + k) & 0xff, 1);
    }
    size_t start = b->n;
    b->n += missing;
    blob_close(b, list, 3);
    b->n = start;
    blob_close(b, body, 3);
}

static void start(void)
{
    message.n = wire.n = 0;
}

static void send_message(size_t record)
{
    blob_records(&wire, 22, 0x0303, message.p, message.n, record);
    message.n = 0;
}

/* One piece, on a heap block of its own. */
static void feed_piece(struct reply *r, const uint8_t *p, size_t n)
{
    uint8_t *copy = exact(p, n);
    reply_feed(r, copy, n);
    free(copy);
}

static void assert_same(const struct reply *a, const struct reply *b, size_t cut)
{
    if (a->kind != b->kind || a->done != b->done || a->alert != b->alert)
        fail_msg("cut at %zu: kind %d, not %d; done %d, not %d; alert %d, not %d", cut,
                 (int)b->kind, (int)a->kind, b->done, a->done, b->alert, a->alert);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->suite, b->suite);
    assert_int_equal(a->compression, b->compression);
    assert_int_equal(a->session_id, b->session_id);
    assert_int_equal(a->secure_renegotiation, b->secure_renegotiation);
    assert_int_equal(a->extended_master_secret, b->extended_master_secret);
    assert_int_equal(a->encrypt_then_mac, b->encrypt_then_mac);
    assert_int_equal(a->ticket, b->ticket);
    assert_int_equal(a->retry, b->retry);
    assert_string_equal(a->alpn, b->alpn);
    assert_int_equal(a->certificate_count, b->certificate_count);
    for (size_t i = 0; i < a->certificate_count; i++) {
        assert_int_equal(a->certificates[i].n, b->certificates[i].n);
        assert_memory_equal(a->certificates[i].p, b->certificates[i].p, a->certificates[i].n);
    }
    assert_int_equal(a->chain_cut, b->chain_cut);
    assert_int_equal(a->certificate_request, b->certificate_request);
    assert_int_equal(a->staple, b->staple);
    assert_int_equal(a->group, b->group);
    assert_int_equal(a->scheme, b->scheme);
    assert_int_equal(a->kind_count, b->kind_count);
    assert_memory_equal(a->kinds, b->kinds, a->kind_count * sizeof a->kinds[0]);
    if (a->kind != REPLY_NOT_TLS) return;
    assert_int_equal(a->head_size, b->head_size);
    assert_memory_equal(a->head, b->head, a->head_size);
}

/* Reads the whole wire into r; cut anywhere in two, or into single bytes, gives the same. */
static void read_wire(struct reply *r, bool sslv2)
{
    struct reply other;
    reply_init(r, sslv2);
    feed_piece(r, wire.p, wire.n);
    for (size_t cut = 0; cut <= wire.n; cut += wire.n > 4000 ? 97 : 1) {
        reply_init(&other, sslv2);
        feed_piece(&other, wire.p, cut);
        feed_piece(&other, wire.p + cut, wire.n - cut);
        assert_same(r, &other, cut);
        reply_fini(&other);
    }
    reply_init(&other, sslv2);
    for (size_t i = 0; i < wire.n; i++) feed_piece(&other, wire.p + i, 1);
    assert_same(r, &other, 1);
    reply_fini(&other);
}

#define ALL_EXTENSIONS                                                     \
    "0000 0000  ff01 0001 00  0017 0000  0016 0000  0023 0000  000b 0002 " \
    "01 00  0005 0000  0010 0005 0003 02 6832"

static void add_whole_flight(void)
{
    add_hello(&message, SERVER_HELLO(.session_id = true, .extensions = ALL_EXTENSIONS));
    add_certificates(&message, 3, 150, 0);
    add_message(&message, 22, "01 000003 aabbcc");
    add_message(&message, 12, "03 001d 04 aabbccdd 0804 0004 11223344");
    add_message(&message, 13, "01 40 0002 0401 0000");
    add_message(&message, 14, "");
}

/* One message a record, records split anywhere, all messages in one record. */
static void whole_flight(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 4, 5, 17, 100, 1000, 16384};
    for (size_t i = 0; i < N_OF(sizes); i++) {
        struct reply r;
        start();
        add_whole_flight();
        send_message(sizes[i]);
        blob_hex(&wire, "15 0303 0002 02 28 and more"); /* after ServerHelloDone: ignored */
        read_wire(&r, false);
        assert_int_equal(r.kind, REPLY_HELLO);
        assert_true(r.done);
        assert_int_equal(r.alert, -1);
        assert_int_equal(r.version, TLS_1_2);
        assert_int_equal(r.suite, 0xc02f);
        assert_int_equal(r.compression, 0);
        assert_true(r.session_id && r.secure_renegotiation && r.extended_master_secret);
        assert_true(r.encrypt_then_mac && r.ticket && r.staple && r.certificate_request);
        assert_false(r.retry || r.chain_cut);
        assert_string_equal(r.alpn, "h2");
        assert_int_equal(r.group, 0x001d);
        assert_int_equal(r.scheme, 0x0804);
        assert_int_equal(r.certificate_count, 3);
        for (size_t c = 0; c < 3; c++) {
            assert_int_equal(r.certificates[c].n, 150);
            for (size_t k = 0; k < 150; k++)
                assert_int_equal(r.certificates[c].p[k], (c + k) & 0xff);
        }
        reply_fini(&r);
        assert_null(r.chain.data);
        assert_null(r.message.data);
    }
}

/* The smallest reply, and each fact alone. */
static void plain_hellos(void **state)
{
    (void)state;
    static const uint16_t all[] = {SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2};
    struct reply r;
    for (size_t i = 0; i < N_OF(all); i++) {
        start();
        add_hello(&message, (struct server_hello){.version = all[i], .suite = 0x000a});
        send_message(500);
        read_wire(&r, i & 1); /* even if a SERVER-HELLO of SSL 2.0 was possible */
        assert_int_equal(r.kind, REPLY_HELLO);
        assert_false(r.done); /* its certificate is still to come */
        assert_int_equal(r.version, all[i]);
        assert_int_equal(r.suite, 0x000a);
        assert_false(r.session_id || r.secure_renegotiation || r.extended_master_secret ||
                     r.encrypt_then_mac || r.ticket);
        assert_string_equal(r.alpn, "");
        reply_fini(&r);
    }
    start();
    add_hello(&message, SERVER_HELLO(.compression = 1, .extensions = ""));
    send_message(500);
    read_wire(&r, false);
    assert_int_equal(r.kind, REPLY_HELLO);
    assert_int_equal(r.compression, 1);
    reply_fini(&r);
}

static const struct {
    const char *extensions, *alpn;
    bool renegotiation;
} extension_rows[] = {
    {"ff01 0001 00", "", true},
    {"ff01 0000", "", false},
    {"ff01 0002 01 aa", "", false}, /* of an earlier handshake, but there was none */
    {"ff01 0001 01", "", false},
    {"0010 000b 0009 08 687474702f312e31", "http/1.1", false},
    {"0010 0000", "", false},
    {"0010 0002 0000", "", false},
    {"0010 0003 0001 00", "", false},
    {"0010 0004 0002 05 61", "", false},
    {"0010 0005 0009 02 6832", "", false},
    {"0010 0008 0006 02 6832 02 6833", "h2", false},
    {"9999 0003 aabbcc", "", false},
};

static void extensions(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(extension_rows); i++) {
        struct reply r;
        start();
        add_hello(&message, SERVER_HELLO(.extensions = extension_rows[i].extensions));
        send_message(500);
        read_wire(&r, false);
        assert_int_equal(r.kind, REPLY_HELLO);
        if (strcmp(r.alpn, extension_rows[i].alpn) != 0 ||
            r.secure_renegotiation != extension_rows[i].renegotiation)
            fail_msg("%s: \"%s\"", extension_rows[i].extensions, r.alpn);
        reply_fini(&r);
    }
}

/* The longest possible name. */
static void long_alpn(void **state)
{
    (void)state;
    static char hex[2000];
    struct reply r;
    int n = sprintf(hex, "0010 0102 0100 ff");
    for (unsigned i = 0; i < 255; i++) n += sprintf(hex + n, "61");
    start();
    add_hello(&message, SERVER_HELLO(.extensions = hex));
    send_message(500);
    read_wire(&r, false);
    assert_int_equal(r.kind, REPLY_HELLO);
    assert_int_equal(strlen(r.alpn), 255);
    reply_fini(&r);
}

/* After a ServerHello of TLS 1.3 all is encrypted: reading ends there. */
static void tls13(void **state)
{
    (void)state;
    for (unsigned retry = 0; retry < 2; retry++) {
        struct reply r;
        start();
        add_hello(&message,
                  SERVER_HELLO(.suite = 0x1301, .session_id = true, .random = retry ? RETRY : NULL,
                               .extensions = "002b 0002 0304  0033 0002 001d"));
        send_message(500);
        blob_hex(&wire, "14 0303 0001 01  17 0303 0003 aabbcc");
        read_wire(&r, false);
        assert_int_equal(r.kind, REPLY_HELLO);
        assert_true(r.done);
        assert_int_equal(r.version, TLS_1_3);
        assert_int_equal(r.suite, 0x1301);
        assert_int_equal(r.retry, retry);
        assert_int_equal(r.alert, -1);
        reply_fini(&r);
    }
}

static const struct {
    const char *name, *body;
    uint16_t version, suite, group, scheme;
} exchanges[] = {
    {"x25519, PSS", "03 001d 02 aabb 0804 0001 00", 0x0303, 0xc02f, 0x001d, 0x0804},
    {"secp192r1, SHA-1", "03 0013 02 aabb 0203 0001 00", 0x0303, 0xc02b, 0x0013, 0x0203},
    {"TLS 1.1: no scheme", "03 0017 02 aabb 0804 0001 00", 0x0302, 0xc013, 0x0017, 0},
    {"anonymous: no signature", "03 0017 02 aabb", 0x0303, 0xc018, 0x0017, 0},
    {"finite field", "0004 01020304 0001 02 0001 03", 0x0303, 0x009e, 0, 0},
    {"ECDHE_PSK: a hint comes first", "0000 03 001d 02 aabb", 0x0303, 0xc037, 0, 0},
    {"explicit prime", "01 001d 02 aabb 0804 0001 00", 0x0303, 0xc02f, 0, 0},
    {"cut in the group", "03 00", 0x0303, 0xc02f, 0, 0},
    {"cut in the point", "03 001d 05 aabb", 0x0303, 0xc02f, 0x001d, 0},
    {"cut in the scheme", "03 001d 02 aabb 08", 0x0303, 0xc02f, 0x001d, 0},
    {"empty", "", 0x0303, 0xc02f, 0, 0},
};

static void key_exchanges(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(exchanges); i++) {
        struct reply r;
        start();
        add_hello(&message, (struct server_hello){.version = exchanges[i].version,
                                                  .suite = exchanges[i].suite});
        add_message(&message, 12, exchanges[i].body);
        add_message(&message, 14, "");
        send_message(20);
        read_wire(&r, false);
        assert_int_equal(r.kind, REPLY_HELLO);
        assert_true(r.done);
        if (r.group != exchanges[i].group || r.scheme != exchanges[i].scheme)
            fail_msg("%s: group %04x, scheme %04x", exchanges[i].name, r.group, r.scheme);
        reply_fini(&r);
    }
}

static const struct {
    const char *name, *body; /* of the Certificate message */
    size_t count;
    bool cut;
} chains[] = {
    {"none", "000000", 0, false},
    {"one", "000004 000001 aa", 1, false},
    {"two", "000009 000001 aa 000002 bbcc", 2, false},
    {"an empty one between", "00000b 000001 aa 000000 000001 bb", 2, false},
    {"no list", "", 0, true},
    {"half a length", "0000", 0, true},
    {"the list is longer than the message", "000009 000001 aa", 0, true},
    {"bytes behind the list", "000004 000001 aa 00", 1, true},
    {"the second is cut", "000008 000001 aa 000002 bb", 1, true},
    {"the second's length is cut", "000006 000001 aa 0000", 1, true},
    {"a length of 16 MiB", "000007 ffffff aabbccdd", 0, true},
};

static void certificate_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(chains); i++) {
        struct reply r;
        start();
        add_hello(&message, SERVER_HELLO(.extensions = ""));
        add_message(&message, 11, chains[i].body);
        add_message(&message, 14, "");
        send_message(30);
        read_wire(&r, false);
        assert_int_equal(r.kind, REPLY_HELLO);
        assert_true(r.done);
        if (r.certificate_count != chains[i].count || r.chain_cut != chains[i].cut)
            fail_msg("%s: %zu, cut %d", chains[i].name, r.certificate_count, r.chain_cut);
        if (r.certificate_count) assert_int_equal(r.certificates[0].p[0], 0xaa);
        reply_fini(&r);
    }
}

static void too_many_certificates(void **state)
{
    (void)state;
    for (size_t n = REPLY_CERTIFICATES - 1; n <= REPLY_CERTIFICATES + 2; n++) {
        struct reply r;
        start();
        add_hello(&message, SERVER_HELLO(.extensions = ""));
        add_certificates(&message, n, 10, 0);
        add_message(&message, 14, "");
        send_message(300);
        read_wire(&r, false);
        assert_true(r.done);
        assert_int_equal(r.certificate_count, n < REPLY_CERTIFICATES ? n : REPLY_CERTIFICATES);
        assert_int_equal(r.chain_cut, n > REPLY_CERTIFICATES);
        reply_fini(&r);
    }
}

/* The last Certificate message counts; only one is kept in memory. */
static void repeated_certificates(void **state)
{
    (void)state;
    struct reply r;
    start();
    add_hello(&message, SERVER_HELLO(.extensions = ""));
    add_certificates(&message, 4, 100, 5); /* cut */
    add_certificates(&message, 2, 50, 0);
    send_message(300);
    read_wire(&r, false);
    assert_int_equal(r.certificate_count, 2);
    assert_false(r.chain_cut || r.done);
    assert_int_equal(r.certificates[1].n, 50);
    reply_fini(&r);
}

/* More than REPLY_LIMIT: the facts read before it remain. In pieces as a socket gives them. */
static void too_large(void **state)
{
    (void)state;
    for (unsigned hello = 0; hello < 2; hello++) {
        struct reply r;
        size_t fed = 0;
        start();
        if (hello) add_hello(&message, SERVER_HELLO(.extensions = ""));
        blob_hex(&message, hello ? "0b ffffff ffffff" : "02 ffffff");
        send_message(500);
        reply_init(&r, false);
        feed_piece(&r, wire.p, wire.n);
        fed += wire.n;
        assert_int_equal(r.kind, hello ? REPLY_HELLO : REPLY_NONE);
        while (!r.done && fed < 2 * (size_t)REPLY_LIMIT) {
            wire.n = 0;
            blob_hex(&wire, "16 0303 4000");
            memset(wire.p + wire.n, 0xaa, 16384);
            wire.n += 16384;
            feed_piece(&r, wire.p, wire.n);
            fed += wire.n;
            assert_true(buf_size(&r.message) <= REPLY_LIMIT);
        }
        assert_true(r.done);
        assert_in_range(fed, REPLY_LIMIT, REPLY_LIMIT + 16389);
        assert_int_equal(r.kind, hello ? REPLY_HELLO : REPLY_TOO_LARGE);
        assert_int_equal(r.certificate_count, 0);
        assert_true(r.chain_cut);
        reply_fini(&r);
    }
}

/* Endless HelloRequests cannot hold a connection. */
static void hello_requests(void **state)
{
    (void)state;
    struct reply r;
    start();
    for (unsigned i = 0; i < 4000; i++) add_message(&message, 0, "");
    send_message(16384);
    reply_init(&r, false);
    for (unsigned i = 0; i < 20 && !r.done; i++) {
        assert_int_equal(r.kind, REPLY_NONE);
        feed_piece(&r, wire.p, wire.n);
    }
    assert_int_equal(r.kind, REPLY_TOO_LARGE);
    reply_fini(&r);
    start();
    add_message(&message, 0, "");
    add_hello(&message, SERVER_HELLO(.extensions = ""));
    send_message(7);
    read_wire(&r, false);
    assert_int_equal(r.kind, REPLY_HELLO);
    reply_fini(&r);
}

#define WARNING "15 0303 0002 01 70" /* unrecognized_name */

static void alerts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *before, *behind; /* bytes around the ServerHello; behind NULL: none */
        enum reply_kind kind;
        int alert;
        bool done;
    } rows[] = {
        {"fatal", "15 0303 0002 02 28", NULL, REPLY_ALERT, 40, true},
        {"fatal of TLS 1.0", "15 0301 0002 02 46", NULL, REPLY_ALERT, 70, true},
        {"fatal, description 0", "15 0303 0002 02 00", NULL, REPLY_ALERT, 0, true},
        {"fatal, description 255", "15 0303 0002 02 ff", NULL, REPLY_ALERT, 255, true},
        {"fatal, then more", "15 0303 0002 02 28 15 0303 0002 02 46", NULL, REPLY_ALERT, 40, true},
        {"in two records", "15 0303 0001 02 15 0303 0001 28", NULL, REPLY_ALERT, 40, true},
        {"behind a record without a byte", "15 0303 0000 15 0303 0002 02 28", NULL, REPLY_ALERT, 40,
         true},
        {"a warning and a fatal one in one record", "15 0303 0004 0170 0228", NULL, REPLY_ALERT, 40,
         true},
        {"one and a half in a record", "15 0303 0003 0170 02 15 0303 0001 28", NULL, REPLY_ALERT,
         40, true},
        {"close_notify", "15 0303 0002 01 00", NULL, REPLY_ALERT, 0, true},
        {"a warning only", WARNING, NULL, REPLY_NONE, -1, false},
        {"half an alert", "15 0303 0002 02", NULL, REPLY_NONE, -1, false},
        {"a warning, then fatal", WARNING "15 0303 0002 02 28", NULL, REPLY_ALERT, 40, true},
        {"a warning, then the ServerHello", WARNING, "", REPLY_HELLO, -1, false},
        {"warnings around it", WARNING WARNING, WARNING, REPLY_HELLO, -1, false},
        {"fatal behind it", "", "15 0303 0002 02 50", REPLY_HELLO, 80, true},
        {"close_notify behind it", "", "15 0303 0002 01 00", REPLY_HELLO, 0, true},
        {"fatal instead of it", "15 0303 0002 02 28", "", REPLY_ALERT, 40, true},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct reply r;
        start();
        blob_hex(&wire, rows[i].before);
        if (rows[i].behind) {
            add_hello(&message, SERVER_HELLO(.extensions = ""));
            send_message(30);
            blob_hex(&wire, rows[i].behind);
        }
        read_wire(&r, false);
        if (r.kind != rows[i].kind || r.alert != rows[i].alert || r.done != rows[i].done)
            fail_msg("%s: kind %d, alert %d, done %d", rows[i].name, (int)r.kind, r.alert, r.done);
        reply_fini(&r);
    }
}

/* A warning between two records of one message changes nothing; a fatal alert ends reading. */
static void alert_inside_a_message(void **state)
{
    (void)state;
    for (unsigned fatal = 0; fatal < 2; fatal++) {
        struct reply r;
        start();
        add_hello(&message, SERVER_HELLO(.suite = 0xc030, .extensions = ALL_EXTENSIONS));
        blob_records(&wire, 22, 0x0303, message.p, 20, 20);
        blob_hex(&wire, fatal ? "15 0303 0002 02 50" : WARNING);
        blob_records(&wire, 22, 0x0303, message.p + 20, message.n - 20, 500);
        read_wire(&r, false);
        assert_int_equal(r.kind, fatal ? REPLY_ALERT : REPLY_HELLO);
        assert_int_equal(r.alert, fatal ? 80 : -1);
        if (!fatal) assert_int_equal(r.suite, 0xc030);
        reply_fini(&r);
    }
}

static const struct {
    const char *name, *hex;
    enum reply_kind kind;
} openings[] = {
    {"another message first", "16 0303 0004 0e 000000", REPLY_MALFORMED},
    {"a Certificate first", "16 0303 0004 0b 000000", REPLY_MALFORMED},
    {"a ClientHello, echoed", "16 0301 0004 01 000000", REPLY_MALFORMED},
    {"ServerHello of no byte", "16 0303 0004 02 000000", REPLY_MALFORMED},
    {"ServerHello of a version only", "16 0303 0006 02 000002 0303", REPLY_MALFORMED},
    {"ChangeCipherSpec first", "14 0303 0001 01", REPLY_MALFORMED},
    {"application data first", "17 0303 0001 00", REPLY_MALFORMED},
    {"major version 2", "16 0200 0004", REPLY_NOT_TLS},
    {"a record that is too long", "16 0303 4801", REPLY_NOT_TLS},
    {"the longest record", "16 0303 4800", REPLY_NONE},
    {"heartbeat", "18 0303 0001 00", REPLY_NOT_TLS},
    {"zero", "00", REPLY_NOT_TLS},
    {"SSL 2.0 that was not asked for", "8003 04 00 01 0002", REPLY_NOT_TLS},
    {"record headers only", "16 0303 0000 16 0303 0000", REPLY_NONE},
    {"part of a header", "16 0303 00", REPLY_NONE},
    {"one byte", "16", REPLY_NONE},
    {"nothing", "", REPLY_NONE},
};

static void first_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(openings); i++) {
        struct reply r;
        start();
        blob_hex(&wire, openings[i].hex);
        read_wire(&r, false);
        if (r.kind != openings[i].kind) fail_msg("%s: kind %d", openings[i].name, (int)r.kind);
        bool open = r.kind == REPLY_NONE;
        assert_int_equal(r.done, !open);
        assert_int_equal(r.alert, -1);
        reply_fini(&r);
    }
}

/* Junk after a ServerHello does not change its facts. */
static void junk_behind_the_hello(void **state)
{
    (void)state;
    static const char *const junk[] = {"485454502f", "14 0303 0001 01", "17 0303 0001 00",
                                       "16 0303 ffff", "ff ffff ffff"};
    for (size_t i = 0; i < N_OF(junk); i++) {
        struct reply r;
        start();
        add_hello(&message, SERVER_HELLO(.extensions = ALL_EXTENSIONS));
        send_message(500);
        blob_hex(&wire, junk[i]);
        read_wire(&r, false);
        assert_int_equal(r.kind, REPLY_HELLO);
        assert_true(r.done);
        assert_string_equal(r.alpn, "h2");
        reply_fini(&r);
    }
}

/* A ServerHello whose header gives a shorter length than its content needs: nothing after it is
 * read, and only one that ends before the extensions is valid. */
static void every_cut(void **state)
{
    (void)state;
    start();
    add_hello(&message, SERVER_HELLO(.session_id = true, .extensions = ALL_EXTENSIONS));
    size_t whole = message.n, without = 4 + 2 + 32 + 5 + 2 + 1;
    for (size_t n = 4; n <= whole; n++) {
        struct reply r;
        wire.n = 0;
        message.n = n;
        blob_close(&message, 4, 3);
        blob_records(&wire, 22, 0x0303, message.p, n, 16384);
        read_wire(&r, false);
        if (r.kind != (n == without || n == whole ? REPLY_HELLO : REPLY_MALFORMED))
            fail_msg("cut to %zu: kind %d", n, (int)r.kind);
        reply_fini(&r);
    }
}

static void hello_versions(void **state)
{
    (void)state;
    static const struct {
        uint16_t version;
        enum reply_kind kind;
    } rows[] = {{0x0300, REPLY_HELLO},     {0x0304, REPLY_HELLO},     {0x03ff, REPLY_HELLO},
                {0x0002, REPLY_MALFORMED}, {0x0200, REPLY_MALFORMED}, {0xfeff, REPLY_MALFORMED},
                {0x0000, REPLY_MALFORMED}};
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct reply r;
        start();
        add_hello(&message, (struct server_hello){.version = rows[i].version});
        send_message(500);
        read_wire(&r, false);
        if (r.kind != rows[i].kind) fail_msg("%04x: kind %d", rows[i].version, (int)r.kind);
        reply_fini(&r);
    }
}

static void broken_extensions(void **state)
{
    (void)state;
    static const char *const rows[] = {"00", "0017", "0017 00", "0017 0001", "ff01 0001 00 00"};
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct reply r;
        start();
        add_hello(&message, SERVER_HELLO(.extensions = rows[i]));
        send_message(500);
        read_wire(&r, false);
        if (r.kind != REPLY_MALFORMED) fail_msg("%s: kind %d", rows[i], (int)r.kind);
        reply_fini(&r);
    }
}

/* draft-hickman-netscape-ssl-00: SERVER-HELLO with a certificate, kinds and a connection id. */
static void add_sslv2(size_t kinds, const char *version)
{
    size_t all = blob_open(&wire, 2);
    blob_hex(&wire, "04 00 01");
    blob_hex(&wire, version);
    blob_number(&wire, 5, 2);
    blob_number(&wire, (uint32_t)(3 * kinds), 2);
    blob_number(&wire, 16, 2);
    blob_hex(&wire, "3082aabbcc");
    for (size_t i = 0; i < kinds; i++) blob_number(&wire, (uint32_t)(0x010080 + i), 3);
    for (unsigned i = 0; i < 16; i++) blob_number(&wire, i, 1);
    blob_close(&wire, all, 2);
    wire.p[all - 2] |= 0x80;
}

static void sslv2(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 7, REPLY_SSLV2_KINDS, REPLY_SSLV2_KINDS + 1, 1000};
    for (size_t i = 0; i < N_OF(counts); i++) {
        struct reply r;
        start();
        add_sslv2(counts[i], "0002");
        size_t message_size = wire.n;
        blob_hex(&wire, "8001 07"); /* the rest is ignored */
        read_wire(&r, true);
        assert_int_equal(r.kind, REPLY_SSLV2);
        assert_true(r.done);
        assert_int_equal(r.version, SSL_2_0);
        size_t kept = counts[i] < REPLY_SSLV2_KINDS ? counts[i] : REPLY_SSLV2_KINDS;
        assert_int_equal(r.kind_count, kept);
        for (size_t k = 0; k < kept; k++) assert_int_equal(r.kinds[k], 0x010080 + k);
        reply_fini(&r);
        /* With one byte less, the reader waits for it. */
        wire.n = message_size - 1;
        read_wire(&r, true);
        assert_int_equal(r.kind, REPLY_NONE);
        assert_false(r.done);
        reply_fini(&r);
    }
}

static void sslv2_others(void **state)
{
    (void)state;
    static const struct {
        const char *name, *hex;
        enum reply_kind kind;
        int alert;
    } rows[] = {
        {"ERROR", "8003 00 0001", REPLY_NOT_TLS, -1},
        {"a TLS alert", "15 0300 0002 02 28", REPLY_ALERT, 40},
        {"HTTP", "485454502f312e31", REPLY_NOT_TLS, -1},
        {"another version", "800b 04 00 01 0003 0000 0000 0000", REPLY_MALFORMED, -1},
        {"cut in the lengths", "8006 04 00 01 0002 00", REPLY_MALFORMED, -1},
        {"a certificate longer than the message", "800b 04 00 01 0002 00ff 0000 0000",
         REPLY_MALFORMED, -1},
        {"no byte", "8000", REPLY_NOT_TLS, -1},
        {"half a length", "80", REPLY_NONE, -1},
        {"a length that is shorter than its content", "8003 04 00 01 0002 0000 0000 0000",
         REPLY_MALFORMED, -1},
        {"no byte, then a SERVER-HELLO's", "8000 04 00 01 0002 0000 0000 0000", REPLY_NOT_TLS, -1},
        {"a length of three bytes", "0003 00 00 0001", REPLY_NOT_TLS, -1},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct reply r;
        start();
        blob_hex(&wire, rows[i].hex);
        read_wire(&r, true);
        if (r.kind != rows[i].kind || r.alert != rows[i].alert)
            fail_msg("%s: kind %d, alert %d", rows[i].name, (int)r.kind, r.alert);
        reply_fini(&r);
    }
}

static void aliens(void **state)
{
    (void)state;
    static const struct {
        const char *said, *name;
    } rows[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"},
        {"<html><head>", "HTTP"},
        {"220 mail.example ESMTP\r\n", "SMTP or FTP"},
        {"421 too busy\r\n", "SMTP"},
        {"554 no\r\n", "SMTP"},
        {"500 what\r\n", "SMTP"},
        {"502 what\r\n", "SMTP"},
        {"+OK ready\r\n", "POP3"},
        {"* OK ready\r\n", "IMAP"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "SSH"},
        {"RFB 003.008\n", "VNC"},
        {"HTTP", NULL}, /* not all of it came */
        {"H", NULL},
        {"hello", NULL},
        {"RFC 9110", NULL},
        {"22", NULL},
    };
    struct reply r;
    for (size_t i = 0; i < N_OF(rows); i++) {
        start();
        blob_bytes(&wire, rows[i].said, strlen(rows[i].said));
        read_wire(&r, i & 1);
        assert_int_equal(r.kind, REPLY_NOT_TLS);
        assert_true(r.done);
        const char *name = reply_alien_name(&r);
        if (!name != !rows[i].name || (name && strcmp(name, rows[i].name) != 0))
            fail_msg("%s: %s", rows[i].said, name ? name : "none");
        assert_int_equal(r.head_size, wire.n < REPLY_HEAD ? wire.n : REPLY_HEAD);
        reply_fini(&r);
    }
    reply_init(&r, false);
    assert_null(reply_alien_name(&r));
    reply_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_flight),
        cmocka_unit_test(plain_hellos),
        cmocka_unit_test(extensions),
        cmocka_unit_test(long_alpn),
        cmocka_unit_test(tls13),
        cmocka_unit_test(key_exchanges),
        cmocka_unit_test(certificate_messages),
        cmocka_unit_test(too_many_certificates),
        cmocka_unit_test(repeated_certificates),
        cmocka_unit_test(too_large),
        cmocka_unit_test(hello_requests),
        cmocka_unit_test(alerts),
        cmocka_unit_test(alert_inside_a_message),
        cmocka_unit_test(first_bytes),
        cmocka_unit_test(junk_behind_the_hello),
        cmocka_unit_test(every_cut),
        cmocka_unit_test(hello_versions),
        cmocka_unit_test(broken_extensions),
        cmocka_unit_test(sslv2),
        cmocka_unit_test(sslv2_others),
        cmocka_unit_test(aliens),
    };
    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
