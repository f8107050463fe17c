/* config/lists: with and without an index, a look-up has the same answer. */
#include "helper.h"

#include "config/lists.h"

static uint32_t seed = 1;

static uint32_t number(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

/* Few distinct labels, octets and lengths, so that many entries and look-ups meet. */
static void random_ip(bool v6, char out[64])
{
    if (v6)
        snprintf(out, 64, "2001:db8:%x::%x", number(3), number(4));
    else
        snprintf(out, 64, "10.%u.%u.%u", number(3), number(3), number(4));
}

static void random_name(char out[64])
{
    static const char *const labels[] = {"a", "b", "example", "test"};
    size_t n = 0, count = 1 + number(4);
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(out + n, 64 - n, "%s%s", i ? "." : "", labels[number(4)]);
}

static void random_pattern(char out[128])
{
    static const char *const ports[] = {"", ":443", ":443,8443", ":1-500", ":*"};
    char host[64];
    const char *port = ports[number(N_OF(ports))];
    switch (number(8)) {
    case 0:
        snprintf(out, 128, "*%s", number(20) ? ":1" : port);
        break;
    case 1:
    case 2:
        random_ip(false, host);
        snprintf(out, 128, "%s/%u%s", host, number(33), port);
        break;
    case 3:
        random_ip(true, host);
        snprintf(out, 128, "[%s]/%u%s", host, number(129), port);
        break;
    case 4:
    case 5:
        random_name(host);
        snprintf(out, 128, "*.%s%s", host, port);
        break;
    default:
        random_name(host);
        snprintf(out, 128, "%s%s", host, port);
    }
}

static struct target random_target(void)
{
    static const uint16_t ports[] = {1, 443, 8443, 501};
    struct target t = {.port = ports[number(4)], .is_ip = number(2)};
    char host[64];
    if (t.is_ip)
        random_ip(number(2), host);
    else
        random_name(host);
    snprintf(t.host, sizeof t.host, "%s", host);
    return t;
}

static void patterns(void **state)
{
    (void)state;
    size_t found = 0, missing = 0;
    for (size_t size = 1; size < 200; size += size < 40 ? 1 : 20) {
        struct pattern_list list = {0};
        for (size_t i = 0; i < size; i++) {
            char text[128];
            struct pattern p;
            random_pattern(text);
            assert_true(pattern_from_text(text, &p));
            assert_true(list_add_pattern(&list, &p));
        }
        assert_true(list_index_patterns(&list));
        assert_int_equal(list.index.heads != NULL, size > 16);
        for (int i = 0; i < 400; i++) {
            struct target t = random_target();
            for (unsigned named = 0; named < 2; named++) {
                bool expected = false;
                for (size_t k = 0; k < size; k++)
                    expected |=
                        !(named && list.items[k].any) && pattern_matches(&list.items[k], &t);
                assert_int_equal(list_has_target(&list, &t, named), expected);
                found += expected;
                missing += !expected;
            }
        }
        list_free_patterns(&list);
    }
    assert_true(found > 1000 && missing > 1000);
}

static void addresses(void **state)
{
    (void)state;
    size_t found = 0, missing = 0;
    for (size_t size = 0; size < 200; size += size < 40 ? 1 : 20) {
        struct cidr_list list = {0};
        for (size_t i = 0; i < size; i++) {
            char ip[64], text[80];
            bool v6 = number(2);
            struct cidr range;
            random_ip(v6, ip);
            snprintf(text, sizeof text, "%s/%u", ip, (v6 ? 40 : 8) + number(v6 ? 89 : 25));
            assert_true(cidr_from_text(text, &range));
            assert_true(list_add_cidr(&list, &range));
        }
        assert_true(list_index_cidrs(&list));
        for (int i = 0; i < 400; i++) {
            char ip[64];
            struct addr a;
            random_ip(number(2), ip);
            assert_true(addr_from_ip(ip, 1, &a));
            bool expected = false;
            for (size_t k = 0; k < size; k++) expected |= cidr_contains(&list.items[k], &a);
            assert_int_equal(list_has_address(&list, &a), expected);
            found += expected;
            missing += !expected;
        }
        list_free_cidrs(&list);
    }
    assert_true(found > 1000 && missing > 1000);
}

static void mapped_addresses_count_as_ipv4(void **state)
{
    (void)state;
    struct cidr_list list = {0};
    struct cidr range;
    struct addr a;
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%d.0/24", i);
        assert_true(cidr_from_text(text, &range));
        assert_true(list_add_cidr(&list, &range));
    }
    assert_true(list_index_cidrs(&list));
    assert_true(addr_from_ip("::ffff:10.0.7.9", 1, &a));
    assert_true(list_has_address(&list, &a));
    assert_true(addr_from_ip("::ffff:10.0.20.9", 1, &a));
    assert_false(list_has_address(&list, &a));
    list_free_cidrs(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),
        cmocka_unit_test(addresses),
        cmocka_unit_test(mapped_addresses_count_as_ipv4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
