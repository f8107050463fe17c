/* operate/overview: rates, days, the most frequent first; metrics escape what names may have. */
#include "helper.h"
#include "operate/overview.h"

static void rates(void **state)
{
    struct overview_sample samples[] = {
        {1000, 0, 0}, {1010, 100, 0}, {1020, 100, 30}, {1070, 600, 30}};
    struct overview o = {.samples = samples, .sample_count = 0};
    (void)state;
    assert_true(overview_rate(&o, 60).opened == 0);
    o.sample_count = 1;
    assert_true(overview_rate(&o, 60).opened == 0);
    o.sample_count = N_OF(samples);
    assert_true(overview_rate(&o, 50).opened == 10);
    assert_true(overview_rate(&o, 50).refused == 0);
    assert_true(overview_rate(&o, 60).opened == 500. / 60);
    assert_true(overview_rate(&o, 60).refused == .5);
    assert_true(overview_rate(&o, 3600).opened == 600. / 70);
    samples[3].at = samples[2].at; /* the clock was set back */
    assert_true(overview_rate(&o, 0).opened == 0);
}

static void days(void **state)
{
    const struct overview o = {.now = 1000000};
    (void)state;
    assert_int_equal(overview_days_left(&o, o.now), 0);
    assert_int_equal(overview_days_left(&o, o.now + 86399), 0);
    assert_int_equal(overview_days_left(&o, o.now + 86400), 1);
    assert_int_equal(overview_days_left(&o, o.now - 1), -1);
    assert_int_equal(overview_days_left(&o, o.now - 86400), -1);
    assert_int_equal(overview_days_left(&o, o.now - 86401), -2);
}

static void most_frequent_first(void **state)
{
    struct counts counts = {0};
    struct overview o = {.counts = &counts};
    enum reason codes[REASON_COUNT];
    (void)state;
    assert_int_equal(overview_refusals(&o, codes), 0);
    for (int r = 1; r < REASON_COUNT; r++) counts.refused[r] = (unsigned long)((r * 7) % 11);
    size_t n = overview_refusals(&o, codes);
    for (size_t i = 1; i < n; i++)
        assert_true(counts.refused[codes[i - 1]] >= counts.refused[codes[i]]);
    assert_true(counts.refused[codes[n - 1]] > 0);
}

static void upstreams(void **state)
{
    struct census *census = calloc(1, sizeof *census);
    struct overview o = {.census = census};
    const struct census_upstream *rows[OVERVIEW_ROWS];
    unsigned others, sum = 0;
    (void)state;
    assert_int_equal(overview_upstreams(&o, rows, &others), 0);
    for (unsigned i = 0; i < CENSUS_UPSTREAMS; i++) {
        snprintf(census->upstreams[i].name, sizeof census->upstreams[i].name, "host%u:443", i);
        census->upstreams[i].relays = i;
    }
    census->other_relays = 3;
    assert_int_equal(overview_upstreams(&o, rows, &others), OVERVIEW_ROWS);
    assert_int_equal(rows[0]->relays, CENSUS_UPSTREAMS - 1);
    for (size_t i = 0; i < OVERVIEW_ROWS; i++) sum += rows[i]->relays;
    assert_int_equal(sum + others, CENSUS_UPSTREAMS * (CENSUS_UPSTREAMS - 1) / 2 + 3);
    free(census);
}

static void escapes(void **state)
{
    struct config config = {0};
    struct loaded_config loaded = {.config = &config};
    struct census *census = calloc(1, sizeof *census);
    struct counts counts = {0};
    struct log_state log = {.sink_count = 1};
    struct keeper_state keeper = {0};
    struct text out = {0};
    struct overview o = {
        .loaded = &loaded, .counts = &counts, .census = census, .log = &log, .keeper = &keeper};
    (void)state;
    snprintf(log.sinks[0].name, sizeof log.sinks[0].name, "a\"b\\c\nd");
    metrics_put(&o, &out);
    assert_non_null(
        strstr(text_string(&out), "\nsuitegate_records_dropped_total{sink=\"a\\\"b\\\\c?d\"} 0\n"));
    text_fini(&out);
    free(census);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates),
        cmocka_unit_test(days),
        cmocka_unit_test(most_frequent_first),
        cmocka_unit_test(upstreams),
        cmocka_unit_test(escapes),
    };
    return cmocka_run_group_tests_name("overview", tests, NULL, NULL);
}
