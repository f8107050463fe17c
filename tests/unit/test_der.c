/* Writing DER: every width of a length, and no room left; what is written reads back. */
#include "helper.h"

#include "pki/der.h"

enum { OCTETS = 0x04, SEQUENCE = 0x30, ROOM = 0x1000000 + 64 };

static const struct {
    size_t n;
    const char *header;
} rows[] = {
    {0, "0400"},
    {1, "0401"},
    {0x7f, "047f"},
    {0x80, "048180"},
    {0xff, "0481ff"},
    {0x100, "04820100"},
    {0xffff, "0482ffff"},
    {0x10000, "0483010000"},
    {0x10101, "0483010101"},
    {0xffffff, "0483ffffff"},
    {0x1000000, "048401000000"},
    {0x1000001, "048401000001"},
};

static uint8_t *buffer, *payload;

static int begin(void **state)
{
    (void)state;
    buffer = malloc(ROOM);
    payload = malloc(ROOM);
    if (!buffer || !payload) return 1;
    memset(payload, 0x5a, ROOM);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    free(buffer);
    free(payload);
    return 0;
}

static void expect(const struct der *d, const char *header, size_t n)
{
    static struct blob wanted;
    struct span s = der_result(d);
    wanted.n = 0;
    blob_hex(&wanted, header);
    assert_false(d->failed);
    assert_int_equal(s.n, wanted.n + n);
    assert_memory_equal(s.p, wanted.p, wanted.n);
    assert_true(memcmp(s.p + wanted.n, payload, n) == 0);
    struct reader r = reader_of(s);
    struct der_item item;
    assert_true(der_expect(&r, OCTETS, &item));
    assert_int_equal(item.content.n, n);
    assert_int_equal(item.whole.n, s.n);
    assert_int_equal(r.left, 0);
}

static void lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct der d = der_of(buffer, ROOM);
        size_t end = d.at;
        der_bytes(&d, payload, rows[i].n);
        der_wrap(&d, OCTETS, end);
        expect(&d, rows[i].header, rows[i].n);
        d = der_of(buffer, ROOM);
        der_element(&d, OCTETS, payload, rows[i].n);
        expect(&d, rows[i].header, rows[i].n);
    }
}

/* The last byte of the header does not fit. */
static void room(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(rows); i++) {
        size_t whole = strlen(rows[i].header) / 2 + rows[i].n;
        uint8_t *tight = malloc(whole);
        assert_non_null(tight);
        struct der d = der_of(tight, whole);
        der_element(&d, OCTETS, payload, rows[i].n);
        expect(&d, rows[i].header, rows[i].n);
        assert_int_equal(d.at, 0);
        d = der_of(tight, whole - 1);
        der_element(&d, OCTETS, payload, rows[i].n);
        assert_true(d.failed);
        assert_int_equal(der_result(&d).n, 0);
        der_bytes(&d, payload, 0);
        assert_true(d.failed); /* permanently */
        free(tight);
    }
}

/* Wraps only what was written since; wraps can be nested. */
static void nested(void **state)
{
    (void)state;
    struct der d = der_of(buffer, 70000), inner;
    der_bytes(&d, "behind", 6);
    size_t end = d.at;
    der_element(&d, OCTETS, payload, 0xfffe);
    der_wrap(&d, SEQUENCE, end);
    der_wrap(&d, SEQUENCE, end);
    inner = d;
    struct span s = der_result(&inner);
    struct reader r = reader_of(s);
    struct der_item item;
    assert_true(der_expect(&r, SEQUENCE, &item));
    assert_int_equal(r.left, 6);
    assert_int_equal(item.content.n, 0x10002 + 5);
    r = reader_of(item.content);
    assert_true(der_expect(&r, SEQUENCE, &item));
    assert_int_equal(item.content.n, 0xfffe + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lengths), cmocka_unit_test(room),
                                       cmocka_unit_test(nested)};
    return cmocka_run_group_tests(tests, begin, finish);
}
