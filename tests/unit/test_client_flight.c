/* A client's plaintext between its hello and ChangeCipherSpec, and protected records' headers:
 * RFC 5246 sections 6.2.1, 6.2.3, 7.1, 7.2.2, 7.4. The result does not depend on how the bytes
 * are cut up. */
#include "helper.h"

#include "policy/client_flight.h"

#define KEY "10000003 02aabb" /* ClientKeyExchange with a point of two bytes */
#define RECORD_KEY "16 0303 0007" KEY
#define RECORD_CCS "14 0303 0001 01"
#define NOTHING ""

static const struct {
    const char *name, *bytes;
    bool abbreviated;
    int alert;            /* -1: none */
    const char *admitted; /* if there is none */
} cases[] = {
    {"in order", RECORD_KEY RECORD_CCS, false, -1, RECORD_KEY RECORD_CCS},
    {"resumed", RECORD_CCS, true, -1, RECORD_CCS},
    {"what follows is left", RECORD_KEY RECORD_CCS "17 0303", false, -1, RECORD_KEY RECORD_CCS},
    {"header cut", "16 0303 0001 10 16 0303 0006 000003 02aabb", false, -1, RECORD_KEY},
    {"not whole", "16 0303 0007 10000003 02aa", false, -1, NOTHING},
    {"warning first", "15 0303 0002 015a" RECORD_KEY, false, -1, "15 0303 0002 015a" RECORD_KEY},
    {"warning within", "16 0303 0005 10000003 02 15 0303 0002 015a 16 0303 0002 aabb", false, -1,
     "15 0303 0002 015a" RECORD_KEY},
    {"alert in an older version's record", "15 0301 0002 0228", false, -1, "15 0303 0002 0228"},

    {"no key exchange", RECORD_CCS, false, 10, NULL},
    {"key exchange in a resumed session", RECORD_KEY, true, 10, NULL},
    {"key exchange twice", RECORD_KEY RECORD_KEY, false, 10, NULL},
    {"byte behind the message", "16 0303 0008" KEY "00", false, 10, NULL},
    {"byte behind the message, cut", RECORD_KEY "16 0303 0001 00", false, 10, NULL},
    {"second hello", "16 0303 0001 01", false, 10, NULL},
    {"second hello behind the message", "16 0303 0008" KEY "01", false, 10, NULL},
    {"certificate", "16 0303 0001 0b", false, 10, NULL},
    {"finished", RECORD_KEY "16 0303 0001 14", false, 10, NULL},
    {"ChangeCipherSpec within", "16 0303 0002 1000" RECORD_CCS, false, 10, NULL},
    {"ChangeCipherSpec of none", RECORD_KEY "14 0303 0000", false, 10, NULL},
    {"ChangeCipherSpec of two", RECORD_KEY "14 0303 0002 0101", false, 10, NULL},
    {"ChangeCipherSpec 2", RECORD_KEY "14 0303 0001 02", false, 10, NULL},
    {"empty handshake", "16 0303 0000", false, 10, NULL},
    {"empty alert", "15 0303 0000", false, 10, NULL},
    {"alert of one", "15 0303 0001 01", false, 10, NULL},
    {"alert of three", "15 0303 0003 015a00", false, 10, NULL},
    {"data", "17 0303 0001 00", false, 10, NULL},
    {"empty data", "17 0303 0000", false, 10, NULL},
    {"heartbeat", "18 0303 0003 010000", false, 10, NULL},
    {"type 0", "00 0303 0001 00", false, 10, NULL},
    {"too long a message", "16 0303 0004 10000101", false, 50, NULL},
    {"record of 2^14+1", "16 0303 4001", false, 22, NULL},
    {"alert of 2^14+1", "15 0303 4001", false, 22, NULL},
    {"TLS 1.1", "16 0302 0007" KEY, false, 70, NULL},
    {"TLS 1.3", "16 0304 0007" KEY, false, 70, NULL},
    {"version 4.3", "15 0403 0002 0228", false, 70, NULL},
};

static void check(size_t at, size_t piece)
{
    static struct blob bytes, wanted;
    struct client_flight f = {0};
    size_t used;
    int alert = -1;
    bytes.n = wanted.n = 0;
    blob_hex(&bytes, cases[at].bytes);
    for (size_t i = 0; i < bytes.n && alert < 0 && !f.done; i += used) {
        size_t take = bytes.n - i < piece ? bytes.n - i : piece;
        uint8_t *copy = exact(bytes.p + i, take);
        alert = client_flight_feed(&f, cases[at].abbreviated, copy, take, &used);
        free(copy);
        assert_true(used == take || f.done || alert >= 0);
    }
    if (alert != cases[at].alert) fail_msg("%s: alert %d", cases[at].name, alert);
    if (cases[at].admitted) {
        blob_hex(&wanted, cases[at].admitted);
        assert_int_equal(buf_size(&f.admitted), wanted.n);
        if (wanted.n > 0) assert_memory_equal(buf_head(&f.admitted), wanted.p, wanted.n);
    }
    assert_int_equal(f.hello, strstr(cases[at].name, "second hello") != NULL);
    client_flight_fini(&f);
}

static void test_order_and_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++)
        for (size_t piece = 1; piece < 40; piece++) check(i, piece);
}

static void test_the_longest_key_exchange(void **state)
{
    (void)state;
    uint8_t record[5 + CLIENT_KEY_EXCHANGE_LIMIT] = {22, 3, 3, 1, 4, 16, 0, 1, 0, 255};
    struct client_flight f = {0};
    size_t used;
    assert_int_equal(client_flight_feed(&f, false, record, sizeof record, &used), -1);
    assert_true(f.has_key_exchange);
    assert_int_equal(buf_size(&f.admitted), sizeof record);
    client_flight_fini(&f);
}

static void test_hello_is_framed(void **state)
{
    (void)state;
    static uint8_t hello[20000];
    struct client_flight f = {0};
    assert_true(client_flight_hello(&f, (struct span){hello, sizeof hello}));
    assert_int_equal(buf_size(&f.admitted), sizeof hello + 10);
    static const uint8_t first[] = {22, 3, 3, 0x40, 0}, second[] = {22, 3, 3, 0x0e, 0x20};
    assert_memory_equal(buf_head(&f.admitted), first, 5);
    assert_memory_equal(buf_head(&f.admitted) + 5 + 16384, second, 5);
    client_flight_fini(&f);
}

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        uint8_t header[5];
        int alert;
    } headers[] = {
        {{20, 3, 3, 0, 40}, -1},      {{21, 3, 3, 0, 26}, -1},      {{22, 3, 3, 0, 40}, -1},
        {{23, 3, 3, 0, 1}, -1},       {{23, 3, 3, 0x41, 0x40}, -1}, {{23, 3, 3, 0x41, 0x41}, 22},
        {{23, 3, 3, 0xff, 0xff}, 22}, {{23, 3, 3, 0, 0}, 20},       {{22, 3, 3, 0, 0}, 20},
        {{19, 3, 3, 0, 40}, 10},      {{24, 3, 3, 0, 40}, 10},      {{255, 3, 3, 0, 40}, 10},
        {{23, 3, 2, 0, 40}, 70},      {{23, 3, 4, 0, 40}, 70},      {{23, 2, 3, 0, 40}, 70},
        {{24, 3, 1, 0xff, 0xff}, 10},
    };
    for (size_t i = 0; i < N_OF(headers); i++)
        assert_int_equal(record_judge(headers[i].header), headers[i].alert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_form),
        cmocka_unit_test(test_the_longest_key_exchange),
        cmocka_unit_test(test_hello_is_framed),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
