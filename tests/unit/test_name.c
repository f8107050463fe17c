/* RFC 5280 section 7.1: which distinguished names are equal, and which lie in a subtree. */
#include "helper.h"

#include "pki/name.h"

/* A name as text: RDNs separated by '/', attributes of one RDN by '+', each TAG:TYPE=VALUE with the
 * tag in hexadecimal, the last byte of the attribute's type, and characters. */
static struct span build(struct blob *b, const char *text)
{
    char copy[256], *rdns = copy;
    b->n = 0;
    blob_number(b, 0x30, 1);
    size_t all = blob_open(b, 1);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *rdn; *text && (rdn = strsep(&rdns, "/"));) {
        blob_number(b, 0x31, 1);
        size_t set = blob_open(b, 1);
        for (char *pair; (pair = strsep(&rdn, "+"));) {
            unsigned tag, type;
            int used = 0;
            assert_int_equal(sscanf(pair, "%x:%u=%n", &tag, &type, &used), 2);
            const char *value = pair + used;
            bool wide = tag == 0x1e;
            blob_number(b, 0x30, 1);
            size_t sequence = blob_open(b, 1);
            blob_hex(b, "0603 5504");
            blob_number(b, type, 1);
            blob_number(b, tag, 1);
            size_t string = blob_open(b, 1);
            for (; *value; value++) blob_number(b, (uint8_t)*value, wide ? 2 : 1);
            blob_close(b, string, 1);
            blob_close(b, sequence, 1);
        }
        blob_close(b, set, 1);
    }
    blob_close(b, all, 1);
    return (struct span){b->p, b->n};
}

static struct blob one, two;

static void same(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"13:6=DE/13:10=Ex", "13:6=DE/13:10=Ex", true},
        {"13:6=DE/13:10=Ex", "13:6=de/13:10=EX", true},
        {"13:10=Ex Y", "13:10=  Ex \t  Y ", true},
        {"13:10=Ex Y", "13:10=ExY", false},
        {"13:10=Ex", "0c:10=Ex", true},
        {"13:10=Ex", "14:10=Ex", true},
        {"13:10=Ex", "16:10=Ex", true},
        {"13:10=Ex", "1e:10=Ex", true},
        {"14:10=\xe9", "0c:10=\xc3\xa9", true},
        {"14:10=\xe9", "0c:10=e", false},
        {"13:10=Ex", "13:11=Ex", false},
        {"13:10=Ex", "13:10=Ey", false},
        {"13:10=Ex", "13:10=Exx", false},
        {"13:10=Ex", "13:6=DE/13:10=Ex", false},
        {"13:6=DE/13:10=Ex", "13:10=Ex/13:6=DE", false},
        {"13:6=DE+13:10=Ex", "13:10=ex+13:6=DE", true},
        {"13:6=DE+13:10=Ex", "13:6=DE/13:10=Ex", false},
        {"13:6=DE+13:6=DE", "13:6=DE+13:6=FR", false},
        {"", "", true},
        {"", "13:6=DE", false},
        /* Not a string: compared by bytes only. */
        {"04:10=Ex", "04:10=Ex", true},
        {"04:10=Ex", "04:10=ex", false},
        {"04:10=Ex", "13:10=Ex", false},
        /* Not UTF-8. */
        {"0c:10=\xc3", "0c:10= \xc3", false},
        {"0c:10=\xff", "0c:10= \xff", false},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct span a = build(&one, rows[i].a), b = build(&two, rows[i].b);
        if (name_equal(a, b) != rows[i].equal || name_equal(b, a) != rows[i].equal)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        uint32_t x, y;
        if (rows[i].equal) assert_true(name_hash(a, &x) && name_hash(b, &y) && x == y);
    }
}

static void subtrees(void **state)
{
    (void)state;
    static const struct {
        const char *name, *base;
        bool within;
    } rows[] = {
        {"13:6=DE/13:10=Ex/13:3=x", "13:6=DE/0c:10=EX", true},
        {"13:6=DE/13:10=Ex", "13:6=DE/13:10=Ex", true},
        {"13:6=DE/13:10=Ex", "", true},
        {"13:6=DE", "13:6=DE/13:10=Ex", false},
        {"13:6=DE/13:10=Ey", "13:6=DE/13:10=Ex", false},
        {"", "13:6=DE", false},
    };
    for (size_t i = 0; i < N_OF(rows); i++)
        if (name_is_within(build(&one, rows[i].name), build(&two, rows[i].base)) != rows[i].within)
            fail_msg("%s in %s", rows[i].name, rows[i].base);
}

/* The same bytes are the same name, malformed or not; other malformed names equal nothing. */
static void malformed(void **state)
{
    (void)state;
    static const uint8_t cut[] = {0x30, 0x05, 0x31, 0x03}, other[] = {0x30, 0x05, 0x31, 0x02};
    struct span a = {cut, sizeof cut}, b = {other, sizeof other}, none = {0};
    assert_true(name_equal(a, a));
    assert_false(name_equal(a, b));
    assert_false(name_is_within(a, a));
    assert_true(name_is_empty(a) && name_is_empty(none));
    assert_true(name_equal(none, none));
    assert_false(name_equal(none, a));
    uint32_t hash;
    static const char *const strings[] = {"0c:10=\xff", "0c:10=\xc3", "13:6=DE/0c:10=\xed"};
    for (size_t i = 0; i < N_OF(strings); i++)
        assert_false(name_hash(build(&one, strings[i]), &hash));
    assert_false(name_hash(a, &hash) || name_hash(none, &hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same), cmocka_unit_test(subtrees),
                                       cmocka_unit_test(malformed)};
    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
