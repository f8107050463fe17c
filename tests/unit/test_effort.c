/* What a crafted chain costs. Its names are as long as a chain allows, differ only at the end, and
 * have their attributes in another order each time. Counts the bytes that the comparison of names
 * reads, so the result is the same on every machine. */
#include "openssl.h"

#include "pki/trust.h"
#include "policy/flight.h"

static size_t steps;

static uint8_t counted_u8(struct reader *r)
{
    steps++;
    return reader_u8(r);
}

#define reader_u8 counted_u8
#include "../../src/pki/name.c" /* instead of the library's */
#undef reader_u8

enum {
    ATTRIBUTES = 8, /* of one RDN at most */
    VALUE = 112,    /* bytes of an attribute: a chain of FLIGHT_CHAIN_LIMIT has 62 KB */
    NAME_SIZE = ATTRIBUTES * (VALUE + 16) + 16,
    CERT_SIZE = 2 * NAME_SIZE + 256,
    SIGNATURES = 24 /* checked for one chain */
};

static uint8_t room[FLIGHT_CHAIN_LIMIT][CERT_SIZE];

static void put_hex(struct der *d, const char *hex)
{
    static struct blob b;
    b.n = 0;
    blob_hex(&b, hex);
    der_bytes(d, b.p, b.n);
}

/* One RDN of n attributes whose values differ in their last byte. */
static void put_name(struct der *d, unsigned n, bool reversed)
{
    char value[VALUE];
    size_t end = d->at;
    for (unsigned i = 0; i < n; i++) {
        size_t pair = d->at;
        memset(value, 'x', sizeof value);
        value[VALUE - 1] = (char)('a' + (reversed ? n - 1 - i : i));
        der_element(d, UTF8_STRING, value, sizeof value);
        put_hex(d, "0603 55040b");
        der_wrap(d, DER_SEQUENCE, pair);
    }
    der_wrap(d, DER_SET, end);
    der_wrap(d, DER_SEQUENCE, end);
}

static struct span name_of(uint8_t *buffer, unsigned n, bool reversed)
{
    struct der d = der_of(buffer, NAME_SIZE + 256);
    put_name(&d, n, reversed);
    assert_false(d.failed);
    return der_result(&d);
}

/* Equal, but with different bytes. */
static void attributes_in_another_order(void **state)
{
    (void)state;
    static uint8_t one[NAME_SIZE + 256], two[NAME_SIZE + 256];
    struct span a = name_of(one, ATTRIBUTES, false), b = name_of(two, ATTRIBUTES, true);
    uint32_t hash;
    steps = 0;
    assert_true(name_equal(a, b));
    assert_in_range(steps, a.n, 2 * (a.n + b.n)); /* once for the hashes, once for the comparison */
    assert_true(name_hash(a, &hash));
}

static void too_many_attributes(void **state)
{
    (void)state;
    static uint8_t one[NAME_SIZE + 256], two[NAME_SIZE + 256];
    struct span a = name_of(one, ATTRIBUTES + 1, false), b = name_of(two, ATTRIBUTES + 1, true);
    uint32_t hash;
    steps = 0;
    assert_false(name_equal(a, b) || name_hash(a, &hash));
    assert_int_equal(steps, 0);
}

/* Names itself as its issuer; its signature is ECDSA with SHA-1, which is never computed. */
static struct span crafted(unsigned number)
{
    struct der d = der_of(room[number], CERT_SIZE);
    uint8_t bits[] = {0, 0xaa, (uint8_t)number};
    size_t whole = d.at;
    put_hex(&d, "3009 06072a8648ce3d0401 030200aa");
    size_t tbs = d.at, spki = d.at;
    der_element(&d, DER_BIT_STRING, bits, sizeof bits);
    put_hex(&d, "3005 06032b6570");
    der_wrap(&d, DER_SEQUENCE, spki);
    put_name(&d, ATTRIBUTES, false);
    put_hex(&d, "301e 170d3236303130313030303030305a 170d3336303130313030303030305a");
    put_name(&d, ATTRIBUTES, true);
    put_hex(&d, "a003 020102 020101 3009 06072a8648ce3d0401");
    der_wrap(&d, DER_SEQUENCE, tbs);
    der_wrap(&d, DER_SEQUENCE, whole);
    assert_false(d.failed);
    return der_result(&d);
}

/* Each one names each other one as its issuer, so each checked signature leads to all of them. */
static void a_chain_of_look_alikes(void **state)
{
    (void)state;
    struct text anchors = load("root.pem"), errors = {0};
    struct trust *trust = trust_new(&anchors, "anchors", NULL, NULL, 2048, &errors);
    struct peer_check check = {.trust = trust, .identity = "gate.example"};
    struct span chain[FLIGHT_CHAIN_LIMIT];
    size_t bytes = 0;
    assert_non_null(trust);
    for (unsigned i = 0; i < FLIGHT_CHAIN_LIMIT; i++) {
        chain[i] = crafted(i);
        bytes += chain[i].n;
    }
    assert_in_range(bytes, 62 << 10, 66 << 10);
    steps = 0;
    assert_false(trust_judge(&check, chain, FLIGHT_CHAIN_LIMIT));
    assert_int_equal(check.reason, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED);
    /* Once through all names for the leaf and for each signature; twice as above. */
    assert_in_range(steps, 10 * bytes, 2 * (SIGNATURES + 2) * bytes);
    cert_facts_fini(&check.facts);
    trust_free(trust);
    text_fini(&anchors);
    text_fini(&errors);
}

static int set_up(void **state)
{
    (void)state;
    if (openssl_begin("")) return 1;
    run("key root && cert root Root root ca_ext self");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_in_another_order),
        cmocka_unit_test(too_many_attributes),
        cmocka_unit_test(a_chain_of_look_alikes),
    };
    return cmocka_run_group_tests_name("effort", tests, set_up, openssl_end);
}
