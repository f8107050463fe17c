/* Connections and their rate per source. */
#include "helper.h"

#include "runtime/sources.h"

static const int64_t second = 1000000000;

static unsigned freed;
void __wrap_free(void *p);
void __real_free(void *p);

void __wrap_free(void *p)
{
    freed++;
    __real_free(p);
}

static struct addr ip(const char *text)
{
    struct addr a;
    assert_true(addr_from_ip(text, 1, &a));
    return a;
}

static enum source_verdict enter(struct sources *s, const char *from, unsigned connections,
                                 unsigned handshakes, int64_t now, struct source **source)
{
    struct source_limits limits = {connections, handshakes};
    struct addr peer = ip(from);
    enum source_verdict verdict;
    *source = sources_enter(s, &peer, &limits, now, &verdict);
    assert_non_null(*source);
    return verdict;
}

static const struct {
    const char *one, *other;
    bool same;
} pairs[] = {
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"192.0.2.1", "::ffff:192.0.2.1", true},
    {"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
    {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
    {"::ffff:192.0.2.1", "::192.0.2.1", false},
    {"32.1.13.184", "2001:db8::", false}, /* the same first bytes */
};

static void what_a_source_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(pairs); i++) {
        struct sources *s = sources_new(1);
        struct source *one, *other;
        assert_int_equal(enter(s, pairs[i].one, 1, 0, 0, &one), SOURCE_OK);
        enum source_verdict v = enter(s, pairs[i].other, 1, 0, 0, &other);
        if ((v == SOURCE_TOO_MANY) != pairs[i].same || (one == other) != pairs[i].same)
            fail_msg("%s and %s", pairs[i].one, pairs[i].other);
        sources_leave(s, one);
        sources_leave(s, other);
        sources_free(s);
    }
}

static void so_many_at_once(void **state)
{
    (void)state;
    struct sources *s = sources_new(2);
    struct source *a, *b;
    for (int i = 0; i < 3; i++) assert_int_equal(enter(s, "192.0.2.1", 3, 0, 0, &a), SOURCE_OK);
    assert_int_equal(enter(s, "192.0.2.1", 3, 0, 0, &a), SOURCE_TOO_MANY);
    assert_int_equal(sources_connections(s, a), 4);
    sources_leave(s, a);
    assert_int_equal(enter(s, "192.0.2.2", 3, 0, 0, &b), SOURCE_OK);
    sources_leave(s, b);
    assert_int_equal(enter(s, "192.0.2.1", 3, 0, 0, &a), SOURCE_TOO_MANY);
    sources_leave(s, a);
    assert_int_equal(enter(s, "192.0.2.1", 0, 0, 0, &a), SOURCE_OK);
    for (int i = 0; i < 4; i++) sources_leave(s, a);
    sources_leave(s, NULL);
    sources_free(s);
}

/* How many of n connections at that time are within the rate. */
static int within(struct sources *s, const char *from, unsigned rate, int n, int64_t now)
{
    int good = 0;
    for (int i = 0; i < n; i++) {
        struct source *source;
        good += enter(s, from, 0, rate, now, &source) == SOURCE_OK;
        sources_leave(s, source);
    }
    return good;
}

static void so_many_a_second(void **state)
{
    (void)state;
    struct sources *s = sources_new(1);
    assert_int_equal(within(s, "192.0.2.1", 100, 600, second), 500); /* five seconds' worth */
    assert_int_equal(within(s, "192.0.2.1", 100, 600, second), 0);
    assert_int_equal(within(s, "192.0.2.2", 100, 600, second), 500);
    assert_int_equal(within(s, "192.0.2.1", 100, 600, 2 * second), 100);
    assert_int_equal(within(s, "192.0.2.1", 100, 600, 60 * second), 500);
    assert_int_equal(within(s, "192.0.2.1", 0, 600, 60 * second), 600);
    assert_int_equal(within(s, "192.0.2.9", 1, 600, 60 * second), 5);
    sources_free(s);
}

static void new_certificates_have_a_rate(void **state)
{
    (void)state;
    struct sources *s = sources_new(1);
    struct source_limits limits = {0, 10 * SOURCES_MINT_SHARE}, off = {0, 0};
    struct addr a = ip("192.0.2.1"), b = ip("192.0.2.2");
    for (int i = 0; i < 50; i++) assert_true(sources_may_mint(s, &a, &limits, second));
    assert_false(sources_may_mint(s, &a, &limits, second));
    assert_true(sources_may_mint(s, &b, &limits, second));
    assert_true(sources_may_mint(s, &a, &off, second));
    assert_true(sources_may_mint(s, &a, &limits, second + second / 10));
    assert_false(sources_may_mint(s, &a, &limits, second + second / 10));
    sources_free(s);
}

/* More unconnected sources than the table remembers: it does not grow. */
static void memory_is_bounded(void **state)
{
    (void)state;
    struct sources *s = sources_new(1);
    struct source *held;
    char text[64];
    assert_int_equal(enter(s, "198.51.100.1", 1, 1, 0, &held), SOURCE_OK);
    for (unsigned i = 0; i < SOURCES_IDLE_LIMIT + 1000; i++) {
        snprintf(text, sizeof text, "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
        assert_int_equal(within(s, text, 1, 6, second), 5);
    }
    /* The first were forgotten, the last and the connected one were not. */
    assert_int_equal(within(s, "2001:db8:0:0::1", 1, 6, second), 5);
    assert_int_equal(within(s, text, 1, 6, second), 0);
    struct source *again;
    assert_int_equal(enter(s, "198.51.100.1", 1, 1, second, &again), SOURCE_TOO_MANY);
    assert_ptr_equal(held, again);
    sources_leave(s, held);
    sources_leave(s, held);
    sources_free(s);
}

/* What one new connection has to pay for: those whose rates have recovered go four at a time. */
static void forgetting_is_bounded(void **state)
{
    (void)state;
    struct sources *s = sources_new(1);
    char text[64];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "192.0.2.%u", i);
        within(s, text, 1, 1, 0);
    }
    for (unsigned turn = 0; turn < 3; turn++) {
        freed = 0;
        within(s, "198.51.100.1", 1, 1, (1000 + turn) * second);
        assert_int_equal(freed, 4);
    }
    sources_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_source_is),  cmocka_unit_test(so_many_at_once),
        cmocka_unit_test(so_many_a_second),  cmocka_unit_test(new_certificates_have_a_rate),
        cmocka_unit_test(memory_is_bounded), cmocka_unit_test(forgetting_is_bounded),
    };
    return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
