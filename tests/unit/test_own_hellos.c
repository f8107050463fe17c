/* runtime/own_hellos: marks of hellos that are under way. */
#include "helper.h"

#include "runtime/own_hellos.h"

enum { MARKS = 3000 };

static void random_of(unsigned i, uint8_t out[HELLO_RANDOM_SIZE])
{
    memset(out, 0, HELLO_RANDOM_SIZE);
    out[31] = (uint8_t)i;
    out[30] = (uint8_t)(i >> 8);
}

static void found_while_marked(void **state)
{
    (void)state;
    static struct own_hello marks[MARKS];
    uint8_t random[HELLO_RANDOM_SIZE];
    struct own_hellos *o = own_hellos_new();
    assert_non_null(o);
    for (unsigned i = 0; i < MARKS; i++) {
        random_of(i, random);
        assert_int_equal(own_hellos_passes(o, random), 0);
        own_hellos_mark(o, &marks[i], random, 1);
        assert_int_equal(own_hellos_passes(o, random), 1);
    }
    random_of(MARKS, random);
    own_hellos_mark(o, &marks[0], random, 1); /* moved */
    assert_int_equal(own_hellos_passes(o, random), 1);
    random_of(0, random);
    assert_int_equal(own_hellos_passes(o, random), 0);
    for (unsigned i = 1; i < MARKS; i += 2) {
        random_of(i, random);
        own_hellos_unmark(o, &marks[i]);
        own_hellos_unmark(o, &marks[i]); /* no effect */
        assert_int_equal(own_hellos_passes(o, random), 0);
    }
    for (unsigned i = 2; i < MARKS; i += 2) {
        random_of(i, random);
        assert_int_equal(own_hellos_passes(o, random), 1);
    }
    own_hellos_free(o);
}

static void the_most_passes_count(void **state)
{
    (void)state;
    struct own_hello marks[3] = {{0}};
    uint8_t random[HELLO_RANDOM_SIZE];
    struct own_hellos *o = own_hellos_new();
    random_of(7, random);
    own_hellos_mark(o, &marks[0], random, 2);
    own_hellos_mark(o, &marks[1], random, 3);
    own_hellos_mark(o, &marks[2], random, 1);
    assert_int_equal(own_hellos_passes(o, random), 3);
    own_hellos_unmark(o, &marks[1]);
    assert_int_equal(own_hellos_passes(o, random), 2);
    own_hellos_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(found_while_marked),
                                       cmocka_unit_test(the_most_passes_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
