/* The JSON writer: structure, escapes and what becomes of bytes that are not UTF-8. */
#include "helper.h"

#include "base/json.h"

#define REPLACED "\xef\xbf\xbd"

static void structure(void **state)
{
    (void)state;
    struct text t = {0};
    struct json j = json_of(&t);
    json_put_object(&j, NULL);
    json_put_string(&j, "a", "b");
    json_put_object(&j, "empty");
    json_end_object(&j);
    json_put_array(&j, "list");
    json_put_number(&j, NULL, 1);
    json_put_number(&j, NULL, -2);
    json_put_array(&j, NULL);
    json_end_array(&j);
    json_put_object(&j, NULL);
    json_put_bool(&j, "t", true);
    json_put_bool(&j, "f", false);
    json_end_object(&j);
    json_put_string(&j, NULL, "");
    json_end_array(&j);
    json_put_optional(&j, "no", NULL);
    json_put_optional(&j, "neither", "");
    json_put_optional(&j, "yes", "x");
    json_put_number(&j, "max", INT64_MAX);
    json_put_number(&j, "min", INT64_MIN);
    json_end_object(&j);
    assert_string_equal(
        text_string(&t),
        "{\"a\":\"b\",\"empty\":{},\"list\":[1,-2,[],{\"t\":true,\"f\":false},\"\"],"
        "\"yes\":\"x\",\"max\":9223372036854775807,\"min\":-9223372036854775808}");
    text_fini(&t);
}

/* A byte is written the same way whatever is before or after it. */
static void every_byte_at_every_place(void **state)
{
    (void)state;
    enum { LONG = 19 };
    for (unsigned byte = 0; byte < 256; byte++) {
        char alone[16], expected[64], in[LONG];
        struct text t = {0};
        struct json j = json_of(&t);
        char c = (char)byte;
        json_put_bytes(&j, NULL, &c, 1);
        assert_true(t.size < sizeof alone);
        snprintf(alone, sizeof alone, "%.*s", (int)t.size - 2, text_string(&t) + 1);
        text_fini(&t);
        for (int at = 0; at < LONG; at++) {
            memset(in, 'x', sizeof in);
            in[at] = c;
            snprintf(expected, sizeof expected, "\"%.*s%s%.*s\"", at, "xxxxxxxxxxxxxxxxxxx", alone,
                     LONG - 1 - at, "xxxxxxxxxxxxxxxxxxx");
            j = json_of(&t);
            json_put_bytes(&j, NULL, in, sizeof in);
            assert_string_equal(text_string(&t), expected);
            text_fini(&t);
        }
    }
}

static const struct {
    const char *in, *out;
} strings[] = {
    {"", ""},
    {"plain /'<>&", "plain /'<>&"},
    {"a\"b\\c", "a\\\"b\\\\c"},
    {"\b\t\n\f\r\x01\x1f", "\\u0008\\u0009\\u000a\\u000c\\u000d\\u0001\\u001f"},
    {"\x7f", "\\u007f"},
    {"a\xc2\x80"
     "b\xc2\x9f\xc2\x9b",
     "a\\u0080b\\u009f\\u009b"},
    {"\xc2\xa0\xc2\xbf", "\xc2\xa0\xc2\xbf"},
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"},
    {"\x80", REPLACED}, /* continuation alone */
    {"a\xff"
     "b",
     "a" REPLACED "b"},                           /* never valid */
    {"\xc3", REPLACED},                           /* cut */
    {"\xc3(", REPLACED "("},                      /* cut by another character */
    {"\xe2\x82", REPLACED REPLACED},              /* cut later */
    {"\xc0\xaf", REPLACED REPLACED},              /* overlong */
    {"\xe0\x80\xaf", REPLACED REPLACED REPLACED}, /* overlong */
    {"\xf0\x80\x80\xaf", REPLACED REPLACED REPLACED REPLACED},
    {"\xed\xa0\x80", REPLACED REPLACED REPLACED},              /* a surrogate */
    {"\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED}, /* above U+10FFFF */
    {"\xf5\x80", REPLACED REPLACED},
    {"\"\xff\"", "\\\"" REPLACED "\\\""},
};

static void escapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(strings); i++) {
        struct text t = {0}, wanted = {0};
        struct json j = json_of(&t);
        uint8_t *copy = exact((const uint8_t *)strings[i].in, strlen(strings[i].in));
        json_put_bytes(&j, NULL, copy, strlen(strings[i].in));
        free(copy);
        text_printf(&wanted, "\"%s\"", strings[i].out);
        if (strcmp(text_string(&t), text_string(&wanted)) != 0)
            fail_msg("row %zu: %s", i, text_string(&t));
        text_fini(&t);
        text_fini(&wanted);
    }
}

static void bytes_and_keys(void **state)
{
    (void)state;
    struct text t = {0};
    struct json j = json_of(&t);
    json_put_object(&j, NULL);
    json_put_bytes(&j, "k", "a\0b", 3);
    json_put_bytes(&j, "none", NULL, 0);
    json_end_object(&j);
    assert_string_equal(text_string(&t), "{\"k\":\"a\\u0000b\",\"none\":\"\"}");
    text_fini(&t);
}

/* Cut at a character, never longer than the limit, and whole if it fits exactly. */
static void cut(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        size_t most;
        bool whole;
    } rows[] = {
        {"0123456789", "\"0123456789\"", 12, true},
        {"0123456789a", "\"0123456...\"", 12, false},
        {"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", "\"\xc3\xa4\xc3\xa4...\"", 10, false},
        {"\x01\x01\x01", "\"\\u0001\\u0001...\"", 19, false},
        {"\x01\x01\x01", "\"\\u0001\\u0001\\u0001\"", 20, true},
        {"\xff\xff\xff", "\"\xef\xbf\xbd...\"", 10, false},
        {"\"\"\"\"\"", "\"\\\"\\\"...\"", 10, false},
        {"\xc2\x80\xc2\x80\x7f", "\"\\u0080\\u0080...\"", 19, false},
        {"", "\"\"", 10, true},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct text t = {0};
        struct json j = json_of(&t);
        bool whole = json_put_cut(&j, NULL, rows[i].in, strlen(rows[i].in), rows[i].most);
        if (strcmp(text_string(&t), rows[i].out) != 0 || whole != rows[i].whole)
            fail_msg("row %zu: %s", i, text_string(&t));
        assert_true(t.size <= rows[i].most);
        text_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structure), cmocka_unit_test(every_byte_at_every_place),
        cmocka_unit_test(escapes),   cmocka_unit_test(bytes_and_keys),
        cmocka_unit_test(cut),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
