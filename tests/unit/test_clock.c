/* Calendar time as text. No test depends on the clock's speed. */
#include "helper.h"

#include "base/clock.h"

static void texts(void **state)
{
    (void)state;
    static const struct {
        time_t seconds;
        long ns;
        const char *with_ms, *whole;
    } rows[] = {
        {0, 0, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z"},
        {951782399, 999999999, "2000-02-28T23:59:59.999Z", "2000-02-28T23:59:59Z"},
        {951782400, 1000000, "2000-02-29T00:00:00.001Z", "2000-02-29T00:00:00Z"},
        {4102444799, 123456789, "2099-12-31T23:59:59.123Z", "2099-12-31T23:59:59Z"},
        {253402300799, 0, "9999-12-31T23:59:59.000Z", "9999-12-31T23:59:59Z"},
    };
    char out[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < N_OF(rows); i++) {
        clock_format((struct timespec){rows[i].seconds, rows[i].ns}, out);
        assert_string_equal(out, rows[i].with_ms);
        clock_format_seconds(rows[i].seconds, out);
        assert_string_equal(out, rows[i].whole);
    }
}

static void reads(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds; /* -1: none */
        long ns;
    } rows[] = {
        {"2000-02-29T00:00:00.001Z", 951782400, 1000000},
        {"2000-02-28T23:59:59Z", 951782399, 0},
        {"2000-02-29T00:01", 951782460, 0},
        {"2000-02-29 00:01", 951782460, 0},
        {"2000-02-29", 951782400, 0},
        {"2000-02-29T00:00:00.5", 951782400, 500000000},
        {"", -1, 0},
        {"2000-02", -1, 0},
        {"2000-00-29", -1, 0},
        {"2000-13-01", -1, 0},
        {"2000-01-00", -1, 0},
        {"2000-01-32", -1, 0},
        {"2000-02-29T24:00", -1, 0},
        {"2000-02-29T", -1, 0},
        {"2000-02-29T00:60", -1, 0},
        {"2000-02-29T00:00:00.", -1, 0},
        {"2000-02-29T00:00:00+01:00", -1, 0},
        {"2000-02-29Zx", -1, 0},
        {"yesterday", -1, 0},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct timespec t;
        bool ok = clock_parse(rows[i].text, &t);
        if (ok != (rows[i].seconds >= 0)) fail_msg("%s", rows[i].text);
        if (!ok) continue;
        assert_int_equal(t.tv_sec, rows[i].seconds);
        assert_int_equal(t.tv_nsec, rows[i].ns);
    }
}

static void steady(void **state)
{
    (void)state;
    int64_t before = clock_steady_ns();
    assert_true(clock_steady_ns() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(reads),
                                       cmocka_unit_test(steady)};
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
