/* The records reader and the ServerHello parser, which hello.c, flight.c, reply.c and
 * client_flight.c share. */
#include "helper.h"

#include "policy/records.h"
#include "policy/server_hello.h"

static const uint8_t wire[] = {
    22, 3, 1, 0, 3, 'a', 'b', 'c', /* */
    23, 3, 3, 0, 0,                /* an empty record */
    21, 3, 3, 0, 2, 2,   40,       /* */
    22, 3, 3, 1, 0,                /* and 256 bytes that do not come */
};

/* The result of reading the bytes in pieces of `piece`: headers unchanged, fragments joined. */
static size_t read_in_pieces(size_t piece, uint8_t out[sizeof wire])
{
    struct records r = {0};
    size_t have = 0;
    for (size_t i = 0; i < sizeof wire; i += piece) {
        struct span in = {wire + i, sizeof wire - i < piece ? sizeof wire - i : piece}, part;
        for (enum records_part what; (what = records_next(&r, &in, &part)) != RECORDS_MORE;) {
            if (what == RECORDS_HEADER) part = (struct span){r.header, RECORD_HEADER};
            assert_true(have + part.n <= sizeof wire);
            memcpy(out + have, part.p, part.n);
            have += part.n;
        }
        assert_int_equal(in.n, 0);
    }
    assert_int_equal(r.left, 256);
    return have;
}

static void in_any_pieces(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof wire; piece++) {
        uint8_t out[sizeof wire];
        assert_int_equal(read_in_pieces(piece, out), sizeof wire);
        assert_memory_equal(out, wire, sizeof wire);
    }
}

static void parts_end_where_records_do(void **state)
{
    (void)state;
    struct records r = {0};
    struct span in = {wire, sizeof wire}, part;
    assert_int_equal(records_next(&r, &in, &part), RECORDS_HEADER);
    assert_int_equal(in.n, sizeof wire - RECORD_HEADER);
    assert_int_equal(record_version(r.header), TLS_1_0);
    assert_int_equal(record_length(r.header), 3);
    in.n = 2;
    assert_int_equal(records_next(&r, &in, &part), RECORDS_FRAGMENT);
    assert_int_equal(part.n, 2);
    assert_int_equal(records_next(&r, &in, &part), RECORDS_MORE);
    assert_int_equal(r.left, 1);
    in.n = sizeof wire - RECORD_HEADER - 2;
    assert_int_equal(records_next(&r, &in, &part), RECORDS_FRAGMENT);
    assert_int_equal(part.n, 1);
    assert_int_equal(*part.p, 'c');
    assert_int_equal(records_next(&r, &in, &part), RECORDS_HEADER);
    assert_int_equal(records_next(&r, &in, &part), RECORDS_HEADER);
    assert_int_equal(r.header[0], RECORD_ALERT);
}

static void an_alert_is_a_record(void **state)
{
    (void)state;
    static const uint8_t wanted[] = {21, 3, 3, 0, 2, 2, 70};
    uint8_t out[ALERT_RECORD_SIZE];
    record_write_alert(ALERT_PROTOCOL_VERSION, out);
    assert_memory_equal(out, wanted, sizeof wanted);
}

enum { FIXED = 2 + 32 + 1 + 4 + 2 + 1 };

/* version, random, a session_id of four bytes, suite, compression, two extensions */
static size_t server_hello(uint8_t out[64])
{
    static const uint8_t tail[] = {4,    1,    2, 3, 4, 0xc0, 0x2f, 0, /* */
                                   0,    9,                            /* */
                                   0,    23,   0, 0,                   /* */
                                   0xff, 0x01, 0, 1, 0};
    out[0] = out[1] = 3;
    memset(out + 2, 0x55, 32);
    memcpy(out + 34, tail, sizeof tail);
    return 34 + sizeof tail;
}

static void a_server_hello(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct server_hello h;
    struct span body;
    uint16_t type;
    size_t n = server_hello(bytes);
    assert_int_equal(server_hello_read((struct span){bytes, n}, &h), SERVER_HELLO_OK);
    assert_int_equal(h.version, TLS_1_2);
    assert_int_equal(h.suite, 0xc02f);
    assert_int_equal(h.session_id.n, 4);
    assert_int_equal(h.random.n, 32);
    assert_true(server_hello_extension(&h, &type, &body));
    assert_int_equal(type, EXTENSION_EXTENDED_MASTER_SECRET);
    assert_int_equal(body.n, 0);
    assert_true(server_hello_extension(&h, &type, &body));
    assert_int_equal(type, EXTENSION_RENEGOTIATION);
    assert_int_equal(body.n, 1);
    assert_false(server_hello_extension(&h, &type, &body));
    assert_false(h.extensions.failed);
}

static void a_server_hello_of_any_length(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    struct server_hello h;
    size_t n = server_hello(bytes);
    for (size_t k = 0; k <= n + 1; k++) {
        uint8_t *copy = exact(bytes, k);
        enum server_hello_status wanted = k < FIXED              ? SERVER_HELLO_CUT
                                          : k == FIXED || k == n ? SERVER_HELLO_OK
                                                                 : SERVER_HELLO_TRAILING;
        assert_int_equal(server_hello_read((struct span){copy, k}, &h), wanted);
        assert_int_equal(h.extensions.failed, wanted == SERVER_HELLO_TRAILING && k < n);
        free(copy);
    }
}

static void malformed_extensions(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct server_hello h;
    struct span body;
    uint16_t type;
    size_t n = server_hello(bytes);
    bytes[n - 2]++; /* the last one claims to be longer than the list */
    assert_int_equal(server_hello_read((struct span){bytes, n}, &h), SERVER_HELLO_OK);
    assert_true(server_hello_extension(&h, &type, &body));
    assert_false(server_hello_extension(&h, &type, &body));
    assert_true(h.extensions.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_any_pieces),        cmocka_unit_test(parts_end_where_records_do),
        cmocka_unit_test(an_alert_is_a_record), cmocka_unit_test(a_server_hello),
        cmocka_unit_test(malformed_extensions), cmocka_unit_test(a_server_hello_of_any_length),
    };
    return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
