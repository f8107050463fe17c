/* The ClientHello: the reader under every way of cutting it up, and the parser. */
#include "helper.h"

#include "policy/hello.h"

enum { LIMIT = 80 * 1024 };

static struct blob message, wire, scratch;

static const struct hello_spec plain = {.version = 0x0303,
                                        .suites = "c02b c02f 00ff",
                                        .groups = "001d 0017",
                                        .schemes = "0403 0804 0401",
                                        .points = "00",
                                        .name = "Gate.Example."};

/* Feeds p in pieces of `piece` bytes; every piece on its own heap block. */
static enum hello_status feed(struct hello_reader *r, const uint8_t *p, size_t n, size_t piece,
                              size_t *taken)
{
    enum hello_status status = HELLO_MORE;
    *taken = 0;
    for (size_t i = 0; i < n && status == HELLO_MORE; i += piece) {
        size_t size = n - i < piece ? n - i : piece, used = 12345;
        uint8_t *copy = exact(p + i, size);
        status = hello_reader_feed(r, copy, size, &used);
        free(copy);
        assert_true(used <= size);
        if (status == HELLO_MORE) assert_int_equal(used, size);
        *taken += used;
    }
    return status;
}

static void expect_whole(const struct blob *bytes, const struct blob *wanted, size_t piece)
{
    struct hello_reader r = {.limit = LIMIT};
    size_t taken;
    assert_int_equal(feed(&r, bytes->p, bytes->n, piece, &taken), HELLO_COMPLETE);
    assert_int_equal(taken, bytes->n);
    assert_int_equal(buf_size(&r.message), wanted->n);
    assert_memory_equal(buf_head(&r.message), wanted->p, wanted->n);
    hello_reader_fini(&r);
    assert_null(r.message.data);
}

static void reader_any_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 64, 1000, 16384};
    blob_hello(&message, &plain);
    for (size_t record = 0; record < N_OF(sizes); record++) {
        wire.n = 0;
        blob_records(&wire, 22, 0x0301, message.p, message.n, sizes[record]);
        for (size_t piece = 0; piece < N_OF(sizes); piece++)
            expect_whole(&wire, &message, sizes[piece]);
    }
}

/* Every cut into two segments, each also as two records. */
static void reader_every_cut(void **state)
{
    (void)state;
    blob_hello(&message, &plain);
    for (size_t cut = 1; cut < message.n; cut++) {
        wire.n = 0;
        blob_records(&wire, 22, 0x0303, message.p, cut, cut);
        blob_records(&wire, 22, 0x0303, message.p + cut, message.n - cut, message.n);
        expect_whole(&wire, &message, cut + 5);
        expect_whole(&wire, &message, wire.n);
        expect_whole(&wire, &message, 1);
    }
}

/* 500 suites, and the largest hello that the limit allows, in records of every size class. */
static void reader_large(void **state)
{
    (void)state;
    static char list[5 * 30000];
    static const size_t counts[] = {500, 2048, 2049, 30000};
    for (size_t c = 0; c < N_OF(counts); c++) {
        for (size_t i = 0; i < counts[c]; i++) sprintf(list + 4 * i, "%04zx", i);
        struct hello_spec s = plain;
        s.suites = list;
        blob_hello(&message, &s);
        wire.n = 0;
        blob_records(&wire, 22, 0x0301, message.p, message.n, 16384);
        expect_whole(&wire, &message, 1460);
        struct hello h;
        uint8_t alert;
        /* Read completely, but the TLS library takes no more than 2,048 suites. */
        assert_int_equal(hello_parse((struct span){message.p, message.n}, &h, &alert),
                         counts[c] <= 2048 ? HELLO_COMPLETE : HELLO_TOO_MANY_SUITES);
        assert_int_equal(h.cipher_suites.n, 2 * counts[c]);
    }
}

static void reader_limit(void **state)
{
    (void)state;
    blob_hello(&message, &plain);
    wire.n = 0;
    blob_records(&wire, 22, 0x0303, message.p, message.n, message.n);
    size_t taken;
    struct hello_reader exactly = {.limit = message.n};
    assert_int_equal(feed(&exactly, wire.p, wire.n, 1, &taken), HELLO_COMPLETE);
    hello_reader_fini(&exactly);
    struct hello_reader below = {.limit = message.n - 1};
    assert_int_equal(feed(&below, wire.p, wire.n, 1, &taken), HELLO_TOO_LARGE);
    /* Known from the header: the body is not waited for. */
    assert_int_equal(taken, 9);
    hello_reader_fini(&below);
}

/* Following records are left to the caller. */
static void reader_leaves_the_rest(void **state)
{
    (void)state;
    blob_hello(&message, &plain);
    wire.n = 0;
    blob_records(&wire, 22, 0x0303, message.p, message.n, 50);
    size_t hello_size = wire.n;
    blob_hex(&wire, "1403030001 01 16030300");
    struct hello_reader r = {.limit = LIMIT};
    size_t used;
    assert_int_equal(hello_reader_feed(&r, wire.p, wire.n, &used), HELLO_COMPLETE);
    assert_int_equal(used, hello_size);
    hello_reader_fini(&r);
}

static void reader_nothing(void **state)
{
    (void)state;
    struct hello_reader r = {.limit = LIMIT};
    size_t used = 1;
    assert_int_equal(hello_reader_feed(&r, wire.p, 0, &used), HELLO_MORE);
    assert_int_equal(used, 0);
    hello_reader_fini(&r);
}

static const struct {
    const char *name, *hex;
    enum hello_status status;
    uint8_t alert;
} openings[] = {
    {"incomplete record header", "16 0301 00", HELLO_MORE, 0},
    {"incomplete handshake header", "16 0301 0003 010000", HELLO_MORE, 0},
    {"GET request", "474554202f20485454502f312e31", HELLO_HTTP, 0},
    {"GET alone", "47455420", HELLO_HTTP, 0},
    {"PUT", "50555420", HELLO_HTTP, 0},
    {"CONNECT", "434f4e4e454354", HELLO_HTTP, 0},
    {"HTTP/2 preface", "505249202a20485454502f322e30", HELLO_HTTP, 0},
    {"SSH banner", "5353482d322e302d", HELLO_NOT_TLS, 0},
    {"two letters and a space", "414220", HELLO_NOT_TLS, 0},
    {"PROXY protocol is one word of upper case", "50524f585920", HELLO_HTTP, 0},
    {"lower case text", "68656c6c6f", HELLO_NOT_TLS, 0},
    {"zeroes", "0000000000", HELLO_NOT_TLS, 0},
    {"SMB", "00000085ff534d42", HELLO_NOT_TLS, 0},
    {"RDP", "030000130ee00000", HELLO_NOT_TLS, 0},
    {"PROXY protocol version 2", "0d0a0d0a000d0a51", HELLO_NOT_TLS, 0},
    {"SSL 2.0", "802e 01 0002 0015 0000", HELLO_SSLV2, 0},
    {"SSL 2.0 format for SSL 3.0", "804c 01 0300 0033 0000", HELLO_SSLV2, 0},
    {"SSL 2.0 format for TLS 1.2", "804c 01 0303 0033 0000", HELLO_SSLV2, 0},
    {"high bit, no CLIENT-HELLO", "802e 02 0002 0015", HELLO_NOT_TLS, 0},
    {"high bit, no version", "802e 01 0102 0015", HELLO_NOT_TLS, 0},
    {"high bit, too short to tell", "802e 01 00", HELLO_MORE, 0},
    {"alert record first", "15 0303 0002 0228", HELLO_MALFORMED, 10},
    {"application data first", "17 0303 0001 00", HELLO_MALFORMED, 10},
    {"change_cipher_spec first", "14 0303 0001 01", HELLO_MALFORMED, 10},
    {"alert's type alone, then no version", "15 00", HELLO_NOT_TLS, 0},
    {"record of major version 2", "16 0200 0004 01000000", HELLO_MALFORMED, 50},
    {"record of major version 4", "16 0400 0004 01000000", HELLO_MALFORMED, 50},
    {"empty record", "16 0301 0000", HELLO_MALFORMED, 50},
    {"empty record in the middle", "16 0301 0001 01 16 0301 0000", HELLO_MALFORMED, 50},
    {"record of 16385 bytes", "16 0301 4001", HELLO_MALFORMED, 22},
    {"later record of 16385 bytes", "16 0301 0001 01 16 0301 4001", HELLO_MALFORMED, 22},
    {"ServerHello", "16 0303 0004 02000000", HELLO_MALFORMED, 10},
    {"HelloRequest", "16 0303 0004 00000000", HELLO_MALFORMED, 10},
    {"alert in the middle", "16 0301 0001 01 15 0301 0002 0200", HELLO_MALFORMED, 10},
    {"version changes to rubbish", "16 0301 0001 01 16 0901 0002 0200", HELLO_MALFORMED, 50},
    {"a second message in the same record", "16 0301 0008 01000000 01000000", HELLO_MALFORMED, 10},
    {"a byte behind the message", "16 0301 0005 01000000 00", HELLO_MALFORMED, 10},
    {"no body", "16 0301 0004 01000000", HELLO_COMPLETE, 0},
    {"claims 16 MiB", "16 0301 0004 01ffffff", HELLO_TOO_LARGE, 0},
    {"claims one byte above the limit", "16 0301 0004 01013ffd", HELLO_TOO_LARGE, 0},
    {"claims the limit", "16 0301 0004 01013ffc", HELLO_MORE, 0},
};

static void reader_openings(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(openings); i++) {
        wire.n = 0;
        blob_hex(&wire, openings[i].hex);
        for (size_t piece = 1; piece <= wire.n; piece++) {
            struct hello_reader r = {.limit = LIMIT};
            size_t taken;
            enum hello_status status = feed(&r, wire.p, wire.n, piece, &taken);
            if (status != openings[i].status)
                fail_msg("%s, pieces of %zu: status %d, not %d", openings[i].name, piece, status,
                         openings[i].status);
            if (status == HELLO_MALFORMED && r.alert != openings[i].alert)
                fail_msg("%s: alert %d, not %d", openings[i].name, r.alert, openings[i].alert);
            hello_reader_fini(&r);
        }
    }
}

static enum hello_status parse(const struct blob *b, struct hello *h, uint8_t *alert)
{
    uint8_t *copy = exact(b->p, b->n);
    enum hello_status status = hello_parse((struct span){copy, b->n}, h, alert);
    free(copy);
    return status;
}

static void parser_facts(void **state)
{
    (void)state;
    struct hello_spec s = plain;
    s.versions = "0304 0303";
    s.alpn = "02 6832 08 687474702f312e31";
    s.renegotiation = "";
    s.more = "0023 0002 abcd";
    blob_hello(&message, &s);
    struct hello h;
    uint8_t alert;
    assert_int_equal(hello_parse((struct span){message.p, message.n}, &h, &alert), HELLO_COMPLETE);
    assert_int_equal(h.legacy_version, 0x0303);
    assert_int_equal(h.highest_version, 0x0304);
    assert_int_equal(h.random.n, 32);
    assert_int_equal(h.random.p[31], 0x5f);
    assert_int_equal(h.session_id.n, 0);
    assert_int_equal(h.cipher_suites.n, 6);
    assert_int_equal(span_u16(h.cipher_suites, 1), 0xc02f);
    assert_int_equal(h.compression.n, 1);
    assert_int_equal(h.groups.n, 4);
    assert_int_equal(h.schemes.n, 6);
    assert_int_equal(h.point_formats.n, 1);
    assert_true(h.has_versions && h.has_groups && h.has_schemes && h.has_point_formats);
    assert_true(h.has_renegotiation);
    assert_int_equal(h.renegotiation.n, 0);
    assert_false(h.grease);
    assert_false(h.fallback_scsv);
    assert_string_equal(h.server_name, "gate.example");
    struct reader names = reader_of(h.alpn);
    struct span name = hello_alpn_next(&names);
    assert_memory_equal(name.p, "h2", 2);
    name = hello_alpn_next(&names);
    assert_int_equal(name.n, 8);
    assert_memory_equal(name.p, "http/1.1", 8);
    assert_int_equal(hello_alpn_next(&names).n, 0);
}

static void parser_without_extensions(void **state)
{
    (void)state;
    struct hello_spec s = plain;
    s.no_extensions = true;
    blob_hello(&message, &s);
    struct hello h;
    uint8_t alert;
    assert_int_equal(parse(&message, &h, &alert), HELLO_COMPLETE);
    assert_int_equal(h.extensions.n, 0);
    assert_int_equal(h.highest_version, 0x0303);
    assert_string_equal(h.server_name, "");
    assert_false(h.has_groups || h.has_schemes || h.has_point_formats || h.has_versions ||
                 h.has_renegotiation);
    struct hello_spec empty = {.version = 0x0301, .suites = "002f"};
    blob_hello(&message, &empty); /* an empty extension block */
    assert_int_equal(parse(&message, &h, &alert), HELLO_COMPLETE);
}

static void parser_flags(void **state)
{
    (void)state;
    static const struct {
        const char *suites, *versions, *groups, *more;
        bool grease, scsv;
        uint16_t highest;
    } rows[] = {
        {"c02b", NULL, NULL, NULL, false, false, 0x0303},
        {"c02b 5600", NULL, NULL, NULL, false, true, 0x0303},
        {"0a0a c02b", NULL, NULL, NULL, true, false, 0x0303},
        {"fafa", NULL, NULL, NULL, true, false, 0x0303},
        {"0a1a 1a0a 0a0b", NULL, NULL, NULL, false, false, 0x0303},
        {"c02b", "dada 0304 0303", NULL, NULL, true, false, 0x0304},
        {"c02b", "0302 0303 0301", NULL, NULL, false, false, 0x0303},
        {"c02b", "0301", NULL, NULL, false, false, 0x0301},
        {"c02b", NULL, "2a2a 001d", NULL, true, false, 0x0303},
        {"c02b", NULL, NULL, "3a3a 0000", true, false, 0x0303},
        {"c02b", NULL, NULL, "0023 0000", false, false, 0x0303},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct hello_spec s = {.version = 0x0303,
                               .suites = rows[i].suites,
                               .versions = rows[i].versions,
                               .groups = rows[i].groups,
                               .more = rows[i].more};
        struct hello h;
        uint8_t alert;
        blob_hello(&message, &s);
        assert_int_equal(parse(&message, &h, &alert), HELLO_COMPLETE);
        if (h.grease != rows[i].grease || h.fallback_scsv != rows[i].scsv ||
            h.highest_version != rows[i].highest)
            fail_msg("row %zu: grease %d, scsv %d, highest %04x", i, h.grease, h.fallback_scsv,
                     h.highest_version);
    }
}

/* Extensions that the parser reads, each wrong in one way. */
static const struct {
    const char *name, *extensions;
    uint8_t alert; /* 0: well formed */
} blocks[] = {
    {"an unknown extension of any content", "9999 0003 010203", 0},
    {"header cut", "000a 00", 50},
    {"body cut", "000a 0004 0002", 50},
    {"server_name: empty", "0000 0000", 50},
    {"server_name: empty list", "0000 0002 0000", 50},
    {"server_name: list longer than body", "0000 0005 0009 00 0001 61", 50},
    {"server_name: list shorter than body", "0000 0007 0004 00 0001 61 00", 50},
    {"server_name: a", "0000 0006 0004 00 0001 61", 0},
    {"server_name: empty name", "0000 0005 0003 00 0000", 50},
    {"server_name: two host names", "0000 000a 0008 00 0001 61 00 0001 62", 50},
    {"server_name: a host name behind another type", "0000 000a 0008 01 0001 61 00 0001 62", 0},
    {"server_name: another type only", "0000 0006 0004 07 0001 61", 0},
    {"server_name: cut in the second", "0000 0008 0006 00 0001 61 01 00", 50},
    {"groups: empty", "000a 0000", 50},
    {"groups: no group", "000a 0002 0000", 50},
    {"groups: odd", "000a 0005 0003 001700", 50},
    {"groups: byte behind", "000a 0005 0002 0017 00", 50},
    {"groups: one", "000a 0004 0002 0017", 0},
    {"point formats: empty", "000b 0000", 50},
    {"point formats: none", "000b 0001 00", 50},
    {"point formats: cut", "000b 0002 02 00", 50},
    {"schemes: none", "000d 0002 0000", 50},
    {"schemes: odd", "000d 0005 0003 040300", 50},
    {"alpn: empty", "0010 0000", 50},
    {"alpn: no name", "0010 0002 0000", 50},
    {"alpn: empty name", "0010 0003 0001 00", 50},
    {"alpn: empty second name", "0010 0006 0004 02 6832 00", 50},
    {"alpn: name cut", "0010 0004 0002 02 68", 50},
    {"alpn: h2", "0010 0005 0003 02 6832", 0},
    {"versions: none", "002b 0001 00", 50},
    {"versions: odd", "002b 0004 03 030303", 50},
    {"versions: list longer than body", "002b 0003 04 0303", 50},
    {"renegotiation_info: empty body", "ff01 0000", 50},
    {"renegotiation_info: empty", "ff01 0001 00", 0},
    {"renegotiation_info: byte behind", "ff01 0002 00 00", 50},
    {"renegotiation_info: a verify_data", "ff01 0003 02 0102", 0},
    {"groups twice", "000a 0004 0002 0017 000a 0004 0002 0017", 47},
    {"an unknown one twice", "9999 0000 000b 0002 01 00 9999 0000", 47},
    {"the same GREASE twice", "1a1a 0000 1a1a 0001 00", 47},
    {"two GREASE values", "1a1a 0000 2a2a 0001 00", 0},
};

static void parser_extensions(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(blocks); i++) {
        struct hello_spec s = {.version = 0x0303, .suites = "c02b", .more = blocks[i].extensions};
        struct hello h;
        uint8_t alert = 1;
        blob_hello(&message, &s);
        enum hello_status wanted = blocks[i].alert ? HELLO_MALFORMED : HELLO_COMPLETE;
        if (parse(&message, &h, &alert) != wanted || (blocks[i].alert && alert != blocks[i].alert))
            fail_msg("%s: not %s, or alert %d", blocks[i].name,
                     blocks[i].alert ? "malformed" : "well formed", alert);
    }
}

static void parser_many_extensions(void **state)
{
    (void)state;
    static char more[8 * 200 + 1];
    static const unsigned counts[] = {100, 128, 129, 200};
    for (size_t c = 0; c < N_OF(counts); c++) {
        unsigned n = counts[c];
        for (unsigned i = 0; i < n; i++) sprintf(more + 8 * i, "%04x0000", 0x7000 + i);
        struct hello_spec s = {.version = 0x0303, .suites = "c02b", .more = more};
        struct hello h;
        uint8_t alert;
        blob_hello(&message, &s);
        assert_int_equal(parse(&message, &h, &alert),
                         n <= 128 ? HELLO_COMPLETE : HELLO_TOO_MANY_EXTENSIONS);
    }
}

static const struct {
    const char *name, *hex; /* the body after the random */
    bool good;
} bodies[] = {
    {"least", "00 0002 c02b 01 00", true},
    {"session id of 32",
     "20 00000000000000000000000000000000"
     "00000000000000000000000000000000 0002 c02b 01 00",
     true},
    {"session id of 33",
     "21 0000000000000000000000000000000000"
     "00000000000000000000000000000000 0002 c02b 01 00",
     false},
    {"no suite", "00 0000 01 00", false},
    {"odd suites", "00 0003 c02b00 01 00", false},
    {"no compression method", "00 0002 c02b 00", false},
    {"compression cut", "00 0002 c02b 02 00", false},
    {"one byte of an extension length", "00 0002 c02b 01 00 00", false},
    {"extensions longer than the message", "00 0002 c02b 01 00 0005 9999 0000", false},
    {"extensions shorter than the message", "00 0002 c02b 01 00 0004 9999 0000 00", false},
    {"extensions of no bytes", "00 0002 c02b 01 00 0000", true},
};

static void parser_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(bodies); i++) {
        message.n = 0;
        blob_hex(&message, "01");
        size_t body = blob_open(&message, 3);
        blob_hex(&message, "0303");
        for (unsigned k = 0; k < 32; k++) blob_number(&message, k, 1);
        blob_hex(&message, bodies[i].hex);
        blob_close(&message, body, 3);
        struct hello h;
        uint8_t alert = 0;
        enum hello_status status = parse(&message, &h, &alert);
        if (status != (bodies[i].good ? HELLO_COMPLETE : HELLO_MALFORMED))
            fail_msg("%s: status %d", bodies[i].name, status);
        if (!bodies[i].good) assert_int_equal(alert, 50);
    }
}

/* A message cut anywhere does not parse; nothing after its end is read. */
static void parser_every_cut(void **state)
{
    (void)state;
    struct hello h;
    uint8_t alert;
    blob_hello(&message, &plain);
    size_t bare = 4 + 2 + 32 + 1 + 2 + 6 + 2; /* ends after compression: no extensions */
    for (size_t n = 0; n < message.n; n++) {
        scratch.n = 0;
        blob_bytes(&scratch, message.p, n);
        assert_int_equal(parse(&scratch, &h, &alert), HELLO_MALFORMED);
        if (n < 4) continue;
        blob_close(&scratch, 4, 3); /* the header has the shorter length */
        assert_int_equal(parse(&scratch, &h, &alert), n == bare ? HELLO_COMPLETE : HELLO_MALFORMED);
    }
    blob_number(&message, 0, 1);
    assert_int_equal(parse(&message, &h, &alert), HELLO_MALFORMED);
}

static void parser_versions(void **state)
{
    (void)state;
    static const uint16_t bad[] = {0x0400, 0x0401, 0x0402, 0xff00};
    static const uint16_t good[] = {0x0000, 0x0002, 0x0200, 0x0300, 0x0301, 0x0302, 0x0303,
                                    0x0304, 0x03ff, 0x0403, 0x0603, 0xfefe, 0xffff};
    struct hello h;
    uint8_t alert;
    for (size_t i = 0; i < N_OF(bad); i++) {
        struct hello_spec s = {.version = bad[i], .suites = "c02b"};
        blob_hello(&message, &s);
        assert_int_equal(parse(&message, &h, &alert), HELLO_MALFORMED);
        assert_int_equal(alert, 70);
    }
    for (size_t i = 0; i < N_OF(good); i++) {
        struct hello_spec s = {.version = good[i], .suites = "c02b"};
        blob_hello(&message, &s);
        assert_int_equal(parse(&message, &h, &alert), HELLO_COMPLETE);
        assert_int_equal(h.highest_version, good[i]);
    }
}

#define LABEL63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static const char *const good_names[] = {
    "0xg",
    "x7f000001",
    "0x7f.example",
    "a.0xyz",
    "a",
    "localhost",
    "gate.example",
    "GATE.Example",
    "xn--bcher-kva.example",
    "a-b.c--d.e",
    "_dmarc.x_y.test",
    "1.example",
    "1.2.3.4.example",
    "3com",
    LABEL63 ".test",
    "a.b.c.d.e.f.g",
    "0x7f.example",
    "1-1",
};
static const char *const bad_names[] = {
    "0x7f000001", "127.0.0.0x1",
    "a.0X",       "1.0xff",
    "",           ".",
    "a.",         ".a",
    "a..b",       "-a",
    "a-",         "a.-b",
    "a-.b",       "a b",
    "a\tb",       "a\nb",
    "a\"b",       "a/b",
    "a:b",        "a@b",
    "a,b",        "a=b",
    "*",          "*.a.test",
    "1.2.3.4",    "127.0.0.1",
    "1",          "example.1",
    "::1",        "[::1]",
    "2001:db8::", "a%b",
    "a\\b",       "b\xc3\xbc.test",
    LABEL63 "g",  "a\x7f.test",
    "a;b",        "a'b",
    "a\r\nb: c",
};

static void names(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(good_names); i++)
        if (!hello_name_is_valid(good_names[i], strlen(good_names[i])))
            fail_msg("%s is refused", good_names[i]);
    for (size_t i = 0; i < N_OF(bad_names); i++)
        if (hello_name_is_valid(bad_names[i], strlen(bad_names[i])))
            fail_msg("%s is accepted", bad_names[i]);
    assert_false(hello_name_is_valid("a\0b", 3));
    assert_false(hello_name_is_valid("ab\0", 3));
    char name[300];
    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name; i += 51) name[i] = '.';
    assert_true(hello_name_is_valid(name, 253));
    assert_false(hello_name_is_valid(name, 254));
}

/* The same through the SNI: bytes other than visible ASCII make the hello malformed; text that is
 * not a DNS name is kept for the record and marked as not usable. */
static void server_names(void **state)
{
    (void)state;
    struct hello h;
    uint8_t alert;
    for (size_t i = 0; i < N_OF(bad_names); i++) {
        /* The parser removes one final dot. */
        if (strcmp(bad_names[i], "a.") == 0) continue;
        bool visible = bad_names[i][0] != '\0';
        for (const char *c = bad_names[i]; *c; c++) visible = visible && *c > ' ' && *c <= '~';
        struct hello_spec bad = plain;
        bad.name = bad_names[i];
        blob_hello(&message, &bad);
        if (parse(&message, &h, &alert) != (visible ? HELLO_COMPLETE : HELLO_MALFORMED))
            fail_msg("SNI %s", bad_names[i]);
        if (visible && h.server_name_usable) fail_msg("SNI %s is usable", bad_names[i]);
    }
    struct hello_spec s = {.version = 0x0303,
                           .suites = "c02b",
                           .more = "0000 0008 0006 00 0003 610062"}; /* a NUL inside */
    blob_hello(&message, &s);
    assert_int_equal(parse(&message, &h, &alert), HELLO_MALFORMED);
}

/* The longest name that has a place is 255 bytes long, without its final dot. */
static void longest_server_name(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        bool dot, fits;
    } rows[] = {{254, false, true},  {255, false, true}, {255, true, true},
                {256, false, false}, {256, true, false}, {257, false, false}};
    for (size_t i = 0; i < N_OF(rows); i++) {
        char name[300];
        struct hello h;
        uint8_t alert;
        struct hello_spec s = plain;
        memset(name, 'a', sizeof name);
        snprintf(name + rows[i].n, sizeof name - rows[i].n, "%s", rows[i].dot ? "." : "");
        s.name = name;
        blob_hello(&message, &s);
        enum hello_status status = parse(&message, &h, &alert);
        if (status != (rows[i].fits ? HELLO_COMPLETE : HELLO_MALFORMED))
            fail_msg("%zu bytes: status %d", rows[i].n, (int)status);
        if (rows[i].fits) assert_int_equal(strlen(h.server_name), rows[i].n);
    }
}

int main(void)
{
    const struct CMUnitTest reader[] = {
        cmocka_unit_test(reader_any_pieces), cmocka_unit_test(reader_every_cut),
        cmocka_unit_test(reader_large),      cmocka_unit_test(reader_limit),
        cmocka_unit_test(reader_openings),   cmocka_unit_test(reader_leaves_the_rest),
        cmocka_unit_test(reader_nothing),
    };
    const struct CMUnitTest parser[] = {
        cmocka_unit_test(parser_facts),
        cmocka_unit_test(parser_without_extensions),
        cmocka_unit_test(parser_flags),
        cmocka_unit_test(parser_extensions),
        cmocka_unit_test(parser_many_extensions),
        cmocka_unit_test(parser_bodies),
        cmocka_unit_test(parser_every_cut),
        cmocka_unit_test(parser_versions),
        cmocka_unit_test(names),
        cmocka_unit_test(server_names),
        cmocka_unit_test(longest_server_name),
    };
    return cmocka_run_group_tests_name("hello reader", reader, NULL, NULL) +
           cmocka_run_group_tests_name("hello parser", parser, NULL, NULL);
}
