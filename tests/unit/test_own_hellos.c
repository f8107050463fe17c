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
        assert_false(own_hellos_has(o, random));
        own_hellos_mark(o, &marks[i], random);
        assert_true(own_hellos_has(o, random));
    }
    random_of(MARKS, random);
    own_hellos_mark(o, &marks[0], random); /* moved */
    assert_true(own_hellos_has(o, random));
    random_of(0, random);
    assert_false(own_hellos_has(o, random));
    for (unsigned i = 1; i < MARKS; i += 2) {
        random_of(i, random);
        own_hellos_unmark(o, &marks[i]);
        own_hellos_unmark(o, &marks[i]); /* no effect */
        assert_false(own_hellos_has(o, random));
    }
    for (unsigned i = 2; i < MARKS; i += 2) {
        random_of(i, random);
        assert_true(own_hellos_has(o, random));
    }
    own_hellos_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(found_while_marked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
