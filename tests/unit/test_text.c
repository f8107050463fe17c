/* Growing text, and the small helpers beside it. */
#include "helper.h"

#include "base/text.h"

static void grows(void **state)
{
    (void)state;
    struct text t = {0};
    assert_string_equal(text_string(&t), "");
    text_add(&t, "");
    assert_string_equal(text_string(&t), "");
    for (unsigned i = 0; i < 10000; i++) text_printf(&t, "%04u", i);
    assert_int_equal(t.size, 40000);
    assert_int_equal(strlen(text_string(&t)), 40000);
    for (unsigned i = 0; i < 10000; i++) {
        char wanted[5];
        snprintf(wanted, sizeof wanted, "%04u", i);
        assert_memory_equal(text_string(&t) + 4 * i, wanted, 4);
    }
    text_fini(&t);
    assert_null(t.data);
}

static void keeps_nul(void **state)
{
    (void)state;
    struct text t = {0};
    text_add_bytes(&t, "a\0b", 3);
    text_add_bytes(&t, NULL, 0);
    assert_int_equal(t.size, 3);
    assert_memory_equal(t.data, "a\0b", 4);
    text_fini(&t);
}

static void take(void **state)
{
    (void)state;
    struct text t = {0};
    char *s = text_take(&t);
    assert_string_equal(s, "");
    free(s);
    text_add(&t, "abc");
    s = text_take(&t);
    assert_string_equal(s, "abc");
    assert_null(t.data);
    assert_int_equal(t.size, 0);
    free(s);
}

/* Once failed, nothing is added and nothing comes out. */
static void failed(void **state)
{
    (void)state;
    struct text t = {0};
    text_add(&t, "abc");
    t.failed = true;
    text_add(&t, "def");
    text_printf(&t, "%d", 1);
    assert_int_equal(t.size, 0);
    assert_string_equal(text_string(&t), "");
    assert_null(text_take(&t));
    assert_null(t.data);
    assert_false(t.failed);
}

static void helpers(void **state)
{
    (void)state;
    char name[] = "AZaz[@`{\xc4.09", hex[9];
    text_lower(name);
    assert_string_equal(name, "azaz[@`{\xc4.09");
    text_hex((const uint8_t *)"\x00\xff\x1a\xa1", 4, hex);
    assert_string_equal(hex, "00ff1aa1");
    text_hex(NULL, 0, hex);
    assert_string_equal(hex, "");
    char *copy = text_copy("abcdef", 3);
    assert_string_equal(copy, "abc");
    free(copy);
    copy = text_copy(NULL, 0);
    assert_string_equal(copy, "");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),  cmocka_unit_test(keeps_nul), cmocka_unit_test(take),
        cmocka_unit_test(failed), cmocka_unit_test(helpers),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
