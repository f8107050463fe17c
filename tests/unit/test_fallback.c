/* A client that comes back offering less within 60 seconds of a failure. Time is handed in:
 * nothing here waits. */
#include "helper.h"

#include "audit/fallback.h"

static const int64_t second = 1000000000;
static struct fallback_memory *memory;

static struct audit_offer offer(const char *ip, const char *identity, uint16_t version,
                                suite_set approved, bool failed)
{
    struct audit_offer o = {
        .present = true, .failed = failed, .highest_version = version, .approved = approved};
    assert_true(addr_from_ip(ip, 50000, &o.source));
    snprintf(o.identity, sizeof o.identity, "%s", identity);
    return o;
}

static bool notice(struct audit_offer o, int64_t seconds, struct audit_offer *before)
{
    struct audit_offer scratch;
    /* The port differs every time. */
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(&o.source, ip);
    assert_true(addr_from_ip(ip, (uint16_t)(1024 + seconds), &o.source));
    return fallback_notice(memory, &o, (1000 + seconds) * second, before ? before : &scratch);
}

#define A "192.0.2.1"
#define FULL 0x0303, 0xff

static const struct {
    const char *name, *ip, *identity;
    uint16_t version;
    suite_set approved;
    int64_t seconds; /* behind the failed attempt with TLS 1.2 and 0x0f */
    bool less;
} seconds_tries[] = {
    {"lower version", A, "gate.example", 0x0302, 0x0f, 1, true},
    {"much lower version", A, "gate.example", 0x0300, 0x00, 1, true},
    {"fewer suites", A, "gate.example", 0x0303, 0x07, 1, true},
    {"as much", A, "gate.example", 0x0303, 0x0f, 1, false},
    {"more suites", A, "gate.example", 0x0303, 0xff, 1, false},
    {"higher version", A, "gate.example", 0x0304, 0x0f, 1, false},
    {"other suites, as many", A, "gate.example", 0x0303, 0xf0, 1, false},
    {"60 seconds later", A, "gate.example", 0x0302, 0x0f, 60, true},
    {"61 seconds later", A, "gate.example", 0x0302, 0x0f, 61, false},
    {"another address", "192.0.2.2", "gate.example", 0x0302, 0x0f, 1, false},
    {"the same address, mapped", "::ffff:192.0.2.1", "gate.example", 0x0302, 0x0f, 1, true},
    {"another identity", A, "other.example", 0x0302, 0x0f, 1, false},
};

static void second_try(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(seconds_tries); i++) {
        for (unsigned failed = 0; failed < 2; failed++) {
            struct audit_offer before = {0};
            memory = fallback_memory_new();
            assert_non_null(memory);
            assert_false(notice(offer(A, "gate.example", 0x0303, 0x0f, true), 0, NULL));
            bool less = notice(offer(seconds_tries[i].ip, seconds_tries[i].identity,
                                     seconds_tries[i].version, seconds_tries[i].approved, failed),
                               seconds_tries[i].seconds, &before);
            if (less != seconds_tries[i].less) fail_msg("%s", seconds_tries[i].name);
            if (less) assert_int_equal(before.highest_version, 0x0303);
            if (less) assert_int_equal(before.approved, 0x0f);
            fallback_memory_free(memory);
        }
    }
}

/* Only a failure is remembered, and a success forgets it. */
static void only_after_a_failure(void **state)
{
    (void)state;
    memory = fallback_memory_new();
    assert_non_null(memory);
    assert_false(notice(offer(A, "gate.example", FULL, false), 0, NULL));
    assert_false(notice(offer(A, "gate.example", 0x0302, 0, true), 1, NULL));
    assert_false(notice(offer(A, "gate.example", FULL, false), 2, NULL));
    assert_false(notice(offer(A, "gate.example", 0x0301, 0, true), 3, NULL));
    fallback_memory_free(memory);
}

/* Each step down is told. */
static void step_by_step(void **state)
{
    (void)state;
    struct audit_offer before;
    memory = fallback_memory_new();
    assert_non_null(memory);
    assert_false(notice(offer(A, "gate.example", 0x0303, 0, true), 0, &before));
    assert_true(notice(offer(A, "gate.example", 0x0302, 0, true), 1, &before));
    assert_int_equal(before.highest_version, 0x0303);
    assert_true(notice(offer(A, "gate.example", 0x0301, 0, true), 2, &before));
    assert_int_equal(before.highest_version, 0x0302);
    assert_false(notice(offer(A, "gate.example", 0x0301, 0, true), 3, &before));
    fallback_memory_free(memory);
}

/* 100,000 clients cost no more memory and confuse nobody. */
static void bounded(void **state)
{
    (void)state;
    memory = fallback_memory_new();
    assert_non_null(memory);
    for (unsigned i = 0; i < 100000; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        assert_false(notice(offer(ip, "gate.example", FULL, true), 1, NULL));
    }
    assert_false(notice(offer("10.1.134.159", "gate.example", FULL, true), 2, NULL));
    assert_true(notice(offer("10.1.134.159", "gate.example", 0x0302, 0, true), 3, NULL));
    fallback_memory_free(memory);
    fallback_memory_free(NULL);
}

/* One source that tries many identities makes nobody else's attempts forgotten. */
static void one_source_has_its_share(void **state)
{
    (void)state;
    memory = fallback_memory_new();
    assert_non_null(memory);
    for (unsigned i = 0; i < 500; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.0.%u.%u", i >> 8, i & 255);
        assert_false(notice(offer(ip, "gate.example", FULL, true), 1, NULL));
    }
    for (unsigned i = 0; i < 50000; i++) {
        char identity[32];
        snprintf(identity, sizeof identity, "%u.example", i);
        assert_false(notice(offer("192.0.2.9", identity, FULL, true), 2, NULL));
    }
    unsigned known = 0;
    for (unsigned i = 0; i < 500; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.0.%u.%u", i >> 8, i & 255);
        known += notice(offer(ip, "gate.example", 0x0302, 0, true), 3, NULL);
    }
    assert_in_range(known, 420, 500); /* but for what crowded a place among themselves */
    fallback_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_try),
        cmocka_unit_test(only_after_a_failure),
        cmocka_unit_test(step_by_step),
        cmocka_unit_test(bounded),
        cmocka_unit_test(one_source_has_its_share),
    };
    return cmocka_run_group_tests_name("fallback", tests, NULL, NULL);
}
