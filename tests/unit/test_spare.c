/* The ring of memory for records: blocks never overlap, all of it is used, and it goes round. */
#include "helper.h"

#include "../../src/audit/spare.h"

enum { MOST = 4096 };

static struct block {
    uint8_t *p;
    size_t n;
    uint8_t mark;
} blocks[MOST];

static struct spare spare;
static size_t first, next, held;

static bool take(size_t n, uint8_t mark)
{
    struct block *b = &blocks[next % MOST];
    *b = (struct block){spare_take(&spare, n), n, mark};
    if (!b->p) return false;
    assert_true(spare_owns(&spare, b->p) && spare_owns(&spare, b->p + n - 1));
    assert_int_equal((uintptr_t)b->p % _Alignof(max_align_t), 0);
    memset(b->p, mark, n);
    next++;
    held += n;
    return true;
}

static void give_back(void)
{
    const struct block *b = &blocks[first++ % MOST];
    for (size_t i = 0; i < b->n; i++)
        if (b->p[i] != b->mark) fail_msg("block %zu was overwritten", first - 1);
    held -= b->n;
    spare_give_back(&spare, b->p);
}

static int begin(void **state)
{
    (void)state;
    first = next = held = 0;
    return spare_init(&spare) ? 0 : 1;
}

static int end(void **state)
{
    (void)state;
    while (first < next) give_back();
    assert_true(spare_is_empty(&spare));
    assert_int_equal(held, 0);
    spare_fini(&spare);
    return 0;
}

/* Filled, and emptied in part, again and again. */
static void it_goes_round(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 60; round++) {
        size_t n = 0;
        do {
            seed = seed * 1103515245 + 12345;
            n = 1 + (seed >> 8) % 16000;
        } while (next - first < MOST - 1 && take(n, (uint8_t)(seed >> 16)));
        assert_in_range(held, 3 << 20, 4 << 20);
        size_t left = (seed >> 4) % (next - first);
        while (next - first > left) give_back();
        assert_int_equal(spare_is_empty(&spare), left == 0);
    }
}

static void what_is_too_large(void **state)
{
    (void)state;
    assert_null(spare_take(&spare, 4 << 20));
    assert_null(spare_take(&spare, SIZE_MAX));
    assert_true(spare_is_empty(&spare));
    assert_true(take(1 << 20, 1));
    assert_false(spare_owns(&spare, &spare));
    assert_false(spare_owns(&spare, spare_scratch(&spare)));
    memset(spare_scratch(&spare), 2, SPARE_SCRATCH);
    spare_scratch_over(&spare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_goes_round, begin, end),
        cmocka_unit_test_setup_teardown(what_is_too_large, begin, end),
    };
    return cmocka_run_group_tests_name("spare", tests, NULL, NULL);
}
