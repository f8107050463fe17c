/* The report's timeline: coarser periods hold what the finer ones held. */
#include "helper.h"

#include "ledger/report.h"

enum { MINUTE = 60, HOUR = 3600 };

static struct report report_of(const int64_t *starts, size_t n)
{
    struct report r;
    report_init(&r);
    assert_false(r.failed);
    assert_int_equal(r.bucket_seconds, MINUTE);
    for (size_t i = 0; i < n; i++) {
        r.buckets[i] = (struct report_bucket){.start = starts[i], .allowed = 1 + i, .refused = 10};
        r.buckets[i].reasons[REASON_CLIENT_NOT_TLS] = 10;
    }
    r.bucket_count = n;
    return r;
}

static void periods_that_fall_together_are_added(void **state)
{
    (void)state;
    static const struct {
        size_t most, n;
        int64_t seconds;
        struct {
            int64_t start;
            uint64_t allowed, refused;
        } wanted[6];
    } rows[] = {
        {1000,
         6,
         MINUTE,
         {{0, 1, 10}, {60, 2, 10}, {240, 3, 10}, {300, 4, 10}, {3540, 5, 10}, {3600, 6, 10}}},
        {61,
         6,
         MINUTE,
         {{0, 1, 10}, {60, 2, 10}, {240, 3, 10}, {300, 4, 10}, {3540, 5, 10}, {3600, 6, 10}}},
        {60, 4, 300, {{0, 6, 30}, {300, 4, 10}, {3300, 5, 10}, {3600, 6, 10}}},
        {12, 4, 900, {{0, 10, 40}, {2700, 5, 10}, {3600, 6, 10}}},
        {4, 2, HOUR, {{0, 15, 50}, {3600, 6, 10}}},
        {1, 1, 6 * HOUR, {{0, 21, 60}}},
    };
    static const int64_t starts[] = {0, 60, 240, 300, 3540, 3600};
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct report r = report_of(starts, N_OF(starts));
        report_coarsen(&r, rows[i].most);
        if (r.bucket_seconds != rows[i].seconds)
            fail_msg("row %zu: %d s", i, (int)r.bucket_seconds);
        size_t n = 0;
        for (; n < N_OF(rows[i].wanted) && rows[i].wanted[n].allowed; n++) {
            const struct report_bucket *is = &r.buckets[n];
            assert_int_equal(is->start, rows[i].wanted[n].start);
            assert_int_equal(is->allowed, rows[i].wanted[n].allowed);
            assert_int_equal(is->refused, rows[i].wanted[n].refused);
            assert_int_equal(is->reasons[REASON_CLIENT_NOT_TLS], is->refused);
        }
        assert_int_equal(r.bucket_count, n);
        report_fini(&r);
    }
}

/* Before 1970 as well: a period begins at or before what it holds. */
static void periods_begin_before_what_they_hold(void **state)
{
    (void)state;
    static const int64_t starts[] = {-360, -300, -60, 0};
    struct report r = report_of(starts, N_OF(starts));
    report_coarsen(&r, 3);
    assert_int_equal(r.bucket_seconds, 300);
    assert_in_range(starts[0] - r.buckets[0].start, 0, 299);
    report_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periods_that_fall_together_are_added),
        cmocka_unit_test(periods_begin_before_what_they_hold),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
