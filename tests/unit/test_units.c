/* Counts, durations and sizes. */
#include "helper.h"

#include "base/units.h"

static const struct {
    const char *text;
    uint64_t ms;
} durations[] = {
    {"0s", 0},      {"1ms", 1},        {"250ms", 250},           {"10s", 10000},
    {"5m", 300000}, {"1h", 3600000},   {"90s", 90000},           {"10 s", 10000},
    {"007s", 7000}, {"24h", 86400000}, {"86400000ms", 86400000},
};
static const char *const bad_durations[] = {
    "",
    "s",
    "10",
    "-1s",
    "+1s",
    "1.5s",
    "1S",
    "1sec",
    "1 m s",
    " 1s",
    "1s ",
    "0x1s",
    "1d",
    "25h",
    "86400001ms",
    "18446744073709551616ms",
    "18446744073709551615h",
    "99999999999999999999s",
};
static const struct {
    const char *text;
    uint64_t bytes;
} sizes[] = {
    {"0B", 0},        {"80KiB", 81920}, {"1MiB", 1048576}, {"80KB", 80000},
    {"2MB", 2000000}, {"17B", 17},      {"1 KiB", 1024},
};
static const char *const bad_sizes[] = {
    "", "80", "80K", "80k", "80kB", "80kib", "-1B", "1GiB", "1.5MiB", "B", "17MiB", "16777217B",
};
static const struct {
    const char *text;
    bool good;
    uint64_t value;
} counts[] = {
    {"0", true, 0},
    {"1", true, 1},
    {"65535", true, 65535},
    {"00012", true, 12},
    {"65536", false, 0},
    {"", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"1a", false, 0},
    {"0x10", false, 0},
    {"18446744073709551615", false, 0},
    {"18446744073709551616", false, 0},
    {"99999999999999999999999", false, 0},
};

static void parses(void **state)
{
    (void)state;
    uint64_t v;
    for (size_t i = 0; i < N_OF(durations); i++) {
        if (!units_duration(durations[i].text, 86400000, &v))
            fail_msg("%s is refused", durations[i].text);
        assert_int_equal(v, durations[i].ms);
    }
    for (size_t i = 0; i < N_OF(bad_durations); i++)
        if (units_duration(bad_durations[i], 86400000, &v))
            fail_msg("%s is accepted", bad_durations[i]);
    for (size_t i = 0; i < N_OF(sizes); i++) {
        if (!units_size(sizes[i].text, 16 << 20, &v)) fail_msg("%s is refused", sizes[i].text);
        assert_int_equal(v, sizes[i].bytes);
    }
    for (size_t i = 0; i < N_OF(bad_sizes); i++)
        if (units_size(bad_sizes[i], 16 << 20, &v)) fail_msg("%s is accepted", bad_sizes[i]);
    for (size_t i = 0; i < N_OF(counts); i++) {
        if (units_count(counts[i].text, 65535, &v) != counts[i].good)
            fail_msg("%s", counts[i].text);
        if (counts[i].good) assert_int_equal(v, counts[i].value);
    }
    assert_true(units_count("18446744073709551615", UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    assert_true(units_duration("18446744073709551615ms", UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    assert_false(units_duration("18446744073709551615s", UINT64_MAX, &v));
}

static void formats(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *duration, *size;
    } rows[] = {
        {0, "0ms", "0B"},
        {1, "1ms", "1B"},
        {1000, "1s", "1KB"},
        {1024, "1024ms", "1KiB"},
        {60000, "1m", "60KB"},
        {90000, "90s", "90KB"},
        {3600000, "1h", "3600KB"},
        {5400000, "90m", "5400KB"},
        {81920, "81920ms", "80KiB"},
        {1048576, "1048576ms", "1MiB"},
        {1000000, "1000s", "1MB"},
        {86400000, "24h", "84375KiB"},
    };
    char out[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < N_OF(rows); i++) {
        units_format_duration(rows[i].v, out);
        assert_string_equal(out, rows[i].duration);
        units_format_size(rows[i].v, out);
        assert_string_equal(out, rows[i].size);
    }
}

static void rates(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "200",    "/s",    "200/m", "200 /s",
                                      "-1/s", "1001/s", "1.5/s", "0/"};
    uint64_t v;
    char out[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < N_OF(bad); i++)
        if (units_rate(bad[i], 1000, &v)) fail_msg("%s is accepted", bad[i]);
    assert_true(units_rate("1000/s", 1000, &v) && v == 1000);
    units_format_rate(v, out);
    assert_string_equal(out, "1000/s");
    assert_true(units_rate("0/s", 1000, &v) && v == 0);
    assert_true(units_rate("0", 1000, &v) && v == 0);
    units_format_rate(v, out);
    assert_string_equal(out, "0");
}

/* Printed values read back as the same. */
static void round_trip(void **state)
{
    (void)state;
    static const uint64_t values[] = {0,     1,      999,        1000,          1023,    1024,
                                      59999, 60000,  3599999,    3600000,       1000000, 1048576,
                                      81920, 131072, UINT64_MAX, UINT64_MAX - 1};
    char out[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < N_OF(values); i++) {
        uint64_t back = 1;
        units_format_duration(values[i], out);
        assert_true(units_duration(out, UINT64_MAX, &back));
        assert_true(back == values[i]);
        units_format_size(values[i], out);
        assert_true(units_size(out, UINT64_MAX, &back));
        assert_true(back == values[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(formats),
        cmocka_unit_test(rates),
        cmocka_unit_test(round_trip),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
