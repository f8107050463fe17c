/* The file of ticket keys that several instances share: read, written, rotated. */
#include "helper.h"

#include "runtime/ticket_file.h"

#define ONES "1111111111111111111111111111111111111111111111111111111111111111"
#define TWOS "2222222222222222222222222222222222222222222222222222222222222222"

static const time_t noon = 1800014400; /* 2027-01-15T12:00:00Z */

static bool read_file(const char *content, struct ticket_keys *out, char why[256])
{
    struct text file = {0}, errors = {0};
    text_add(&file, content);
    bool ok = ticket_file_read(&file, "keys", out, &errors);
    snprintf(why, 256, "%s", text_string(&errors));
    text_fini(&file);
    text_fini(&errors);
    return ok;
}

static void keys_of_a_file(void **state)
{
    (void)state;
    struct ticket_keys keys;
    char why[256];
    assert_true(read_file("# ours\n\n2027-01-15T12:00:00Z " ONES "\r\n2027-01-15T12:00:01Z " TWOS,
                          &keys, why));
    assert_string_equal(why, "");
    assert_int_equal(keys.n, 2);
    assert_int_equal(keys.items[0].from, noon);
    assert_int_equal(keys.items[1].from, noon + 1);
    assert_int_equal(keys.items[0].key[0], 0x11);
    assert_int_equal(keys.items[1].key[31], 0x22);
    assert_memory_not_equal(keys.items[0].name, keys.items[1].name, TICKET_NAME);
}

static void faulty_files(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "keys has no key"},
        {"# none\n", "keys has no key"},
        {"2027-01-15T12:00:00Z", "keys:1: not a time"},
        {ONES "\n", "keys:1: not a time"},
        {"\n2027-01-15T12:00:00Z 1" ONES "\n", "keys:2: not a time"},
        {"2027-01-15T12:00:00Z  " ONES "\n", "keys:1: not a time"},
        {"2027-01-15T12:00:00Z " ONES " \n", "keys:1: not a time"},
        {"2027-01-15T12:00:00Z g" TWOS "\n", "keys:1: not a time"},
        {"2027-13-15T12:00:00Z " ONES "\n", "keys:1: not a time"},
        {" 2027-01-15T12:00:00Z " ONES "\n", "keys:1: not a time"},
        {"2027-01-15T12:00:00.000000000000000000000000000000Z " ONES "\n", "keys:1: not a time"},
        {"2027-01-15T12:00:00Z " ONES "\n2027-01-15T13:00:00Z " ONES, "keys:2: the same key"},
        {"2027-01-15T12:00:00Z " ONES "\n2027-01-15T12:00:00Z " TWOS, "keys:2: begins no later"},
        {"2027-01-15T12:00:00Z " ONES "\n2027-01-15T11:00:00Z " TWOS, "keys:2: begins no later"},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct ticket_keys keys;
        char why[256];
        assert_false(read_file(rows[i][0], &keys, why));
        assert_int_equal(keys.n, 0);
        assert_memory_equal(why, rows[i][1], strlen(rows[i][1]));
    }
}

static void too_many(void **state)
{
    (void)state;
    struct text file = {0};
    struct ticket_keys keys;
    char why[256];
    for (int i = 0; i < TICKET_KEYS + 1; i++) {
        if (i == TICKET_KEYS) assert_true(read_file(text_string(&file), &keys, why));
        text_printf(&file, "2027-01-15T12:00:%02dZ %064d\n", i, i);
    }
    assert_int_equal(keys.n, TICKET_KEYS);
    assert_false(read_file(text_string(&file), &keys, why));
    assert_non_null(strstr(why, "more than 16"));
    text_fini(&file);
}

static void a_rotation_reads_back(void **state)
{
    (void)state;
    struct ticket_keys keys = {.n = 0}, again;
    char why[256];
    for (time_t now = noon; now < noon + 86400; now += 3600)
        assert_int_equal(ticket_file_rotate(&keys, now), TICKETS_ROTATED);
    struct text file = {0};
    ticket_file_print(&keys, &file);
    assert_true(read_file(text_string(&file), &again, why));
    assert_int_equal(again.n, keys.n);
    for (size_t i = 0; i < keys.n; i++) {
        assert_int_equal(again.items[i].from, keys.items[i].from);
        assert_memory_equal(again.items[i].key, keys.items[i].key, sizeof keys.items[i].key);
        assert_memory_equal(again.items[i].name, keys.items[i].name, TICKET_NAME);
    }
    text_fini(&file);
}

static void the_first_begins_at_once_the_next_in_ten_minutes(void **state)
{
    (void)state;
    struct ticket_keys keys = {.n = 0};
    assert_int_equal(ticket_file_rotate(&keys, noon), TICKETS_ROTATED);
    assert_int_equal(keys.items[0].from, noon);
    assert_int_equal(ticket_file_rotate(&keys, noon), TICKETS_ROTATED);
    assert_int_equal(keys.items[1].from, noon + TICKET_KEY_AHEAD_S);
    assert_int_equal(ticket_file_rotate(&keys, noon + TICKET_KEY_AHEAD_S - 1), TICKETS_WAIT);
    assert_int_equal(keys.n, 2);
    assert_int_equal(ticket_file_rotate(&keys, noon + TICKET_KEY_AHEAD_S), TICKETS_ROTATED);
    assert_int_equal(keys.n, 3);
}

/* As often as it may, or rarely: no key goes while a ticket that it sealed may be good, at an
 * instance that got its successor ten minutes late; and those that nobody needs do go. */
static void a_key_stays_as_long_as_its_tickets(void **state)
{
    (void)state;
    static const time_t intervals[] = {TICKET_KEY_AHEAD_S, 3600, 4201, 86400, 30 * 86400};
    for (size_t k = 0; k < N_OF(intervals); k++) {
        struct ticket_keys keys = {.n = 0};
        time_t now = noon;
        for (int i = 0; i < 40; i++, now += intervals[k]) {
            struct ticket_keys before = keys;
            assert_int_equal(ticket_file_rotate(&keys, now), TICKETS_ROTATED);
            assert_true(keys.n <= 10);
            size_t gone = before.n + 1 - keys.n;
            for (size_t j = 0; j < before.n; j++) {
                time_t sealed_last = j + 1 < before.n ? before.items[j + 1].from : now;
                bool needed = sealed_last + TICKET_KEY_AHEAD_S + TICKET_LIFETIME_S > now;
                assert_int_equal(needed, j >= gone);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_a_file),
        cmocka_unit_test(faulty_files),
        cmocka_unit_test(too_many),
        cmocka_unit_test(a_rotation_reads_back),
        cmocka_unit_test(the_first_begins_at_once_the_next_in_ten_minutes),
        cmocka_unit_test(a_key_stays_as_long_as_its_tickets),
    };
    return cmocka_run_group_tests_name("ticket_file", tests, NULL, NULL);
}
