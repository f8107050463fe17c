/* net/hosts, and net/names in a memory file. */
#include "helper.h"

#include "net/names.h"

#include <unistd.h>

static void expect(const struct hosts *h, const char *name, const char *addresses)
{
    struct addr found[8];
    char all[512] = "", one[ADDR_TEXT_SIZE];
    size_t n = hosts_find(h, name, 443, found, COUNT_OF(found)), at = 0;
    for (size_t i = 0; i < n; i++) {
        addr_format(&found[i], one);
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? " " : "", one);
    }
    assert_string_equal(all, addresses);
}

static struct hosts *read_hosts(const char *text)
{
    struct hosts *h = hosts_read(text, strlen(text));
    assert_non_null(h);
    return h;
}

static void test_lines(void **state)
{
    (void)state;
    struct hosts *h = read_hosts("127.0.0.1 localhost Local\n"
                                 "::1\t localhost\tip6\t# 127.0.0.9 never\n"
                                 "#127.0.0.2 never\n"
                                 "127.0.0.300 never\n"
                                 "never 127.0.0.1\n"
                                 "127.0.0.3\n"
                                 "\n"
                                 "  127.0.0.4   indented \r\n"
                                 "127.0.0.5 last");
    expect(h, "localhost", "127.0.0.1:443 [::1]:443");
    expect(h, "LOCALHOST", "127.0.0.1:443 [::1]:443");
    expect(h, "local", "127.0.0.1:443");
    expect(h, "ip6", "[::1]:443");
    expect(h, "never", "");
    expect(h, "indented", "127.0.0.4:443");
    expect(h, "last", "127.0.0.5:443");
    expect(h, "", "");
    expect(h, "127.0.0.3", "");
    hosts_free(h);
    h = read_hosts("");
    expect(h, "localhost", "");
    hosts_free(h);
}

static void test_room_and_order(void **state)
{
    (void)state;
    struct text t = {0};
    struct addr found[4];
    for (unsigned i = 0; i < 200; i++)
        text_printf(&t, "10.0.%u.1 many name%u\n10.0.%u.1 many\n", i, 199 - i, i);
    struct hosts *h = hosts_read(text_string(&t), t.size);
    assert_non_null(h);
    assert_int_equal(hosts_find(h, "many", 1, found, COUNT_OF(found)), COUNT_OF(found));
    for (unsigned i = 0; i < COUNT_OF(found); i++) {
        char text[ADDR_TEXT_SIZE], wanted[32];
        addr_format(&found[i], text);
        snprintf(wanted, sizeof wanted, "10.0.%u.1:1", i);
        assert_string_equal(text, wanted);
    }
    for (unsigned i = 0; i < 200; i++) {
        char name[16], wanted[32];
        snprintf(name, sizeof name, "name%u", i);
        snprintf(wanted, sizeof wanted, "10.0.%u.1:443", 199 - i);
        expect(h, name, wanted);
    }
    hosts_free(h);
    text_fini(&t);
}

static void test_names_are_handed_over(void **state)
{
    (void)state;
    struct names *system = names_use(), *again = names_use();
    assert_non_null(system);
    assert_ptr_equal(system, again);
    char first[] = "one.test", second[] = "two.test", servers[] = "192.0.2.1:53,[2001:db8::1]:54";
    char order[] = "bf", *domains[] = {first, second};
    static char hosts[] = "127.0.0.8 given\n";
    struct names mine = {.servers = servers,
                         .order = order,
                         .dots = 3,
                         .rotate = true,
                         .domains = domains,
                         .domain_count = 2,
                         .hosts_file = {hosts, sizeof hosts - 1, sizeof hosts, false}};
    int fd = names_seal(&mine);
    assert_true(fd >= 0);
    assert_true(names_give(fd));
    close(fd);
    struct names *given = names_use();
    assert_ptr_not_equal(given, system);
    assert_string_equal(given->servers, servers);
    assert_string_equal(given->order, "bf");
    assert_int_equal(given->dots, 3);
    assert_true(given->rotate);
    assert_int_equal(given->domain_count, 2);
    assert_string_equal(given->domains[1], "two.test");
    expect(given->hosts, "given", "127.0.0.8:443");
    assert_false(names_give(STDIN_FILENO)); /* what was given stays */
    struct names *still = names_use();
    assert_ptr_equal(still, given);
    names_release(system);
    names_release(again);
    names_release(given);
    names_release(still);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_room_and_order),
        cmocka_unit_test(test_names_are_handed_over),
    };
    return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
