/* Addresses, their text, and ranges. */
#include "helper.h"

#include "base/addr.h"

static const struct {
    const char *text, *printed; /* NULL: as given */
} good[] = {
    {"203.0.113.7:8080", NULL},
    {"0.0.0.0:0", NULL},
    {"255.255.255.255:65535", NULL},
    {"[2001:db8::1]:8080", NULL},
    {"[::]:0", NULL},
    {"[::1]:1", NULL},
    {"[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]:443"},
    {"[::ffff:203.0.113.7]:80", "203.0.113.7:80"},
    {"127.0.0.1:00080", "127.0.0.1:80"},
};
static const char *const bad[] = {
    "",
    ":",
    ":80",
    "[]:80",
    "1.2.3.4",
    "1.2.3.4:",
    "1.2.3.4:65536",
    "1.2.3.4:-1",
    "1.2.3.4:x",
    "1.2.3:80",
    "1.2.3.4.5:80",
    "1.2.3.256:80",
    "01.2.3.4:80",
    "::1:80",
    "2001:db8::1:80",
    "[1.2.3.4]:80",
    "[::1]",
    "[::1]80",
    "[::1",
    "::1]:80",
    "[::1%lo]:80",
    "[::g]:80",
    "name:80",
    "localhost:80",
    "1.2.3.4 :80",
    " 1.2.3.4:80",
    "1.2.3.4: 80",
    "[1111:2222:3333:4444:5555:6666:7777:8888:9999]:80",
    "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80",
};

static void texts(void **state)
{
    (void)state;
    struct addr a;
    char out[ADDR_TEXT_SIZE];
    for (size_t i = 0; i < N_OF(good); i++) {
        if (!addr_from_text(good[i].text, &a)) fail_msg("%s is refused", good[i].text);
        addr_format(&a, out);
        assert_string_equal(out, good[i].printed ? good[i].printed : good[i].text);
    }
    for (size_t i = 0; i < N_OF(bad); i++)
        if (addr_from_text(bad[i], &a)) fail_msg("%s is accepted", bad[i]);
}

static void parts(void **state)
{
    (void)state;
    struct addr a, b;
    uint8_t bytes[16];
    char out[ADDR_TEXT_SIZE];
    assert_true(addr_from_ip("203.0.113.7", 443, &a));
    assert_int_equal(addr_port(&a), 443);
    assert_int_equal(a.length, sizeof a.v4);
    assert_int_equal(addr_bytes(&a, bytes), 4);
    assert_memory_equal(bytes, "\xcb\x00\x71\x07", 4);
    addr_format(&a, out);
    assert_string_equal(out, "203.0.113.7:443");
    addr_format_ip(&a, out);
    assert_string_equal(out, "203.0.113.7");
    assert_true(addr_from_ip("2001:db8::1", 8080, &b));
    assert_int_equal(b.length, sizeof b.v6);
    assert_int_equal(addr_bytes(&b, bytes), 16);
    addr_format(&b, out);
    assert_string_equal(out, "[2001:db8::1]:8080");
    assert_false(addr_same_ip(&a, &b));
    struct addr copy = addr_from_sockaddr(&b.sa, b.length);
    assert_true(addr_same_ip(&b, &copy));
    assert_int_equal(addr_port(&copy), 8080);
    struct sockaddr other = {.sa_family = AF_UNIX};
    copy = addr_from_sockaddr(&other, sizeof other);
    assert_int_equal(copy.length, 0);
    addr_format_ip(&copy, out);
    assert_string_equal(out, "-");
    assert_int_equal(addr_from_sockaddr(&b.sa, 4).length, 0);
    assert_false(addr_from_ip("", 1, &a));
    assert_false(addr_from_ip("gate.example", 1, &a));
    assert_false(addr_from_ip("[::1]", 1, &a));
}

static void kinds(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        bool loopback, unspecified;
    } rows[] = {
        {"127.0.0.1", true, false},      {"127.255.255.254", true, false},
        {"128.0.0.1", false, false},     {"::1", true, false},
        {"::2", false, false},           {"::ffff:127.0.0.1", true, false},
        {"0.0.0.0", false, true},        {"::", false, true},
        {"::ffff:0.0.0.0", false, true}, {"0.0.0.1", false, false},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct addr a;
        assert_true(addr_from_ip(rows[i].ip, 1, &a));
        if (addr_is_loopback(&a) != rows[i].loopback ||
            addr_is_unspecified(&a) != rows[i].unspecified)
            fail_msg("%s", rows[i].ip);
    }
    struct addr plain, mapped;
    assert_true(addr_from_ip("10.1.2.3", 1, &plain));
    assert_true(addr_from_ip("::ffff:10.1.2.3", 2, &mapped));
    assert_true(addr_same_ip(&plain, &mapped));
}

static void special_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *ip, *kind;
    } rows[] = {
        {"127.0.0.1", "loopback"},
        {"127.255.255.255", "loopback"},
        {"::1", "loopback"},
        {"::ffff:127.0.0.1", "loopback"},
        {"::127.0.0.1", "loopback"},
        {"64:ff9b::7f00:1", "loopback"},
        {"2002:7f00:1::1", "loopback"},
        {"169.254.169.254", "link-local"},
        {"fe80::1", "link-local"},
        {"febf::1", "link-local"},
        {"64:ff9b::a9fe:a9fe", "link-local"},
        {"64:ff9b:1::7f00:1", "loopback"},
        {"::ffff:0:127.0.0.1", "loopback"},
        {"224.0.0.1", "multicast"},
        {"239.255.255.255", "multicast"},
        {"ff02::1", "multicast"},
        {"255.255.255.255", "broadcast"},
        {"0.0.0.0", "unspecified"},
        {"0.1.2.3", "unspecified"},
        {"::", "unspecified"},
        {"2002::1", "unspecified"},
        {"10.0.0.1", NULL},
        {"169.253.0.1", NULL},
        {"169.255.0.1", NULL},
        {"223.255.255.255", NULL},
        {"240.0.0.1", NULL},
        {"128.0.0.1", NULL},
        {"fec0::1", NULL},
        {"fe7f::1", NULL},
        {"fd00::1", NULL},
        {"2001:db8::1", NULL},
        {"2002:a00:1::1", NULL},
        {"2003:7f00:1::1", NULL},
        {"64:ff9b::a00:1", NULL},
        {"64:ff9b:0:1::7f00:1", NULL},
        {"64:ff9b:1::a00:1", NULL},
        {"::ffff:0:10.0.0.1", NULL},
        {"::10.0.0.1", NULL},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct addr a;
        assert_true(addr_from_ip(rows[i].ip, 1, &a));
        const char *kind = addr_special_kind(&a);
        if ((kind == NULL) != (rows[i].kind == NULL) || (kind && strcmp(kind, rows[i].kind) != 0))
            fail_msg("%s: %s", rows[i].ip, kind ? kind : "none");
    }
}

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *ip;
        bool contains;
    } rows[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"10.0.0.0/9", "10.127.0.1", true},
        {"10.0.0.0/9", "10.128.0.1", false},
        {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.3", "10.1.2.2", false},
        {"10.1.2.2/31", "10.1.2.3", true},
        {"10.1.2.2/31", "10.1.2.4", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "10.0.0.1", false},
        {"::1/128", "::1", true},
        {"::1/128", "::2", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"10.0.0.0/8", "::ffff:10.1.1.1", true},
        {"10.9.9.9/8", "10.0.0.1", true},
        {"fe80::/10", "febf::1", true},
        {"fe80::/10", "fec0::1", false},
    };
    static const char *const bad_ranges[] = {
        "",         "/8",          "10.0.0.0/", "10.0.0.0/33",       "10.0.0.0/a",
        "10.0.0/8", "::/129",      "::/-1",     "10.0.0.0/8/9",      "[::1]/128",
        "a.test/8", "10.0.0.0 /8", "*",         "10.0.0.0/255.0.0.0"};
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct cidr c;
        struct addr a;
        if (!cidr_from_text(rows[i].range, &c)) fail_msg("%s is refused", rows[i].range);
        assert_true(addr_from_ip(rows[i].ip, 1, &a));
        if (cidr_contains(&c, &a) != rows[i].contains)
            fail_msg("%s and %s", rows[i].range, rows[i].ip);
    }
    for (size_t i = 0; i < N_OF(bad_ranges); i++) {
        struct cidr c;
        if (cidr_from_text(bad_ranges[i], &c)) fail_msg("%s is accepted", bad_ranges[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),         cmocka_unit_test(parts),  cmocka_unit_test(kinds),
        cmocka_unit_test(special_kinds), cmocka_unit_test(ranges),
    };
    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
