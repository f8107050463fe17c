/* runtime/counts: the sum includes every count of every worker. */
#include "runtime/counts.h"

#include "helper.h"

static void sums(void **state)
{
    (void)state;
    struct counts one = {0}, other = {0}, total = {0};
    counts_add_one(&one.silent);
    counts_add_one(&one.opened);
    counts_add_one(&other.opened);
    for (int r = 0; r < REASON_COUNT; r++) {
        for (int i = 0; i <= r; i++) counts_add_one(&one.refused[r]);
        counts_add_one(&other.refused[r]);
        counts_add_one(&other.closed[r]);
    }
    counts_sum(&total, &one);
    counts_sum(&total, &other);
    assert_int_equal(total.silent, 1);
    assert_int_equal(total.opened, 2);
    for (int r = 0; r < REASON_COUNT; r++) {
        assert_int_equal(total.refused[r], r + 2);
        assert_int_equal(total.closed[r], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
