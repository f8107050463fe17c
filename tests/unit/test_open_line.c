/* Which lines the clerk takes for open ones. The judge of the syntax is jansson: over changed
 * lines, what is taken must be JSON once it is closed. */
#include "helper.h"

#include "audit/open_line.h"
#include "audit/receipt.h"
#include "audit/record.h"

#include <jansson.h>

static bool sound(const char *line, const char *action)
{
    return open_line_is_sound((struct span){(const uint8_t *)line, strlen(line)}, action);
}

#define TIME "2026-11-29T08:30:00.123Z"
#define HEAD "{\"@timestamp\":\"" TIME "\""
#define DATASET "\"dataset\":\"suitegate.audit\","
#define EVENT ",\"event\":{" DATASET "\"action\":\"a\""

static void which_are_sound(void **state)
{
    (void)state;
    static const char *const good[] = {
        HEAD EVENT,
        HEAD ",\"x\":1" EVENT ",\"y\":[1,-25,true,false,null,[]]",
        HEAD ",\"x\":{\"event\":{\"id\":1}}" EVENT,
        HEAD ",\"x\":\"\\u00e9\\n\\\"}}\xc3\xa9\xf0\x9f\x98\x80\"" EVENT ",\"z\":[\"a\",\"b\"]",
    };
    static const char *const bad[] = {
        "",
        "{",
        "[",
        "{}",
        "null",
        HEAD,
        HEAD "}",
        HEAD EVENT "}",
        HEAD EVENT "}}",
        HEAD EVENT ",",
        HEAD EVENT ",\"x\"",
        HEAD EVENT ",\"x\":",
        HEAD EVENT " ",
        HEAD EVENT "\n",
        HEAD ",\"event\":{",
        HEAD ",\"event\":{\"x\":1",
        HEAD ",\"event\":{\"action\":\"b\"",
        HEAD ",\"event\":{\"action\":1",
        HEAD EVENT ",\"action\":\"a\"",
        HEAD EVENT ",\"id\":\"x\"",
        HEAD EVENT ",\"created\":1",
        HEAD EVENT ",\"sequence\":1",
        HEAD EVENT ",\"hash\":\"\"",
        HEAD EVENT ",\"\\u0069d\":\"x\"",
        HEAD ",\"\\u0065vent\":{}" EVENT,
        HEAD ",\"@timestamp\":\"u\"" EVENT,
        "{\"x\":1,\"@timestamp\":\"t\"" EVENT,
        HEAD EVENT "},\"event\":{\"action\":\"a\"",
        HEAD ",\"event\":{\"action\":\"a\"",
        HEAD ",\"event\":{\"action\":\"a\"," DATASET "\"x\":1",
        HEAD EVENT ",\"x\":{}",
        HEAD EVENT ",\"x\":[{}]",
        HEAD EVENT ",\"dataset\":\"b\"",
        HEAD EVENT "," DATASET "\"action\":\"a\"",
        HEAD ",\"x\":{" DATASET "\"action\":\"b\"}" EVENT,
        "{\"@timestamp\":1" EVENT,
        "{\"@timestamp\":\"t\"" EVENT,
        "{\"@timestamp\":\"2026-11-29T08:30:00.12Z\"" EVENT,
        HEAD ",\"x\":\"\\ud800\"" EVENT,
        HEAD ",\"x\":\"\\uDBFF\\uDFFF\"" EVENT,
        HEAD ",\"x\":1234567890123456789" EVENT,
        HEAD ",\"x\":1e5" EVENT,
        HEAD ",\"x\":1.5" EVENT,
        HEAD ",\"x\":01" EVENT,
        HEAD ",\"x\":.5" EVENT,
        HEAD ",\"x\":1." EVENT,
        HEAD ",\"x\":1e" EVENT,
        HEAD ",\"x\":+1" EVENT,
        HEAD ",\"x\":nul" EVENT,
        HEAD ",\"x\":[1,]" EVENT,
        HEAD ",\"x\":{,}" EVENT,
        HEAD ",\"x\":{\"a\"}" EVENT,
        HEAD ",\"x\":\"\x01\"" EVENT,
        HEAD ",\"x\":\"\\x\"" EVENT,
        HEAD ",\"x\":\"\\u12g4\"" EVENT,
        HEAD ",\"x\":\"\xff\"" EVENT,
        HEAD ",\"x\":\"\xc0\xaf\"" EVENT,
        HEAD ",\"x\":\"\xed\xa0\x80\"" EVENT,
        HEAD ",\"x\":[[[[[[[[[[[[1]]]]]]]]]]]]" EVENT,
    };
    for (size_t i = 0; i < N_OF(good); i++)
        if (!sound(good[i], "a")) fail_msg("not taken: %s", good[i]);
    for (size_t i = 0; i < N_OF(bad); i++)
        if (sound(bad[i], "a")) fail_msg("taken: %s", bad[i]);
}

/* Every byte of a line is changed to some others, removed and doubled. */
static void what_is_taken_is_json(void **state)
{
    (void)state;
    static const char line[] =
        HEAD ",\"x\":{\"l\":[1,-253,true,null,\"\\u00e9\xc3\xa9\"]},\"log\":{\"level\":\"i\"}" EVENT
             ",\"duration\":12";
    static const char others[] = "\"\\{}[]:,0e.x\n\x80\xc3 ";
    unsigned taken = 0;
    for (size_t i = 0; i < sizeof line - 1; i++)
        for (size_t k = 0; k < sizeof others + 1; k++) {
            char changed[sizeof line + 8];
            size_t n = sizeof line - 1;
            memcpy(changed, line, sizeof line);
            if (k < sizeof others - 1) {
                changed[i] = others[k];
            } else if (k == sizeof others - 1) {
                memmove(changed + i, changed + i + 1, n - i);
                n--;
            } else {
                memmove(changed + i + 1, changed + i, n - i);
                n++;
            }
            if (!open_line_is_sound((struct span){(uint8_t *)changed, n}, "a")) continue;
            taken++;
            memcpy(changed + n, "}}", 2);
            json_error_t error;
            json_t *json = json_loadb(changed, n + 2, 0, &error);
            if (!json) fail_msg("%.*s: %s", (int)n, changed, error.text);
            assert_string_equal(
                json_string_value(json_object_get(json_object_get(json, "event"), "action")), "a");
            json_decref(json);
        }
    assert_in_range(taken, 100, 2500);
}

/* A real record is one. */
static void our_own_records(void **state)
{
    (void)state;
    static const struct audit_origin origin = {"gate", "2021", "digest"};
    for (int action = 0; action < AUDIT_ACTIONS; action++) {
        struct text line = {0};
        struct audit_event e = {.action = (enum audit_action)action,
                                .origin = &origin,
                                .duration_ns = -1,
                                .detail = "\xff\n\"quoted\"",
                                .alert_sent = -1,
                                .alert_received = -1};
        audit_render(&e, &line);
        assert_true(sound(text_string(&line), audit_action_name(e.action)));
        text_fini(&line);
    }
}

static void receipts(void **state)
{
    (void)state;
    struct receipt r = {.number = 57}, back;
    struct timespec at = {.tv_sec = 1764399540, .tv_nsec = 123000000};
    struct text line = {0};
    struct chain chain;
    receipt_name("proxy", 1234, at, 2, r.sender);
    text_add(&line, HEAD EVENT ",\"x\":\"\\\",\\\"id\\\":\\\"no-1\\\",\\\"sequence\\\":\"");
    size_t before = line.size;
    receipt_add(&r, at, &line);
    assert_in_range(line.size, before + 1, before + RECEIPT_ROOM);
    assert_string_equal(text_string(&line) + before,
                        ",\"created\":\"2025-11-29T06:59:00.123Z\","
                        "\"id\":\"proxy-1234-2025-11-29T06:59:00.123Z-2-57\"");
    chain_begin(&chain);
    assert_true(chain_seal(&chain, &line));
    assert_true(receipt_read(line.data, line.size - 1, &back));
    assert_string_equal(back.sender, r.sender);
    assert_int_equal(back.number, 57);
    for (size_t n = 0; n < before; n++) assert_false(receipt_read(line.data, n, &back));
    text_fini(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_are_sound),
        cmocka_unit_test(what_is_taken_is_json),
        cmocka_unit_test(our_own_records),
        cmocka_unit_test(receipts),
    };
    return cmocka_run_group_tests_name("open line", tests, NULL, NULL);
}
