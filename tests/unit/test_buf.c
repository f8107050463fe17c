/* The byte queue against a model, and its edges. */
#include "helper.h"

#include "base/buf.h"

static void empty(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_size(&b), 0);
    assert_null(buf_head(&b));
    assert_true(buf_append(&b, NULL, 0));
    assert_null(b.data);
    buf_fini(&b);
    buf_fini(&b);
}

static void gives_memory_back(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_true(buf_append(&b, "abc", 3));
    assert_int_equal(buf_size(&b), 3);
    assert_memory_equal(buf_head(&b), "abc", 3);
    buf_consume(&b, 1);
    assert_memory_equal(buf_head(&b), "bc", 2);
    buf_consume(&b, 2);
    assert_null(b.data);
    assert_int_equal(b.capacity, 0);
}

static void reserve_and_commit(void **state)
{
    (void)state;
    struct buf b = {0};
    uint8_t *place = buf_reserve(&b, 100);
    assert_non_null(place);
    assert_true(buf_room(&b) >= 100);
    memset(place, 'x', buf_room(&b)); /* all the room may be written */
    assert_int_equal(buf_size(&b), 0);
    buf_commit(&b, 5);
    assert_int_equal(buf_size(&b), 5);
    assert_memory_equal(buf_head(&b), "xxxxx", 5);
    buf_fini(&b);
}

/* A request that fails leaves the queue unchanged. */
static void too_much(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_null(b.data);
    assert_true(buf_append(&b, "abc", 3));
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_null(buf_reserve(&b, SIZE_MAX - 3));
    assert_int_equal(buf_size(&b), 3);
    assert_memory_equal(buf_head(&b), "abc", 3);
    buf_fini(&b);
}

/* 100,000 steps of a fixed pseudo-random walk. The queue holds counters, so a misplaced byte
 * shows. */
static void model(void **state)
{
    (void)state;
    static uint8_t piece[100000];
    struct buf b = {0};
    uint32_t seed = 1;
    uint64_t in = 0, out = 0;
    for (unsigned step = 0; step < 100000; step++) {
        seed = seed * 1664525 + 1013904223;
        size_t n = seed >> 8 & (step % 100 ? 0xfff : 0x1ffff);
        if (n > sizeof piece) n = sizeof piece;
        if (seed >> 30 < 2) {
            for (size_t i = 0; i < n; i++) piece[i] = (uint8_t)((in + i) * 31 >> 3);
            assert_true(buf_append(&b, piece, n));
            in += n;
        } else {
            if (n > buf_size(&b)) n = buf_size(&b);
            for (size_t i = 0; i < n; i++)
                if (buf_head(&b)[i] != (uint8_t)((out + i) * 31 >> 3)) fail_msg("step %u", step);
            buf_consume(&b, n);
            out += n;
        }
        if (buf_size(&b) != in - out) fail_msg("step %u: size", step);
        if (buf_size(&b) > 1 << 20) {
            buf_fini(&b);
            out = in;
        }
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),
        cmocka_unit_test(gives_memory_back),
        cmocka_unit_test(reserve_and_commit),
        cmocka_unit_test(too_much),
        cmocka_unit_test(model),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
