/* What remains of a record for a sink that cannot carry all of it. */
#include "helper.h"

#include "../../src/audit/shorten.h"

#define BEFORE "{\"@timestamp\":\"2026-01-01T00:00:00.000Z\",\"log\":{\"level\":\"warning\"}"
#define EVENT ",\"event\":{\"code\":\"client_not_tls\",\"sequence\":7,\"hash\":\"h\"}}"

static const struct {
    const char *record, *shortened;
} rows[] = {
    {BEFORE
     ",\"message\":\"Refused.\",\"tls\":{\"client\":{}},\"suitegate\":{\"detail\":\"d\"}" EVENT,
     BEFORE ",\"message\":\"Refused.\",\"suitegate\":{\"shortened\":true}" EVENT},
    {BEFORE ",\"suitegate\":{\"client\":{\"a\":1},\"id\":\"i\",\"upstream\":{\"b\":2}}" EVENT,
     BEFORE ",\"suitegate\":{\"id\":\"i\",\"shortened\":true}" EVENT},
    {BEFORE ",\"suitegate\":{\"log\":{\"torn\":\"t\"},\"policy\":{\"log\":1}}" EVENT,
     BEFORE ",\"suitegate\":{\"policy\":{\"log\":1},\"shortened\":true}" EVENT},
    {BEFORE ",\"suitegate\":{}" EVENT, BEFORE ",\"suitegate\":{\"shortened\":true}" EVENT},
};

static void what_is_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct text out = {0};
        text_add(&out, "before ");
        uint8_t *line = exact((const uint8_t *)rows[i].record, strlen(rows[i].record));
        assert_true(shorten_line((const char *)line, strlen(rows[i].record), &out));
        assert_memory_equal(text_string(&out), "before ", 7);
        assert_string_equal(text_string(&out) + 7, rows[i].shortened);
        text_fini(&out);
        free(line);
    }
}

static void no_record(void **state)
{
    (void)state;
    static const char *const lines[] = {"", "{", "xxx", "[]", "{}", "{\"suitegate\":1}", "null"};
    for (size_t i = 0; i < N_OF(lines); i++) {
        struct text out = {0};
        if (shorten_line(lines[i], strlen(lines[i]), &out)) fail_msg("%s", lines[i]);
        assert_int_equal(out.size, 0);
        text_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_left), cmocka_unit_test(no_record)};
    return cmocka_run_group_tests_name("shorten", tests, NULL, NULL);
}
