/* A client's plaintext between its hello and ChangeCipherSpec, and protected records' headers:
 * RFC 5246 sections 6.2.1, 6.2.3, 7.1, 7.2.2, 7.3, 7.4. The result does not depend on how the bytes
 * are cut up. */
#include "helper.h"

#include "policy/client_flight.h"

#define KEY "10000003 02aabb" /* ClientKeyExchange with a point of two bytes */
#define RECORD_KEY "16 0303 0007" KEY
#define RECORD_CCS "14 0303 0001 01"
#define NOTHING ""

/* Certificate with none, one and two of two bytes; CertificateVerify with a signature of three. */
#define EMPTY "0b000003 000000"
#define ONE "0b000008 000005 000002 c0de"
#define TWO "0b00000d 00000a 000002 c0de 000002 beef"
#define VERIFY "0f000007 0403 0003 51651e"
#define RECORD_EMPTY "16 0303 0007" EMPTY
#define RECORD_ONE "16 0303 000c" ONE
#define RECORD_TWO "16 0303 0011" TWO
#define RECORD_VERIFY "16 0303 000b" VERIFY
#define CERTIFIED RECORD_ONE RECORD_KEY RECORD_VERIFY RECORD_CCS
#define WITH_SCHEME(scheme) RECORD_ONE RECORD_KEY "16 0303 000b 0f000007" scheme "0003 51651e"

struct row {
    const char *name, *bytes;
    bool abbreviated;
    int alert;            /* -1: none */
    const char *admitted; /* if there is none */
};

static const struct row cases[] = {
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
    {"unasked certificate", RECORD_ONE, false, 10, NULL},
    {"unasked empty list", RECORD_EMPTY, false, 10, NULL},
    {"unasked proof", RECORD_KEY RECORD_VERIFY, false, 10, NULL},
};

/* Of a client that is asked for a certificate, whether it needs one or not. */
static const struct row asked_cases[] = {
    {"in order", CERTIFIED, false, -1, CERTIFIED},
    {"two", RECORD_TWO RECORD_KEY RECORD_VERIFY RECORD_CCS, false, -1,
     RECORD_TWO RECORD_KEY RECORD_VERIFY RECORD_CCS},
    {"one record", "16 0303 001e" ONE KEY VERIFY RECORD_CCS, false, -1, CERTIFIED},
    {"cut elsewhere", "16 0303 000d" ONE "10 16 0303 0011 000003 02aabb" VERIFY RECORD_CCS, false,
     -1, CERTIFIED},
    {"not whole", "16 0303 0013" ONE KEY "16 0303 000a 0f000007 0403 0003 5165", false, -1,
     RECORD_ONE RECORD_KEY},
    {"alert after the certificate", RECORD_ONE "15 0303 0002 022a", false, -1,
     RECORD_ONE "15 0303 0002 022a"},
    {"warning within", "16 0303 0008 0b000008 000005 00 15 0303 0002 015a 16 0303 0004 0002 c0de",
     false, -1, "15 0303 0002 015a" RECORD_ONE},
    {"resumed", RECORD_CCS, true, -1, RECORD_CCS},
    {"empty signature", RECORD_ONE RECORD_KEY "16 0303 0008 0f000004 0403 0000", false, -1,
     RECORD_ONE RECORD_KEY "16 0303 0008 0f000004 0403 0000"},
    {"what follows is left", CERTIFIED "16 0303", false, -1, CERTIFIED},

    {"no certificate", RECORD_KEY, false, 10, NULL},
    {"nothing", RECORD_CCS, false, 10, NULL},
    {"certificate twice", RECORD_ONE RECORD_ONE, false, 10, NULL},
    {"certificate twice in one record", "16 0303 000d" ONE "0b", false, 10, NULL},
    {"certificate behind the key exchange", RECORD_KEY RECORD_ONE, false, 10, NULL},
    {"certificate twice around the key exchange", RECORD_ONE RECORD_KEY RECORD_ONE, false, 10,
     NULL},
    {"certificate behind the proof", RECORD_ONE RECORD_KEY RECORD_VERIFY RECORD_ONE, false, 10,
     NULL},
    {"no key exchange", RECORD_ONE RECORD_VERIFY, false, 10, NULL},
    {"certificate alone", RECORD_ONE RECORD_CCS, false, 10, NULL},
    {"key exchange twice", RECORD_ONE RECORD_KEY RECORD_KEY, false, 10, NULL},
    {"no proof", RECORD_ONE RECORD_KEY RECORD_CCS, false, 10, NULL},
    {"proof cut", RECORD_ONE RECORD_KEY "16 0303 0001 0f" RECORD_CCS, false, 10, NULL},
    {"proof twice", RECORD_ONE RECORD_KEY RECORD_VERIFY RECORD_VERIFY, false, 10, NULL},
    {"proof first", RECORD_VERIFY, false, 10, NULL},
    {"finished for the proof", RECORD_ONE RECORD_KEY "16 0303 0001 14", false, 10, NULL},
    {"finished behind the proof", RECORD_ONE RECORD_KEY RECORD_VERIFY "16 0303 0001 14", false, 10,
     NULL},
    {"second hello for the certificate", "16 0303 0001 01", false, 10, NULL},
    {"second hello for the key exchange", RECORD_ONE "16 0303 0001 01", false, 10, NULL},
    {"second hello for the proof", RECORD_ONE RECORD_KEY "16 0303 0001 01", false, 10, NULL},
    {"certificate in a resumed session", RECORD_ONE, true, 10, NULL},
    {"data", RECORD_ONE "17 0303 0001 00", false, 10, NULL},

    {"list of no length", "16 0303 0004 0b000000", false, 50, NULL},
    {"list's length cut", "16 0303 0006 0b000002 0000", false, 50, NULL},
    {"list shorter than the message", "16 0303 0008 0b000004 000000 00", false, 50, NULL},
    {"list longer than the message", "16 0303 0007 0b000003 000001", false, 50, NULL},
    {"certificate of none", "16 0303 000a 0b000006 000003 000000", false, 50, NULL},
    {"certificate of none behind one", "16 0303 000f 0b00000b 000008 000002 c0de 000000", false, 50,
     NULL},
    {"certificate longer than the list", "16 0303 000c 0b000008 000005 000003 c0de", false, 50,
     NULL},
    {"certificate's length cut", "16 0303 000e 0b00000a 000007 000002 c0de 0000", false, 50, NULL},
    {"byte behind the list", "16 0303 000d 0b000009 000005 000002 c0de 00", false, 50, NULL},

    {"SHA-1 with RSA", WITH_SCHEME("0201"), false, 47, NULL},
    {"SHA-1 with ECDSA", WITH_SCHEME("0203"), false, 47, NULL},
    {"SHA-224 with RSA", WITH_SCHEME("0301"), false, 47, NULL},
    {"SHA-224 with ECDSA", WITH_SCHEME("0303"), false, 47, NULL},
    {"MD5", WITH_SCHEME("0101"), false, 47, NULL},
    {"DSA", WITH_SCHEME("0402"), false, 47, NULL},
    {"Ed25519", WITH_SCHEME("0807"), false, 47, NULL},
    {"unknown scheme", WITH_SCHEME("7a7a"), false, 47, NULL},
    {"proof without all", RECORD_ONE RECORD_KEY "16 0303 0004 0f000000", false, 50, NULL},
    {"proof without signature", RECORD_ONE RECORD_KEY "16 0303 0006 0f000002 0403", false, 50,
     NULL},
    {"signature cut", RECORD_ONE RECORD_KEY "16 0303 000b 0f000007 0403 0004 51651e", false, 50,
     NULL},
    {"byte behind the signature", RECORD_ONE RECORD_KEY "16 0303 000c 0f000008 0403 0003 51651e 00",
     false, 50, NULL},
};

/* Of one that may go on without. */
static const struct row optional_cases[] = {
    {"none", RECORD_EMPTY RECORD_KEY RECORD_CCS, false, -1, RECORD_EMPTY RECORD_KEY RECORD_CCS},
    {"none in one record", "16 0303 000e" EMPTY KEY RECORD_CCS, false, -1,
     RECORD_EMPTY RECORD_KEY RECORD_CCS},
    {"none twice", RECORD_EMPTY RECORD_EMPTY, false, 10, NULL},
    {"none, then one", RECORD_EMPTY RECORD_ONE, false, 10, NULL},
    {"none, no key exchange", RECORD_EMPTY RECORD_CCS, false, 10, NULL},
    {"none, and proof", RECORD_EMPTY RECORD_KEY RECORD_VERIFY, false, 10, NULL},
};

/* Of one that may not. */
static const struct row required_cases[] = {
    {"none", RECORD_EMPTY, false, 40, NULL},
    {"none, all sent", RECORD_EMPTY RECORD_KEY RECORD_CCS, false, 40, NULL},
    {"none in one record", "16 0303 000e" EMPTY KEY RECORD_CCS, false, 40, NULL},
};

/* Feeds until it ends, in pieces: -1, or the alert. */
static int feed(struct client_flight *f, bool abbreviated, const struct blob *bytes, size_t piece)
{
    int alert = -1;
    size_t used;
    for (size_t i = 0; i < bytes->n && alert < 0 && !f->done; i += used) {
        size_t take = bytes->n - i < piece ? bytes->n - i : piece;
        uint8_t *copy = exact(bytes->p + i, take);
        alert = client_flight_feed(f, abbreviated, copy, take, &used);
        free(copy);
        assert_true(used == take || f->done || alert >= 0);
    }
    return alert;
}

static void assert_admitted(const struct client_flight *f, const char *hex)
{
    static struct blob wanted;
    wanted.n = 0;
    blob_hex(&wanted, hex);
    assert_int_equal(buf_size(&f->admitted), wanted.n);
    if (wanted.n > 0) assert_memory_equal(buf_head(&f->admitted), wanted.p, wanted.n);
}

static void check(const struct row *row, enum client_certificate asked, size_t piece)
{
    static struct blob bytes;
    struct client_flight f = {.asked = asked};
    bytes.n = 0;
    blob_hex(&bytes, row->bytes);
    int alert = feed(&f, row->abbreviated, &bytes, piece);
    if (alert != row->alert) fail_msg("%s (asked: %d): alert %d", row->name, (int)asked, alert);
    if (row->admitted) assert_admitted(&f, row->admitted);
    assert_int_equal(f.hello, strstr(row->name, "second hello") != NULL);
    assert_int_equal(f.lacks_certificate, asked == CLIENT_CERTIFICATE_REQUIRED && alert == 40);
    client_flight_fini(&f);
}

static void check_all(const struct row *rows, size_t n, enum client_certificate asked)
{
    for (size_t i = 0; i < n; i++)
        for (size_t piece = 1; piece < 80; piece++) check(&rows[i], asked, piece);
}

static void test_order_and_form(void **state)
{
    (void)state;
    check_all(cases, N_OF(cases), CLIENT_CERTIFICATE_UNSET);
    check_all(cases, N_OF(cases), CLIENT_CERTIFICATE_NONE);
}

static void test_order_and_form_of_one_that_is_asked(void **state)
{
    (void)state;
    check_all(asked_cases, N_OF(asked_cases), CLIENT_CERTIFICATE_OPTIONAL);
    check_all(asked_cases, N_OF(asked_cases), CLIENT_CERTIFICATE_REQUIRED);
    check_all(optional_cases, N_OF(optional_cases), CLIENT_CERTIFICATE_OPTIONAL);
    check_all(required_cases, N_OF(required_cases), CLIENT_CERTIFICATE_REQUIRED);
}

static void check_facts(const char *hex, enum client_certificate asked, unsigned certificates,
                        bool has_verify)
{
    static struct blob bytes;
    struct client_flight f = {.asked = asked};
    bytes.n = 0;
    blob_hex(&bytes, hex);
    assert_int_equal(feed(&f, false, &bytes, bytes.n), -1);
    assert_true(f.done && f.has_key_exchange);
    assert_int_equal(f.has_certificates, asked >= CLIENT_CERTIFICATE_OPTIONAL);
    assert_int_equal(f.certificates, certificates);
    assert_int_equal(f.has_verify, has_verify);
    client_flight_fini(&f);
}

static void test_facts(void **state)
{
    (void)state;
    check_facts(RECORD_KEY RECORD_CCS, CLIENT_CERTIFICATE_NONE, 0, false);
    check_facts(CERTIFIED, CLIENT_CERTIFICATE_OPTIONAL, 1, true);
    check_facts(CERTIFIED, CLIENT_CERTIFICATE_REQUIRED, 1, true);
    check_facts(RECORD_TWO RECORD_KEY RECORD_VERIFY RECORD_CCS, CLIENT_CERTIFICATE_REQUIRED, 2,
                true);
    check_facts(RECORD_EMPTY RECORD_KEY RECORD_CCS, CLIENT_CERTIFICATE_OPTIONAL, 0, false);
}

/* The same messages in two records, cut at every byte, and in records of every size. */
static void test_records_do_not_matter(void **state)
{
    (void)state;
    static struct blob messages, bytes;
    messages.n = 0;
    blob_hex(&messages, ONE KEY VERIFY);
    for (size_t size = 1; size <= messages.n; size++)
        for (int all_so = 0; all_so < 2; all_so++)
            for (size_t piece = 1; piece < 20; piece += 6) {
                struct client_flight f = {.asked = CLIENT_CERTIFICATE_REQUIRED};
                bytes.n = 0;
                blob_records(&bytes, 22, 0x0303, messages.p, size, size);
                blob_records(&bytes, 22, 0x0303, messages.p + size, messages.n - size,
                             all_so ? size : messages.n);
                blob_hex(&bytes, RECORD_CCS);
                assert_int_equal(feed(&f, false, &bytes, piece), -1);
                assert_admitted(&f, CERTIFIED);
                client_flight_fini(&f);
            }
}

/* HelloRequest is a server's: refused before each message, in a record of its own or in that of
 * what came before, whole or by its first byte. */
static void refuse_hello_request(enum client_certificate asked, const char *before)
{
    static const char *const requests[] = {"00", "00000000"};
    static struct blob messages, bytes;
    for (size_t i = 0; i < N_OF(requests); i++)
        for (int together = 0; together < 2; together++) {
            struct client_flight f = {.asked = asked};
            messages.n = bytes.n = 0;
            blob_hex(&messages, before);
            size_t first = together ? 0 : messages.n;
            blob_records(&bytes, 22, 0x0303, messages.p, first, messages.n);
            blob_hex(&messages, requests[i]);
            blob_records(&bytes, 22, 0x0303, messages.p + first, messages.n - first, messages.n);
            assert_int_equal(feed(&f, false, &bytes, bytes.n), 10);
            assert_false(f.hello || f.done);
            client_flight_fini(&f);
        }
}

static void test_a_hello_request_is_refused(void **state)
{
    (void)state;
    refuse_hello_request(CLIENT_CERTIFICATE_NONE, "");
    refuse_hello_request(CLIENT_CERTIFICATE_NONE, KEY);
    for (int asked = CLIENT_CERTIFICATE_OPTIONAL; asked <= CLIENT_CERTIFICATE_REQUIRED; asked++) {
        refuse_hello_request((enum client_certificate)asked, "");
        refuse_hello_request((enum client_certificate)asked, ONE);
        refuse_hello_request((enum client_certificate)asked, ONE KEY);
        refuse_hello_request((enum client_certificate)asked, ONE KEY VERIFY);
    }
    refuse_hello_request(CLIENT_CERTIFICATE_OPTIONAL, EMPTY);
    refuse_hello_request(CLIENT_CERTIFICATE_OPTIONAL, EMPTY KEY);
}

static void blob_certificates(struct blob *b, size_t count, size_t size)
{
    static const uint8_t zeros[RECORD_PLAIN_LIMIT];
    blob_number(b, 11, 1);
    size_t message = blob_open(b, 3), list = blob_open(b, 3);
    for (size_t i = 0; i < count; i++) {
        size_t one = blob_open(b, 3);
        for (size_t left = size; left > 0;) {
            size_t take = left < sizeof zeros ? left : sizeof zeros;
            blob_bytes(b, zeros, take);
            left -= take;
        }
        blob_close(b, one, 3);
    }
    blob_close(b, list, 3);
    blob_close(b, message, 3);
}

static void test_how_many_certificates(void **state)
{
    (void)state;
    static const struct {
        size_t count, size;
        int alert;
    } rows[] = {{1, 1, -1},  {31, 500, -1},  {32, 1, -1},
                {33, 1, 42}, {32, 2000, -1}, {16383, 1, 42}};
    static struct blob messages, bytes;
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct client_flight f = {.asked = CLIENT_CERTIFICATE_OPTIONAL};
        messages.n = bytes.n = 0;
        blob_certificates(&messages, rows[i].count, rows[i].size);
        blob_records(&bytes, 22, 0x0303, messages.p, messages.n, 16384);
        assert_int_equal(feed(&f, false, &bytes, 1000), rows[i].alert);
        assert_int_equal(f.certificates, rows[i].count);
        assert_false(f.lacks_certificate);
        client_flight_fini(&f);
    }
}

/* Put into records of 2^14 bytes, whatever they came in. */
static void check_long_list(size_t size, size_t record)
{
    static struct blob message, bytes, wanted;
    struct client_flight f = {.asked = CLIENT_CERTIFICATE_REQUIRED};
    message.n = bytes.n = wanted.n = 0;
    blob_certificates(&message, 1, size - 4 - 3 - 3);
    for (size_t at = 10; at < size; at++) message.p[at] = (uint8_t)(at * 7 + (at >> 8));
    blob_records(&bytes, 22, 0x0303, message.p, size, record);
    blob_records(&wanted, 22, 0x0303, message.p, size, 16384);
    assert_int_equal(feed(&f, false, &bytes, 3000), -1);
    assert_int_equal(buf_size(&f.admitted), wanted.n);
    assert_memory_equal(buf_head(&f.admitted), wanted.p, wanted.n);
    assert_int_equal(f.certificates, 1);
    client_flight_fini(&f);
}

static void test_long_lists(void **state)
{
    (void)state;
    static const size_t sizes[] = {16384, 16385, 32768, CLIENT_CERTIFICATES_LIMIT};
    for (size_t i = 0; i < N_OF(sizes); i++) {
        check_long_list(sizes[i], 100);
        check_long_list(sizes[i], 5000);
        check_long_list(sizes[i], 16384);
    }
}

/* One byte more than the limit is refused by the message's header. */
static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *before, *header;
        size_t limit;
    } rows[] = {
        {NOTHING, "0b", CLIENT_CERTIFICATES_LIMIT},
        {RECORD_ONE, "10", CLIENT_KEY_EXCHANGE_LIMIT},
        {RECORD_ONE RECORD_KEY, "0f", CLIENT_VERIFY_LIMIT},
    };
    static struct blob bytes;
    for (size_t i = 0; i < N_OF(rows); i++)
        for (size_t more = 0; more < 2; more++) {
            struct client_flight f = {.asked = CLIENT_CERTIFICATE_REQUIRED};
            bytes.n = 0;
            blob_hex(&bytes, rows[i].before);
            blob_hex(&bytes, "16 0303 0004");
            blob_hex(&bytes, rows[i].header);
            blob_number(&bytes, (uint32_t)(rows[i].limit - 4 + more), 3);
            assert_int_equal(feed(&f, false, &bytes, bytes.n), more ? (i == 0 ? 42 : 50) : -1);
            assert_int_equal(f.excess, more && i == 0);
            client_flight_fini(&f);
        }
}

static void test_the_longest_signature(void **state)
{
    (void)state;
    static const uint8_t signature[1024];
    static struct blob bytes;
    struct client_flight f = {.asked = CLIENT_CERTIFICATE_REQUIRED};
    bytes.n = 0;
    blob_hex(&bytes, RECORD_ONE RECORD_KEY "16 0303 0408 0f000404 0806 0400");
    blob_bytes(&bytes, signature, sizeof signature);
    assert_int_equal(feed(&f, false, &bytes, 100), -1);
    assert_true(f.has_verify);
    assert_int_equal(buf_size(&f.admitted), bytes.n);
    client_flight_fini(&f);
}

/* The policy's nine; every other number is refused. */
static void test_every_scheme(void **state)
{
    (void)state;
    static const uint16_t allowed[] = {0x0401, 0x0403, 0x0501, 0x0503, 0x0601,
                                       0x0603, 0x0804, 0x0805, 0x0806};
    static struct blob bytes;
    bytes.n = 0;
    blob_hex(&bytes, RECORD_ONE RECORD_KEY RECORD_VERIFY);
    for (size_t id = 0; id < 0x10000; id++) {
        struct client_flight f = {.asked = CLIENT_CERTIFICATE_OPTIONAL};
        bool is_allowed = false;
        for (size_t i = 0; i < N_OF(allowed); i++) is_allowed = is_allowed || allowed[i] == id;
        bytes.p[bytes.n - 7] = (uint8_t)(id >> 8);
        bytes.p[bytes.n - 6] = (uint8_t)id;
        if (feed(&f, false, &bytes, bytes.n) != (is_allowed ? -1 : 47)) fail_msg("%04zx", id);
        client_flight_fini(&f);
    }
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
        cmocka_unit_test(test_order_and_form_of_one_that_is_asked),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_records_do_not_matter),
        cmocka_unit_test(test_a_hello_request_is_refused),
        cmocka_unit_test(test_how_many_certificates),
        cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_the_longest_signature),
        cmocka_unit_test(test_every_scheme),
        cmocka_unit_test(test_the_longest_key_exchange),
        cmocka_unit_test(test_hello_is_framed),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
