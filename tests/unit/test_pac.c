/* The text of /proxy.pac. What it does is tested in functional/test_pac.py. */
#include "helper.h"

#include "page/pac.h"

static char *render(const char *const *proxies, size_t proxy_count, const char *const *patterns,
                    size_t n)
{
    struct text out = {0};
    struct pattern only[8];
    assert_true(n <= N_OF(only));
    for (size_t i = 0; i < n; i++) assert_true(pattern_from_text(patterns[i], &only[i]));
    pac_render(proxies, proxy_count, only, n, &out);
    char *all = text_take(&out);
    assert_non_null(all);
    return all;
}

/* The decision is the text's end; all before it is the same for every configuration. */
static void decides(const char *const *proxies, size_t proxy_count, const char *const *patterns,
                    size_t n, const char *decision)
{
    char *all = render(proxies, proxy_count, patterns, n);
    const char *end = strstr(all, "  var proxied = ");
    assert_non_null(end);
    assert_string_equal(end, decision);
    free(all);
}

static void what_is_proxied(void **state)
{
    (void)state;
    static const char *const proxy[] = {"10.0.0.5:8080"};
    static const struct {
        const char *pattern, *condition;
    } table[] = {
        {"*", "true"},
        {"*:443", "true && (port >= 443 && port <= 443)"},
        {"*:*", "true"},
        {"CRM.example", "host == \"crm.example\""},
        {"*.Example.com", "below(host, \"example.com\")"},
        {"*.example.com:1-5,7", "below(host, \"example.com\") && (port >= 1 && port <= 5 || "
                                "port >= 7 && port <= 7)"},
        {"10.1.2.3", "within(host, \"10.1.2.3\", 32)"},
        {"10.0.0.0/8:443", "within(host, \"10.0.0.0\", 8) && (port >= 443 && port <= 443)"},
        {"0.0.0.0/0", "within(host, \"0.0.0.0\", 0)"},
        {"[2001:DB8::]/32", "within(host, \"2001:db8::\", 32)"},
        {"[::ffff:10.0.0.0]/104", "within(host, \"10.0.0.0\", 8)"},
        {"[::1.2.3.4]", "within(host, \"::1.2.3.4\", 128)"},
        {"a_b.example", "host == \"a_b.example\""},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        char decision[256];
        snprintf(decision, sizeof decision,
                 "  var proxied = (%s);\n"
                 "  return proxied ? \"PROXY 10.0.0.5:8080\" : \"DIRECT\";\n}\n",
                 table[i].condition);
        decides(proxy, 1, &table[i].pattern, 1, decision);
    }
}

static void several_patterns_and_proxies(void **state)
{
    (void)state;
    static const char *const proxies[] = {"a.example:1", "[::1]:2"};
    static const char *const patterns[] = {"a.test", "*.b.test:443"};
    decides(proxies, 2, patterns, 2,
            "  var proxied = (host == \"a.test\") ||\n"
            "      (below(host, \"b.test\") && (port >= 443 && port <= 443));\n"
            "  return proxied ? \"PROXY a.example:1; PROXY [::1]:2\" : \"DIRECT\";\n}\n");
}

static void without_patterns_everything(void **state)
{
    (void)state;
    static const char *const proxy[] = {"a.example:1"};
    decides(proxy, 1, NULL, 0,
            "  var proxied = true;\n"
            "  return proxied ? \"PROXY a.example:1\" : \"DIRECT\";\n}\n");
}

static void without_proxies_nothing(void **state)
{
    (void)state;
    static const char *const pattern[] = {"a.test"};
    decides(NULL, 0, NULL, 0,
            "  var proxied = true;\n  return proxied ? \"DIRECT\" : \"DIRECT\";\n}\n");
    decides(NULL, 0, pattern, 1,
            "  var proxied = (host == \"a.test\");\n"
            "  return proxied ? \"DIRECT\" : \"DIRECT\";\n}\n");
}

/* Only helpers that ask nobody, and nothing that old engines lack. */
static void asks_nobody(void **state)
{
    (void)state;
    static const char *const never[] = {"isInNet", "dnsResolve", "isResolvable", "myIpAddress",
                                        "alert",   "=>",         "let ",         "const ",
                                        "`",       "includes(",  "endsWith(",    "SOCKS"};
    char *all = render(NULL, 0, NULL, 0);
    for (size_t i = 0; i < N_OF(never); i++)
        if (strstr(all, never[i])) fail_msg("%s", never[i]);
    for (const char *c = all; *c; c++) assert_true(*c == '\n' || (*c >= ' ' && *c < 0x7f));
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_proxied),
        cmocka_unit_test(several_patterns_and_proxies),
        cmocka_unit_test(without_patterns_everything),
        cmocka_unit_test(without_proxies_nothing),
        cmocka_unit_test(asks_nobody),
    };
    return cmocka_run_group_tests_name("pac", tests, NULL, NULL);
}
