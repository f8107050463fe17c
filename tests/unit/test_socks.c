/* SOCKS 5 messages (RFC 1928), each whole and byte by byte. */
#include "helper.h"

#include "policy/socks.h"

static const struct {
    const char *hex;
    enum socks_status status;
    bool without;
    bool login;
} methods[] = {
    {"05 01 00", SOCKS_OK, true, false},      {"05 02 00 02", SOCKS_OK, true, true},
    {"05 03 01 02 00", SOCKS_OK, true, true}, {"05 01 02", SOCKS_OK, false, true},
    {"05 00", SOCKS_OK, false, false},        {"04", SOCKS_BAD, false, false},
    {"16 03 01", SOCKS_BAD, false, false},    {"43 4f 4e", SOCKS_BAD, false, false},
};

static void what_a_client_offers(void **state)
{
    (void)state;
    static struct blob b;
    for (size_t i = 0; i < N_OF(methods); i++) {
        size_t used = 0;
        bool without = false, login = false;
        b.n = 0;
        blob_hex(&b, methods[i].hex);
        for (size_t n = 0; n < b.n && methods[i].status == SOCKS_OK; n++) {
            uint8_t *part = exact(b.p, n);
            assert_int_equal(socks_parse_methods(part, n, &used, &without, &login), SOCKS_MORE);
            free(part);
        }
        blob_hex(&b, "ff ff"); /* what follows is not read */
        assert_int_equal(socks_parse_methods(b.p, b.n, &used, &without, &login), methods[i].status);
        if (methods[i].status != SOCKS_OK) continue;
        assert_int_equal(used, b.n - 2);
        assert_int_equal(without, methods[i].without);
        assert_int_equal(login, methods[i].login);
    }
}

static const struct {
    const char *hex, *host;
    uint16_t port;
    bool is_ip;
} good[] = {
    {"05 01 00 01 cb007107 01bb", "203.0.113.7", 443, true},
    {"05 01 ff 01 cb007107 01bb", "203.0.113.7", 443, true}, /* RSV is not checked */
    {"05 01 00 04 20010db8000000000000000000000001 0050", "2001:db8::1", 80, true},
    {"05 01 00 04 00000000000000000000ffffcb007107 0001", "203.0.113.7", 1, true},
    {"05 01 00 03 0c 676174652e6578616d706c65 ffff", "gate.example", 65535, false},
    {"05 01 00 03 0c 474154452e4578616d706c65 01bb", "gate.example", 443, false},
    {"05 01 00 03 0d 676174652e6578616d706c652e 01bb", "gate.example", 443, false},
    {"05 01 00 03 0b 3230332e302e3131332e37 01bb", "203.0.113.7", 443, true},
};

static void where_a_client_wants_to_go(void **state)
{
    (void)state;
    static struct blob b;
    for (size_t i = 0; i < N_OF(good); i++) {
        struct target t;
        enum socks_reply reply;
        const char *why;
        size_t used = 0;
        b.n = 0;
        blob_hex(&b, good[i].hex);
        for (size_t n = 0; n < b.n; n++) {
            uint8_t *part = exact(b.p, n);
            assert_int_equal(socks_parse_request(part, n, &used, &t, &reply, &why), SOCKS_MORE);
            free(part);
        }
        blob_hex(&b, "16 03 01");
        assert_int_equal(socks_parse_request(b.p, b.n, &used, &t, &reply, &why), SOCKS_OK);
        assert_int_equal(used, b.n - 3);
        assert_string_equal(t.host, good[i].host);
        assert_int_equal(t.port, good[i].port);
        assert_int_equal(t.is_ip, good[i].is_ip);
    }
}

static const struct {
    const char *hex;
    enum socks_reply reply;
    const char *host; /* what is known of the destination */
} bad[] = {
    {"04", SOCKS_FAILURE, ""},
    {"05 01 00 02", SOCKS_ADDRESS_NOT_SUPPORTED, ""},
    {"05 01 00 00", SOCKS_ADDRESS_NOT_SUPPORTED, ""},
    {"05 02 00 01 cb007107 01bb", SOCKS_COMMAND_NOT_SUPPORTED, "203.0.113.7"},
    {"05 03 00 03 01 61 01bb", SOCKS_COMMAND_NOT_SUPPORTED, "a"},
    {"05 01 00 01 cb007107 0000", SOCKS_FAILURE, ""},
    {"05 01 00 03 00 01bb", SOCKS_FAILURE, ""},
    {"05 01 00 03 03 610062 01bb", SOCKS_FAILURE, ""},
    {"05 01 00 03 03 612f62 01bb", SOCKS_FAILURE, ""},
    {"05 01 00 03 04 613a3830 01bb", SOCKS_FAILURE, ""},
    {"05 01 00 03 03 610a62 01bb", SOCKS_FAILURE, ""},
};

static void what_is_no_destination(void **state)
{
    (void)state;
    static struct blob b;
    for (size_t i = 0; i < N_OF(bad); i++) {
        struct target t;
        enum socks_reply reply;
        const char *why = NULL;
        size_t used;
        b.n = 0;
        blob_hex(&b, bad[i].hex);
        assert_int_equal(socks_parse_request(b.p, b.n, &used, &t, &reply, &why), SOCKS_BAD);
        assert_int_equal(reply, bad[i].reply);
        assert_string_equal(t.host, bad[i].host);
        assert_non_null(why);
    }
}

/* 255 bytes are the longest name in a request, 253 the longest of DNS. */
static void the_longest_name(void **state)
{
    (void)state;
    static struct blob b;
    for (size_t size = 252; size <= 255; size++) {
        struct target t;
        enum socks_reply reply;
        const char *why;
        size_t used;
        b.n = 0;
        blob_hex(&b, "05 01 00 03");
        blob_number(&b, (uint32_t)size, 1);
        for (size_t i = 0; i < size; i++) blob_number(&b, i % 60 == 59 ? '.' : 'a', 1);
        blob_hex(&b, "01bb");
        enum socks_status status = socks_parse_request(b.p, b.n, &used, &t, &reply, &why);
        assert_int_equal(status, size <= 253 ? SOCKS_OK : SOCKS_BAD);
    }
}

static void answers(void **state)
{
    (void)state;
    uint8_t choice[SOCKS_CHOICE_SIZE], reply[SOCKS_REPLY_SIZE];
    socks_write_choice(SOCKS_WITHOUT, choice);
    assert_memory_equal(choice, "\5\0", 2);
    socks_write_choice(SOCKS_NO_METHOD, choice);
    assert_memory_equal(choice, "\5\xff", 2);
    socks_write_reply(SOCKS_REFUSED, reply);
    assert_memory_equal(reply, "\5\5\0\1\0\0\0\0\0\0", 10);
}

static void logins(void **state)
{
    (void)state;
    static const char longest[] = "0123456789012345678901234567890123456789";
    uint8_t login[SOCKS_LOGIN_SIZE];
    size_t n = socks_write_login("ada", longest, login), used;
    struct span user, password;
    for (size_t k = 0; k < n; k++) {
        uint8_t *part = exact(login, k);
        assert_int_equal(socks_parse_login(part, k, &used, &user, &password), SOCKS_MORE);
        free(part);
    }
    assert_int_equal(socks_parse_login(login, n + 1, &used, &user, &password), SOCKS_OK);
    assert_int_equal(used, n);
    assert_int_equal(user.n, 3);
    assert_memory_equal(user.p, "ada", 3);
    assert_int_equal(password.n, strlen(longest));
    assert_memory_equal(password.p, longest, password.n);
    login[0] = 5;
    assert_int_equal(socks_parse_login(login, n, &used, &user, &password), SOCKS_BAD);
}

static const char *const hosts[] = {"203.0.113.7", "2001:db8::1", "gate.example", "a"};

static void requests_of_a_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(hosts); i++) {
        struct target t = {.port = 4711}, again;
        struct addr a;
        uint8_t request[SOCKS_REQUEST_SIZE];
        size_t used;
        enum socks_reply reply;
        const char *why;
        snprintf(t.host, sizeof t.host, "%s", hosts[i]);
        t.is_ip = addr_from_ip(hosts[i], 0, &a);
        size_t n = socks_write_request(&t, request);
        assert_int_equal(socks_parse_request(request, n, &used, &again, &reply, &why), SOCKS_OK);
        assert_int_equal(used, n);
        assert_string_equal(again.host, t.host);
        assert_int_equal(again.port, t.port);
        assert_int_equal(again.is_ip, t.is_ip);
    }
}

static const struct {
    const char *hex;
    enum socks_status status;
    uint8_t reply;
} replies[] = {
    {"05 00 00 01 00000000 0000", SOCKS_OK, 0},
    {"05 00 00 04 00000000000000000000000000000000 0000", SOCKS_OK, 0},
    {"05 00 00 03 03 612e62 01bb", SOCKS_OK, 0},
    {"05 00 00 02", SOCKS_BAD, 0},
    {"04 00", SOCKS_BAD, 0},
    {"48 54", SOCKS_BAD, 0},
    {"05 02", SOCKS_OK, 2},
    {"05 ff", SOCKS_OK, 255},
};

static void answers_to_a_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(replies); i++) {
        struct blob b = {.n = 0};
        size_t used = 0;
        uint8_t reply = 99;
        blob_hex(&b, replies[i].hex);
        for (size_t n = 0; n < b.n && replies[i].status == SOCKS_OK; n++) {
            uint8_t *part = exact(b.p, n);
            assert_int_equal(socks_parse_reply(part, n, &used, &reply), SOCKS_MORE);
            free(part);
        }
        assert_int_equal(socks_parse_reply(b.p, b.n, &used, &reply), replies[i].status);
        if (replies[i].status != SOCKS_OK) continue;
        assert_int_equal(used, b.n);
        assert_int_equal(reply, replies[i].reply);
    }
    static const uint8_t pairs[] = {5, 2, 1, 0, 1, 1, 4, 0};
    uint8_t method;
    size_t used;
    bool accepted;
    assert_int_equal(socks_parse_choice(pairs, 1, &used, &method), SOCKS_MORE);
    assert_int_equal(socks_parse_choice(pairs, 2, &used, &method), SOCKS_OK);
    assert_int_equal(method, SOCKS_LOGIN);
    assert_int_equal(socks_parse_choice(pairs + 6, 2, &used, &method), SOCKS_BAD);
    assert_int_equal(socks_parse_login_answer(pairs + 2, 2, &used, &accepted), SOCKS_OK);
    assert_true(accepted);
    assert_int_equal(socks_parse_login_answer(pairs + 4, 2, &used, &accepted), SOCKS_OK);
    assert_false(accepted);
    assert_int_equal(socks_parse_login_answer(pairs, 2, &used, &accepted), SOCKS_BAD);
    assert_string_equal(socks_reply_name(SOCKS_REFUSED), "connection refused");
    assert_null(socks_reply_name(9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logins),
        cmocka_unit_test(requests_of_a_client),
        cmocka_unit_test(answers_to_a_client),
        cmocka_unit_test(what_a_client_offers),
        cmocka_unit_test(where_a_client_wants_to_go),
        cmocka_unit_test(what_is_no_destination),
        cmocka_unit_test(the_longest_name),
        cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests_name("socks", tests, NULL, NULL);
}
