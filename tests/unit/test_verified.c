/* pki/verified: remembers exactly what was added, a bounded number of it. */
#include "helper.h"

#include "pki/verified.h"

static void digest_of(uint32_t n, uint8_t out[VERIFIED_DIGEST])
{
    uint8_t bytes[] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    assert_true(verified_digest((struct span){bytes, sizeof bytes}, (struct span){0},
                                (struct span){0}, out));
}

static struct span span_of(const char *s)
{
    return (struct span){(const uint8_t *)s, strlen(s)};
}

/* The border between two parts counts. */
static void parts(void **state)
{
    (void)state;
    static const char *const triples[][3] = {
        {"ab", "c", "d"}, {"a", "bc", "d"}, {"a", "b", "cd"}, {"abc", "", "d"},
        {"abcd", "", ""}, {"", "abcd", ""}, {"", "", "abcd"}, {"", "", ""},
    };
    uint8_t digests[N_OF(triples)][VERIFIED_DIGEST];
    for (size_t i = 0; i < N_OF(triples); i++) {
        assert_true(verified_digest(span_of(triples[i][0]), span_of(triples[i][1]),
                                    span_of(triples[i][2]), digests[i]));
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], VERIFIED_DIGEST);
    }
}

static void remembers(void **state)
{
    (void)state;
    static struct verified v;
    uint8_t digest[VERIFIED_DIGEST];
    for (uint32_t n = 0; n < 50; n++) {
        digest_of(n, digest);
        assert_false(verified_before(&v, digest));
        verified_note(&v, digest);
        assert_true(verified_before(&v, digest));
        digest[VERIFIED_DIGEST - 1] ^= 1;
        assert_false(verified_before(&v, digest));
    }
}

/* The newest of a set are found; the oldest make room. */
static void bounded(void **state)
{
    (void)state;
    static struct verified v;
    uint8_t digest[VERIFIED_DIGEST] = {0};
    enum { MANY = 3 * VERIFIED_WAYS };
    for (uint8_t n = 0; n < MANY; n++) {
        digest[1] = (uint8_t)(n + 1);
        verified_note(&v, digest);
    }
    for (uint8_t n = 0; n < MANY; n++) {
        digest[1] = (uint8_t)(n + 1);
        assert_int_equal(verified_before(&v, digest), n >= MANY - VERIFIED_WAYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),
        cmocka_unit_test(remembers),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests_name("verified", tests, NULL, NULL);
}
