/* The bounded map: what it holds, what it drops first, and that each value is freed once. */
#include "helper.h"

#include "base/cache.h"

enum { LIMIT = 4 };

static unsigned freed[6000];

static void release(void *value)
{
    unsigned *n = value;
    assert_in_range(*n, 0, N_OF(freed) - 1);
    freed[*n]++;
    free(n);
}

static void put_number(struct cache *c, const char *key, unsigned n)
{
    unsigned *value = malloc(sizeof *value);
    assert_non_null(value);
    *value = n;
    freed[n] = 0;
    cache_put(c, key, value);
}

/* The number stored for a key, -1 if there is none. */
static int number(struct cache *c, const char *key)
{
    unsigned *value = cache_get(c, key);
    return value ? (int)*value : -1;
}

static void found_again(void **state)
{
    (void)state;
    struct cache *c = cache_new(LIMIT, release);
    assert_int_equal(number(c, "a"), -1);
    put_number(c, "a", 1);
    put_number(c, "", 2);
    assert_int_equal(number(c, "a"), 1);
    assert_int_equal(number(c, ""), 2);
    assert_int_equal(number(c, "A"), -1);
    assert_int_equal(cache_count(c), 2);
    cache_free(c);
    assert_int_equal(freed[1], 1);
    assert_int_equal(freed[2], 1);
    cache_free(NULL);
}

static void replaced(void **state)
{
    (void)state;
    struct cache *c = cache_new(LIMIT, release);
    put_number(c, "a", 1);
    put_number(c, "a", 2);
    assert_int_equal(freed[1], 1);
    assert_int_equal(number(c, "a"), 2);
    assert_int_equal(cache_count(c), 1);
    /* In a full cache a replacement drops no other entry. */
    put_number(c, "b", 3);
    put_number(c, "c", 4);
    put_number(c, "d", 5);
    put_number(c, "d", 6);
    assert_int_equal(cache_count(c), LIMIT);
    assert_int_equal(number(c, "a"), 2);
    cache_free(c);
    for (unsigned i = 1; i <= 6; i++) assert_int_equal(freed[i], 1);
}

static void dropped(void **state)
{
    (void)state;
    struct cache *c = cache_new(LIMIT, release);
    cache_drop(c, "a");
    put_number(c, "a", 1);
    put_number(c, "b", 2);
    put_number(c, "c", 3);
    cache_drop(c, "b"); /* in the middle of the order of use */
    cache_drop(c, "b");
    assert_int_equal(freed[2], 1);
    assert_int_equal(cache_count(c), 2);
    assert_int_equal(number(c, "b"), -1);
    assert_int_equal(number(c, "a"), 1);
    assert_int_equal(number(c, "c"), 3);
    cache_drop(c, "c");
    cache_drop(c, "a");
    assert_int_equal(cache_count(c), 0);
    put_number(c, "a", 4);
    assert_int_equal(number(c, "a"), 4);
    cache_free(c);
    assert_int_equal(freed[4], 1);
}

/* The least recently used entry goes first; a lookup counts as use. */
static void order_of_use(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", "c", "d"};
    struct cache *c = cache_new(LIMIT, release);
    for (unsigned i = 0; i < LIMIT; i++) put_number(c, keys[i], i);
    assert_int_equal(number(c, "a"), 0);
    put_number(c, "e", 10);
    assert_int_equal(number(c, "b"), -1);
    assert_int_equal(number(c, "c"), 2);
    put_number(c, "d", 11);
    put_number(c, "f", 12);
    assert_int_equal(number(c, "a"), -1);
    put_number(c, "g", 13);
    assert_int_equal(number(c, "e"), -1);
    assert_int_equal(number(c, "c"), 2);
    assert_int_equal(number(c, "d"), 11);
    assert_int_equal(cache_count(c), LIMIT);
    cache_free(c);
}

/* More keys than buckets: the bound holds, and the newest keys are all found. */
static void many(void **state)
{
    (void)state;
    enum { KEYS = 5000, BOUND = 2500 };
    struct cache *c = cache_new(BOUND, release);
    char key[16];
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key %u", i);
        put_number(c, key, i);
        assert_true(cache_count(c) <= BOUND);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key %u", i);
        assert_int_equal(number(c, key), i < KEYS - BOUND ? -1 : (int)i);
    }
    for (unsigned i = KEYS - BOUND; i < KEYS; i += 2) {
        snprintf(key, sizeof key, "key %u", i);
        cache_drop(c, key);
    }
    assert_int_equal(cache_count(c), BOUND / 2);
    cache_free(c);
    for (unsigned i = 0; i < KEYS; i++) assert_int_equal(freed[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_again),  cmocka_unit_test(replaced), cmocka_unit_test(dropped),
        cmocka_unit_test(order_of_use), cmocka_unit_test(many),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
