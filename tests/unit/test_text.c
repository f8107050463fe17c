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

/* After a failure nothing is added and nothing comes out. */
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

/* For a terminal and for a page. */
static void foreign(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        size_t most;
        const char *visible;
    } rows[] = {
        {"plain ~", 10, "plain ~"},
        {"\x1b[31m", 20, "\\u{1b}[31m"},
        {"a\nb\r\t\x7f", 40, "a\\u{a}b\\u{d}\\u{9}\\u{7f}"},
        {"\xc3\xa9\xe2\x80\xae\xf0\x9f\x98\x80", 40, "\\u{e9}\\u{202e}\\u{1f600}"},
        {"\xc2\x9b", 40, "\\u{9b}"},
        {"\xff\xc3", 40, "\\u{ff}\\u{c3}"},
        {"12345678", 8, "12345678"},
        {"123456789", 8, "12345..."},
        {"1234\x1b\x1b", 8, "1234\\..."},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct text t = {0};
        text_add(&t, "before ");
        text_add_visible(&t, rows[i].said, rows[i].most);
        assert_string_equal(text_string(&t) + 7, rows[i].visible);
        text_fini(&t);
    }
    struct text t = {0};
    text_add_html(&t, "<a href=\"x\">&'\xc3\xa9</a>");
    assert_string_equal(text_string(&t), "&lt;a href=&quot;x&quot;&gt;&amp;'\xc3\xa9&lt;/a&gt;");
    text_fini(&t);
}

static void trims(void **state)
{
    (void)state;
    struct text t = {0};
    text_trim(&t, 10);
    assert_null(t.data);
    text_reserve(&t, 10000);
    text_add(&t, "abc");
    text_trim(&t, 10);
    assert_int_equal(t.capacity, 14);
    assert_string_equal(text_string(&t), "abc");
    text_add(&t, "0123456789");
    assert_int_equal(t.capacity, 14);
    text_add(&t, "more");
    assert_string_equal(text_string(&t), "abc0123456789more");
    text_fini(&t);
}

/* Every line is within 79 columns and no word is lost. */
static void wrapped(void **state)
{
    (void)state;
    static const struct {
        int indent;
        const char *words, *lines;
    } rows[] = {
        {0, "", "\n"},
        {4, "", "\n"},
        {0, "one", "one\n"},
        {2, "one two", "  one two\n"},
        {2, "one  two   three", "  one two three\n"},
        {2, "one ", "  one\n"},
        {2, " one", "  one\n"},
        {70, "123456789 1 22", "%*s123456789\n%*s1 22\n"},
        {70, "1234 6789", "%*s1234 6789\n"},
        {70, "1234 67890", "%*s1234\n%*s67890\n"},
        {70, "123456789abc de", "%*s123456789\n%*sabc de\n"}, /* longer than a line */
        {70, "a 123456789abc", "%*sa\n%*s123456789\n%*sabc\n"},
        {78, "abc", "%*sa\n%*sb\n%*sc\n"},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct text t = {0}, wanted = {0};
        /* Every "%*s" of the row is its indentation. */
        for (const char *at = rows[i].lines; *at;) {
            size_t n = strcspn(at, "%");
            text_add_bytes(&wanted, at, n);
            at += n;
            if (*at) text_printf(&wanted, "%*s", rows[i].indent, "");
            if (*at) at += 3;
        }
        text_add_wrapped(&t, rows[i].indent, rows[i].words);
        assert_string_equal(text_string(&t), text_string(&wanted));
        text_fini(&t);
        text_fini(&wanted);
    }
    /* Many words: joined again, they are the input. */
    struct text words = {0};
    for (unsigned i = 0; i < 300; i++) text_printf(&words, "%s%0*u", i ? " " : "", 1 + i % 23, i);
    for (int indent = 0; indent < 40; indent++) {
        struct text t = {0}, joined = {0};
        text_add_wrapped(&t, indent, text_string(&words));
        for (const char *line = text_string(&t); *line;) {
            size_t n = strcspn(line, "\n");
            assert_in_range(n, indent + 1, TEXT_COLUMNS);
            assert_int_equal(strspn(line, " "), indent);
            if (joined.size) text_add(&joined, " ");
            text_add_bytes(&joined, line + indent, n - (size_t)indent);
            /* The next word had no room. */
            const char *next = line + n + 1;
            if (*next) assert_true(n + 1 + strcspn(next + indent, " \n") > TEXT_COLUMNS);
            line = next;
        }
        assert_string_equal(text_string(&joined), text_string(&words));
        text_fini(&t);
        text_fini(&joined);
    }
    text_fini(&words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),  cmocka_unit_test(keeps_nul), cmocka_unit_test(take),
        cmocka_unit_test(failed), cmocka_unit_test(helpers),   cmocka_unit_test(foreign),
        cmocka_unit_test(trims),  cmocka_unit_test(wrapped),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
