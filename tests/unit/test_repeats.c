/* Refusals above a rate are counted; each refusal is recorded or counted. Tests set the time. */
#include "helper.h"

#include "../../src/audit/repeats.h"

static const int64_t ms = 1000000;
static struct repeats *repeats;
static uint64_t displaced_count;

static struct audit_repeated refusal(const char *ip, enum reason reason, const char *listener)
{
    struct audit_repeated r = {.reason = reason};
    assert_true(addr_from_ip(ip, 0, &r.source));
    snprintf(r.listener, sizeof r.listener, "%s", listener);
    return r;
}

/* True: counted, not recorded. */
static bool count_to(const char *destination, struct audit_repeated r, int64_t at_ms)
{
    struct audit_repeated displaced;
    r.first = r.last = (struct timespec){.tv_sec = at_ms};
    bool counted = repeats_count(repeats, &r, destination, (1000 + at_ms) * ms, &displaced);
    displaced_count += displaced.count;
    return counted;
}

static bool count(struct audit_repeated r, int64_t at_ms)
{
    return count_to("", r, at_ms);
}

static bool take(int64_t at_ms, struct audit_repeated *out)
{
    return repeats_take(repeats, (1000 + at_ms) * ms, out);
}

#define A refusal("192.0.2.1", REASON_CLIENT_NOT_TLS, "front")

static void beyond_the_rate(void **state)
{
    (void)state;
    struct audit_repeated r;
    unsigned counted = 0;
    for (unsigned i = 0; i < 1000; i++) counted += count(A, 0);
    assert_int_equal(counted, 1000 - REPEATS_BURST);
    assert_false(count(A, 100)); /* one more per tenth of a second */
    assert_true(count(A, 100));
    assert_false(take(REPEATS_SUMMARY_S * 1000 - 1, &r));
    assert_true(take(REPEATS_SUMMARY_S * 1000, &r));
    assert_int_equal(r.count, 1000 - REPEATS_BURST + 1);
    assert_int_equal(r.first.tv_sec, 0);
    assert_int_equal(r.last.tv_sec, 100);
    assert_int_equal(r.reason, REASON_CLIENT_NOT_TLS);
    assert_string_equal(r.listener, "front");
    assert_false(take(INT64_MAX / ms - 2000, &r));
    assert_int_equal(repeats_due(repeats), 0);
    /* After a quiet time a burst is allowed again. */
    for (unsigned i = 0; i < REPEATS_BURST; i++) assert_false(count(A, 60000));
    assert_true(count(A, 60000));
}

static void others_are_not_counted_with_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) (void)!count(A, 0);
    assert_true(count(A, 0));
    assert_false(count(refusal("192.0.2.2", REASON_CLIENT_NOT_TLS, "front"), 0));
    assert_false(count(refusal("192.0.2.1", REASON_CLIENT_BAD_REQUEST, "front"), 0));
    assert_false(count(refusal("192.0.2.1", REASON_CLIENT_NOT_TLS, "back"), 0));
    for (unsigned i = 0; i < REPEATS_BURST; i++)
        assert_false(count(refusal("2001:db8::1", REASON_CLIENT_NOT_TLS, "front"), 0));
    assert_true(count(refusal("2001:db8::1", REASON_CLIENT_NOT_TLS, "front"), 0));
}

/* A refusal to another host is still visible among many to one host. */
static void the_first_destinations_are_named(void **state)
{
    (void)state;
    struct audit_repeated r;
    char host[32];
    for (unsigned i = 0; i < REPEATS_BURST; i++) assert_false(count_to("own.example:443", A, 0));
    for (unsigned i = 0; i < 300; i++) assert_true(count_to("noise.example:443", A, 0));
    assert_true(count_to("", A, 0));
    for (unsigned i = 1; i < AUDIT_REPEATED_DESTINATIONS; i++) {
        snprintf(host, sizeof host, "h%u.example:443", i);
        assert_true(count_to(host, A, 0));
    }
    assert_true(count_to("noise.example:443", A, 0));
    assert_true(take(REPEATS_SUMMARY_S * 1000, &r));
    assert_int_equal(r.destination_count, AUDIT_REPEATED_DESTINATIONS);
    assert_string_equal(r.destinations[0], "noise.example:443");
    assert_string_equal(r.destinations[AUDIT_REPEATED_DESTINATIONS - 1], host);
    assert_false(r.destinations_cut);
    /* The next count starts empty. */
    for (unsigned i = 0; i < REPEATS_BURST; i++) (void)!count_to("later.example:443", A, 60000);
    for (unsigned i = 0; i <= AUDIT_REPEATED_DESTINATIONS; i++) {
        snprintf(host, sizeof host, "h%u.example:443", i);
        assert_true(count_to(host, A, 60000));
    }
    assert_true(take(70000, &r));
    assert_string_equal(r.destinations[0], "h0.example:443");
    assert_true(r.destinations_cut);
}

/* The same if sources share a place: among so many, some do. */
static void others_are_never_taken_for_it(void **state)
{
    (void)state;
    enum { OTHERS = 5000, SOURCES = 200 };
    char text[48];
    for (unsigned i = 0; i < 1000; i++) (void)!count(A, 0);
    for (unsigned i = 0; i < OTHERS; i++) {
        snprintf(text, sizeof text, "front %u", i);
        assert_false(count(refusal("192.0.2.1", REASON_CLIENT_NOT_TLS, text), 0));
        snprintf(text, sizeof text, "10.0.%u.%u", i >> 8, i & 255);
        assert_false(count(refusal(text, REASON_CLIENT_NOT_TLS, "front"), 0));
    }
    for (unsigned i = 0; i < SOURCES; i++) {
        snprintf(text, sizeof text, "10.1.0.%u", i);
        for (unsigned k = 0; k <= REPEATS_BURST; k++)
            (void)!count(refusal(text, REASON_CLIENT_NOT_TLS, "front"), 0);
        for (int reason = REASON_CLIENT_NOT_TLS + 1; reason < REASON_COUNT; reason++)
            assert_false(count(refusal(text, (enum reason)reason, "front"), 0));
    }
}

/* The source refused least recently makes room, not one that is refused all the time. */
static void a_crowd_displaces_no_count(void **state)
{
    (void)state;
    enum { OTHERS = 20000 };
    char ip[32];
    displaced_count = 0;
    for (unsigned i = 0; i < 1000; i++) (void)!count(A, 0);
    for (unsigned i = 0; i < OTHERS; i++) {
        snprintf(ip, sizeof ip, "10.0.%u.%u", i >> 8, i & 255);
        assert_false(count(refusal(ip, REASON_CLIENT_NOT_TLS, "front"), 0));
    }
    assert_true(count(A, 0));
    assert_int_equal(displaced_count, 0);
}

static void count_one(struct audit_repeated r, int64_t at_ms)
{
    while (!count(r, at_ms)) continue;
}

/* Each count has its own time, from its first refusal on. */
static void counts_are_due_one_by_one(void **state)
{
    (void)state;
    enum { LATER = 30, DUE = REPEATS_SUMMARY_S * 1000 };
    struct audit_repeated r, a = A;
    char ip[32];
    for (unsigned i = 0; i < LATER; i++) {
        snprintf(ip, sizeof ip, "10.0.0.%u", i);
        count_one(refusal(ip, REASON_CLIENT_NOT_TLS, "front"), 1000);
    }
    for (int64_t t = 0; t < 3000; t += 1000) count_one(a, t);
    assert_int_equal(repeats_due(repeats), (1000 + DUE) * ms);
    assert_true(take(DUE, &r));
    assert_true(addr_same_ip(&r.source, &a.source));
    assert_int_equal(r.count, 3);
    assert_int_equal(r.first.tv_sec, 0);
    assert_int_equal(r.last.tv_sec, 2000);
    assert_false(take(DUE + 999, &r));
    assert_int_equal(repeats_due(repeats), (2000 + DUE) * ms);
    for (unsigned i = 0; i < LATER; i++) assert_true(take(DUE + 1000, &r));
    assert_false(take(DUE + 1000, &r));
    /* The next one is due from its own first refusal on. */
    count_one(a, 8000);
    assert_int_equal(repeats_due(repeats), (9000 + DUE) * ms);
    assert_true(take(8000 + DUE, &r));
    assert_int_equal(r.first.tv_sec, 8000);
}

/* For any number of sources: records and counts together are all refusals. */
static void nothing_is_left_out(void **state)
{
    (void)state;
    enum { SOURCES = 20000, EACH = 260 };
    struct audit_repeated r;
    uint64_t own = 0, counted = 0;
    displaced_count = 0;
    for (unsigned i = 0; i < SOURCES; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        struct audit_repeated one = refusal(ip, REASON_CLIENT_NOT_TLS, "front");
        for (unsigned k = 0; k < EACH; k++) own += !count(one, i);
    }
    while (take(INT64_MAX / ms - 2000, &r)) counted += r.count;
    assert_int_equal(own + counted + displaced_count, (uint64_t)SOURCES * EACH);
    assert_true(displaced_count > 0 && counted > 0);
}

static int set_up(void **state)
{
    (void)state;
    repeats = repeats_new();
    return repeats ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    repeats_free(repeats);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(beyond_the_rate),
        TEST(others_are_not_counted_with_it),
        TEST(the_first_destinations_are_named),
        TEST(others_are_never_taken_for_it),
        TEST(a_crowd_displaces_no_count),
        TEST(counts_are_due_one_by_one),
        TEST(nothing_is_left_out),
    };
    return cmocka_run_group_tests_name("repeats", tests, NULL, NULL);
}
