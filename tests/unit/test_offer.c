/* The hellos that check sends to a server: the project's own reader and parser read them back, and
 * their bytes are as the specifications say. */
#include "helper.h"

#include "policy/hello.h"
#include "policy/offer.h"

static uint8_t entropy[OFFER_RANDOM];
static struct buf written;
static struct hello_reader whole;
static struct hello hello;

static const uint16_t two[] = {0xc02b, 0xc02f};

#define OFFER(v, ...)                                                                           \
    (struct offer)                                                                              \
    {                                                                                           \
        .version = (v), .suites = two, .suite_count = N_OF(two), .server_name = "gate.example", \
        __VA_ARGS__                                                                             \
    }

static void forget(void)
{
    buf_fini(&written);
    hello_reader_fini(&whole);
    whole = (struct hello_reader){.limit = 16384};
}

/* A written hello: one record to its end, parsed. */
static void write_and_parse(const struct offer *o)
{
    size_t used;
    uint8_t alert;
    forget();
    assert_true(offer_write(o, entropy, &written));
    const uint8_t *p = buf_head(&written);
    size_t n = buf_size(&written);
    assert_true(n > 9);
    assert_int_equal(p[0], 22);
    assert_int_equal(p[3] << 8 | p[4], n - 5);
    assert_int_equal(p[5], 1);
    assert_int_equal(p[6] << 16 | p[7] << 8 | p[8], n - 9);
    uint8_t *copy = exact(p, n);
    assert_int_equal(hello_reader_feed(&whole, copy, n, &used), HELLO_COMPLETE);
    assert_int_equal(used, n);
    free(copy);
    struct span message = {buf_head(&whole.message), buf_size(&whole.message)};
    assert_int_equal(hello_parse(message, &hello, &alert), HELLO_COMPLETE);
    assert_memory_equal(hello.random.p, entropy, 32);
}

static void assert_list(struct span list, const uint16_t *values, size_t n)
{
    assert_int_equal(list.n, 2 * n);
    for (size_t i = 0; i < n; i++) assert_int_equal(span_u16(list, i), values[i]);
}

/* The body of an extension; p = NULL if it is absent. */
static struct span extension(unsigned type)
{
    struct reader r = reader_of(hello.extensions);
    while (r.left > 0) {
        unsigned found = reader_u16(&r);
        struct span body = reader_vector(&r, 2);
        assert_false(r.failed);
        if (found == type) return body;
    }
    return (struct span){0};
}

static bool has(unsigned type)
{
    return extension(type).p != NULL;
}

static void tls12(void **state)
{
    (void)state;
    struct offer o = OFFER(TLS_1_2);
    write_and_parse(&o);
    assert_memory_equal(buf_head(&written), "\x16\x03\x01", 3); /* what every server takes */
    assert_int_equal(hello.legacy_version, TLS_1_2);
    assert_int_equal(hello.highest_version, TLS_1_2);
    assert_int_equal(hello.session_id.n, 0);
    assert_list(hello.cipher_suites, two, N_OF(two));
    assert_int_equal(hello.compression.n, 1);
    assert_int_equal(hello.compression.p[0], 0);
    assert_string_equal(hello.server_name, "gate.example");
    assert_true(hello.server_name_usable);
    assert_true(hello.has_renegotiation && hello.renegotiation.n == 0);
    assert_true(hello.extended_master_secret && hello.has_session_ticket);
    assert_int_equal(hello.session_ticket.n, 0);
    assert_false(hello.has_versions || hello.fallback_scsv || hello.grease);
    assert_int_equal(hello.point_formats.n, 1);
    assert_int_equal(hello.point_formats.p[0], 0);
    assert_int_equal(hello.alpn.n, 0);
    assert_int_equal(hello.groups.n, 2 * GROUP_COUNT);
    for (size_t i = 0; i < GROUP_COUNT; i++)
        assert_int_equal(span_u16(hello.groups, i), group_at(i));
    assert_true(has(22) && has(5));
    assert_memory_equal(extension(5).p, "\x01\x00\x00\x00\x00", 5);
    assert_false(has(43) || has(45) || has(50) || has(51));
    /* Every scheme that the policy allows, then SHA-1. */
    bool weak = false;
    size_t allowed = 0;
    for (size_t i = 0; i < hello.schemes.n / 2; i++) {
        const struct scheme *s = scheme_by_id(span_u16(hello.schemes, i));
        assert_non_null(s);
        weak = weak || s->verdict == SCHEME_WEAK;
        assert_false(weak && s->verdict == SCHEME_ALLOWED);
        allowed += s->verdict == SCHEME_ALLOWED;
    }
    assert_true(weak);
    assert_int_equal(allowed, 9);
}

/* The hello has what the caller asks for, unchanged. */
static void lists(void **state)
{
    (void)state;
    static const uint16_t groups[] = {0x0013, 0x001d}, schemes[] = {0x0201, 0x0203, 0x0101};
    struct offer o = OFFER(TLS_1_2, .groups = groups, .group_count = N_OF(groups),
                           .schemes = schemes, .scheme_count = N_OF(schemes), .alpn = "http/1.1",
                           .compression = true, .fallback = true, .without_tickets = true);
    write_and_parse(&o);
    assert_list(hello.groups, groups, N_OF(groups));
    assert_list(hello.schemes, schemes, N_OF(schemes));
    assert_true(extension(50).n > 2); /* any signature in its chain is allowed */
    assert_int_equal(hello.alpn.n, 9);
    assert_memory_equal(hello.alpn.p, "\x08http/1.1", 9);
    assert_int_equal(hello.compression.n, 2);
    assert_memory_equal(hello.compression.p, "\x01\x00", 2);
    assert_true(hello.fallback_scsv);
    assert_list(hello.cipher_suites, (const uint16_t[]){0xc02b, 0xc02f, 0x5600}, 3);
    assert_false(has(35));
    o.server_name = NULL;
    write_and_parse(&o);
    assert_false(has(0));
    assert_string_equal(hello.server_name, "");
}

static void older_versions(void **state)
{
    (void)state;
    for (uint16_t version = TLS_1_0; version <= TLS_1_1; version++) {
        struct offer o = OFFER(version);
        write_and_parse(&o);
        assert_memory_equal(buf_head(&written), "\x16\x03\x01", 3);
        assert_int_equal(hello.highest_version, version);
        assert_true(hello.has_groups && hello.has_renegotiation);
        assert_false(hello.has_schemes || has(50) || has(43) ||
                     has(51)); /* RFC 5246 section 7.4.1.4.1 */
        assert_list(hello.cipher_suites, two, N_OF(two));
    }
}

/* No extension at all, even if a name is known (RFC 6101 section 5.6.1.2). */
static void ssl30(void **state)
{
    (void)state;
    struct offer o = OFFER(SSL_3_0, .alpn = "h2", .fallback = true);
    for (unsigned bare = 0; bare < 2; bare++) {
        o.bare = bare;
        write_and_parse(&o);
        assert_memory_equal(buf_head(&written), "\x16\x03\x00", 3);
        assert_int_equal(hello.legacy_version, SSL_3_0);
        assert_null(hello.extensions.p);
        assert_list(hello.cipher_suites, (const uint16_t[]){0xc02b, 0xc02f, 0x00ff, 0x5600}, 4);
        assert_int_equal(buf_size(&written), 5 + 4 + 2 + 32 + 1 + 2 + 8 + 2);
    }
}

static void bare(void **state)
{
    (void)state;
    static const uint16_t all[] = {TLS_1_0, TLS_1_1, TLS_1_2};
    for (size_t i = 0; i < N_OF(all); i++) {
        struct offer o = OFFER(all[i], .bare = true);
        write_and_parse(&o);
        assert_int_equal(hello.extensions.n, 4 + 2 + 1 + 2 + strlen(o.server_name));
        assert_string_equal(hello.server_name, "gate.example");
        assert_list(hello.cipher_suites, (const uint16_t[]){0xc02b, 0xc02f, 0x00ff}, 3);
        o.server_name = NULL;
        write_and_parse(&o);
        assert_null(hello.extensions.p);
    }
}

static void tls13(void **state)
{
    (void)state;
    static const uint16_t modern[] = {0x1301, 0x1302};
    struct offer o = OFFER(TLS_1_3);
    o.suites = modern;
    write_and_parse(&o);
    assert_int_equal(hello.legacy_version, TLS_1_2);
    assert_list(hello.supported_versions, (const uint16_t[]){TLS_1_3}, 1);
    assert_int_equal(hello.highest_version, TLS_1_3);
    assert_int_equal(hello.session_id.n, 32); /* RFC 8446 appendix D.4 */
    assert_memory_equal(hello.session_id.p, entropy + 32, 32);
    assert_list(hello.cipher_suites, modern, N_OF(modern));
    assert_int_equal(extension(45).n, 2);
    assert_memory_equal(extension(45).p, "\x01\x01", 2);
    struct span share = extension(51);
    assert_int_equal(share.n, 2 + 2 + 2 + 32);
    assert_memory_equal(share.p, "\x00\x24\x00\x1d\x00\x20", 6);
    assert_memory_equal(share.p + 6, entropy + 32, 32);
    bool x25519 = false; /* RFC 8446 section 4.2.8: a share only for a group that is listed */
    for (size_t i = 0; i < hello.groups.n / 2; i++)
        x25519 = x25519 || span_u16(hello.groups, i) == 0x001d;
    assert_true(x25519);
}

/* Never 256 to 511 bytes (RFC 7685 section 1), whatever the number of suites. */
static void padding(void **state)
{
    (void)state;
    static uint16_t many[600];
    static const uint16_t all[] = {TLS_1_0, TLS_1_2, TLS_1_3};
    for (size_t i = 0; i < N_OF(many); i++) many[i] = (uint16_t)(0x4000 + i);
    for (size_t v = 0; v < N_OF(all); v++) {
        size_t before = 0, padded = 0;
        for (size_t n = 1; n <= N_OF(many); n++) {
            struct offer o = OFFER(all[v]);
            /* Odd and even sizes. */
            o.server_name = n & 1 ? "gate.example" : "gate.example1";
            o.suites = many;
            o.suite_count = n;
            write_and_parse(&o);
            size_t size = buf_size(&whole.message);
            if (size >= 256 && size < 512) fail_msg("%zu suites: %zu bytes", n, size);
            assert_true(size >= before || size <= 516);
            before = size;
            assert_list(hello.cipher_suites, many, n);
            if (!has(21)) continue;
            padded++;
            struct span zeros = extension(21);
            assert_in_range(size, 512, 515);
            assert_ptr_equal(zeros.p + zeros.n, hello.extensions.p + hello.extensions.n);
            for (size_t i = 0; i < zeros.n; i++) assert_int_equal(zeros.p[i], 0);
        }
        assert_in_range(padded, 100, 130);
    }
}

/* More than the writer takes is an error, and nothing is written. */
static void too_large(void **state)
{
    (void)state;
    static uint16_t many[5000];
    static char name[9000];
    struct offer o = OFFER(TLS_1_2);
    memset(name, 'a', sizeof name - 1);
    o.suites = many;
    o.suite_count = N_OF(many);
    forget();
    assert_false(offer_write(&o, entropy, &written));
    assert_int_equal(buf_size(&written), 0);
    o.suite_count = 4060;
    assert_false(offer_write(&o, entropy, &written));
    o.suite_count = 2;
    o.server_name = name;
    assert_false(offer_write(&o, entropy, &written));
    assert_int_equal(buf_size(&written), 0);
}

/* All options together fit. */
static void largest(void **state)
{
    (void)state;
    static uint16_t ciphers[OTHER_CIPHERS], curves[OTHER_CURVES], weak[WEAK_SCHEMES];
    static char name[254];
    memset(name, 'a', sizeof name - 1);
    for (size_t i = 60; i < sizeof name - 1; i += 60) name[i] = '.';
    struct offer o = OFFER(TLS_1_3);
    o.server_name = name;
    o.suites = ciphers;
    o.suite_count = other_ciphers(ciphers, N_OF(ciphers));
    o.groups = curves;
    o.group_count = other_curves(curves, N_OF(curves));
    o.schemes = weak;
    o.scheme_count = weak_schemes(weak, N_OF(weak));
    o.alpn = "http/1.1";
    write_and_parse(&o);
    assert_list(hello.cipher_suites, ciphers, o.suite_count);
    assert_list(hello.groups, curves, o.group_count);
    assert_list(hello.schemes, weak, o.scheme_count);
    assert_string_equal(hello.server_name, name);
}

/* 8,192 bytes in all: of SSL 3.0, 50 besides the suites. */
static void exactly_full(void **state)
{
    (void)state;
    enum { MOST = (8192 - 50) / 2 };
    static uint16_t all[MOST + 1];
    struct offer o = OFFER(SSL_3_0);
    o.suites = all;
    o.suite_count = MOST;
    forget();
    assert_true(offer_write(&o, entropy, &written));
    assert_int_equal(buf_size(&written), 8192);
    o.suite_count = MOST + 1;
    assert_false(offer_write(&o, entropy, &written));
}

static void appends(void **state)
{
    (void)state;
    struct offer o = OFFER(TLS_1_2);
    forget();
    assert_true(buf_append(&written, "abc", 3));
    assert_true(offer_write(&o, entropy, &written));
    size_t first = buf_size(&written);
    assert_memory_equal(buf_head(&written), "abc\x16\x03\x01", 6);
    assert_true(offer_write_sslv2(entropy, &written));
    assert_int_equal(buf_size(&written), first + 48);
}

/* draft-hickman-netscape-ssl-00: a length of 46, CLIENT-HELLO, version 2, three lengths, seven
 * kinds, no session id, 16 bytes of challenge. */
static void sslv2(void **state)
{
    (void)state;
    static struct blob wanted;
    wanted.n = 0;
    blob_hex(&wanted, "802e 01 0002 0015 0000 0010"
                      "010080 020080 030080 040080 050080 060040 0700c0");
    blob_bytes(&wanted, entropy, 16);
    forget();
    assert_true(offer_write_sslv2(entropy, &written));
    assert_int_equal(buf_size(&written), wanted.n);
    assert_memory_equal(buf_head(&written), wanted.p, wanted.n);
    size_t used;
    assert_int_equal(hello_reader_feed(&whole, buf_head(&written), buf_size(&written), &used),
                     HELLO_SSLV2);
}

static int start(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof entropy; i++) entropy[i] = (uint8_t)(0x80 + i);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    forget();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls12),   cmocka_unit_test(lists),   cmocka_unit_test(older_versions),
        cmocka_unit_test(ssl30),   cmocka_unit_test(bare),    cmocka_unit_test(tls13),
        cmocka_unit_test(padding), cmocka_unit_test(largest), cmocka_unit_test(too_large),
        cmocka_unit_test(appends), cmocka_unit_test(sslv2),   cmocka_unit_test(exactly_full),
    };
    return cmocka_run_group_tests_name("offer", tests, start, finish);
}
