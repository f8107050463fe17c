/* Which record of the run before a run may name, and what is reported about runs that name none. */
#include "helper.h"

#include "ledger/runs.h"

#include <inttypes.h>
#include <stdio.h>

static struct chain record(unsigned run, uint64_t sequence)
{
    struct chain c = {.sequence = sequence};
    snprintf(c.hash, sizeof c.hash, "%016" PRIx64 "%016x%032d", sequence, run, 0);
    return c;
}

static void add(struct runs *r, unsigned run, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        struct chain c = record(run, i);
        runs_add(r, i, c.hash);
    }
}

static void names(void **state)
{
    (void)state;
    struct runs r;
    assert_true(runs_init(&r));
    struct chain outside = record(9, 77), end = record(1, 300), earlier = record(1, 299);
    assert_int_equal(runs_link(&r, &outside), RUN_OUTSIDE);
    add(&r, 1, 250, 300); /* a log whose beginning is missing */
    assert_true(runs_end(&r));
    runs_begin(&r);
    add(&r, 2, 1, 3);
    assert_int_equal(runs_link(&r, &end), RUN_LINKED);
    assert_int_equal(runs_link(&r, &earlier), RUN_LINKED);
    assert_true(runs_wants(&r, 77, outside.hash));
    assert_false(runs_wants(&r, 78, outside.hash));
    assert_false(runs_wants(&r, 77, end.hash));
    assert_true(runs_end(&r));
    runs_begin(&r);
    assert_false(runs_end(&r)); /* it names no record */
    assert_int_equal(r.count, 3);
    assert_int_equal(r.unlinked, 1);
    runs_fini(&r);
}

static void does_not_take(void **state)
{
    (void)state;
    struct runs r;
    assert_true(runs_init(&r));
    add(&r, 1, 250, 300);
    runs_begin(&r);
    /* Before the first, after the last, of another run, of this run. */
    struct chain others[] = {record(1, 249), record(1, 301), record(2, 300), record(2, 3),
                             record(1, UINT64_MAX)};
    add(&r, 2, 1, 3);
    for (size_t i = 0; i < N_OF(others); i++) {
        assert_int_equal(runs_link(&r, &others[i]), RUN_MISSING);
        assert_true(runs_wants(&r, others[i].sequence, others[i].hash));
    }
    assert_false(runs_end(&r));
    runs_fini(&r);
}

/* The last RUNS_RECENT records are known, however long the run is. */
static void recent(void **state)
{
    (void)state;
    struct runs r;
    uint64_t last = 3 * RUNS_RECENT + 5;
    assert_true(runs_init(&r));
    add(&r, 1, 1, last);
    runs_begin(&r);
    struct chain newest = record(1, last), oldest = record(1, last - RUNS_RECENT + 1),
                 gone = record(1, last - RUNS_RECENT);
    assert_int_equal(runs_link(&r, &newest), RUN_LINKED);
    assert_int_equal(runs_link(&r, &oldest), RUN_LINKED);
    assert_int_equal(runs_link(&r, &gone), RUN_MISSING);
    runs_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(does_not_take),
                                       cmocka_unit_test(recent)};
    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
