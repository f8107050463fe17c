/* runtime/own_hellos: marks of hellos that are not answered yet. */
#include "helper.h"

#include "runtime/own_hellos.h"

enum { MARKS = 3000 };
static const int64_t second = 1000000000;

static const uint8_t *random_of(unsigned i)
{
    static uint8_t out[HELLO_RANDOM_SIZE];
    out[31] = (uint8_t)i;
    out[30] = (uint8_t)(i >> 8);
    return out;
}

static void known_until_answered(void **state)
{
    (void)state;
    static struct own_hello *marks[MARKS];
    struct own_hellos *o = own_hellos_new();
    assert_non_null(o);
    for (unsigned i = 0; i < MARKS; i++) {
        assert_int_equal(own_hellos_passes(o, random_of(i), 1), 0);
        marks[i] = own_hellos_mark(o, random_of(i), 1);
        assert_non_null(marks[i]);
        assert_int_equal(own_hellos_passes(o, random_of(i), 1), 1);
    }
    for (unsigned i = 1; i < MARKS; i += 2) own_hellos_answered(o, marks[i]);
    for (unsigned i = 0; i < MARKS; i++)
        assert_int_equal(own_hellos_passes(o, random_of(i), INT64_MAX - 1), i % 2 == 0);
    own_hellos_free(o);
}

static void known_for_a_while_after_the_end(void **state)
{
    (void)state;
    struct own_hellos *o = own_hellos_new();
    struct own_hello *mark = own_hellos_mark(o, random_of(7), 2);
    own_hellos_abandon(o, mark, second);
    assert_int_equal(own_hellos_passes(o, random_of(7), (1 + OWN_HELLO_LASTS_S) * second - 1), 2);
    assert_int_equal(own_hellos_passes(o, random_of(7), (1 + OWN_HELLO_LASTS_S) * second), 0);
    own_hellos_abandon(o, NULL, second);
    own_hellos_answered(o, NULL);
    own_hellos_free(o);
}

static void the_most_passes_count(void **state)
{
    (void)state;
    struct own_hellos *o = own_hellos_new();
    struct own_hello *two = own_hellos_mark(o, random_of(7), 2);
    struct own_hello *three = own_hellos_mark(o, random_of(7), 3);
    struct own_hello *one = own_hellos_mark(o, random_of(7), 1);
    assert_int_equal(own_hellos_passes(o, random_of(7), 1), 3);
    own_hellos_answered(o, three);
    assert_int_equal(own_hellos_passes(o, random_of(7), 1), 2);
    own_hellos_answered(o, two);
    own_hellos_answered(o, one);
    assert_int_equal(own_hellos_passes(o, random_of(7), 1), 0);
    own_hellos_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_until_answered),
        cmocka_unit_test(known_for_a_while_after_the_end),
        cmocka_unit_test(the_most_passes_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
