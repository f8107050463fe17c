/* The publish listener's page: its places are filled, and all it is told is only text. */
#include "helper.h"

#include "page/trust_page.h"

static const char *const usual_proxies[] = {"proxy.example:8080", "[2001:db8::5]:8081"};
static const struct trust_page usual = {.subject = "CN=suitegate",
                                        .fingerprint = "AB:CD",
                                        .expires = "2036-01-01T00:00:00Z",
                                        .site = "http://10.0.0.5:8480",
                                        .proxies = usual_proxies,
                                        .proxy_count = 2};

static char *render(const struct trust_page *page)
{
    struct text out = {0};
    trust_page_render(page, &out);
    char *all = text_take(&out);
    assert_non_null(all);
    return all;
}

static void shows(const char *all, const char *part)
{
    if (!strstr(all, part)) fail_msg("no %s in %s", part, all);
}

static void lacks(const char *all, const char *part)
{
    if (strstr(all, part)) fail_msg("%s in %s", part, all);
}

static void places_are_filled(void **state)
{
    (void)state;
    char *all = render(&usual);
    shows(all, "<dd>CN=suitegate</dd>");
    shows(all, "<dd>AB:CD</dd>");
    shows(all, "<dd>2036-01-01T00:00:00Z</dd>");
    shows(all, "<dt>Proxy</dt><dd>proxy.example:8080</dd>");
    shows(all, "<dt>Proxy</dt><dd>[2001:db8::5]:8081</dd>");
    shows(all, "curl -o /tmp/suitegate.pem http://10.0.0.5:8480/ca.pem\n");
    shows(all, "the setup script is http://10.0.0.5:8480/proxy.pac.");
    shows(all, "proxy-server=&quot;https=proxy.example:8080&quot;");
    shows(all, "export https_proxy=http://proxy.example:8080");
    shows(all, "-Dhttps.proxyHost=proxy.example -Dhttps.proxyPort=8080");
    static const char *const places[] = {"%SITE%", "%PROXY%", "%HOST%", "%PORT%"};
    for (size_t i = 0; i < N_OF(places); i++) lacks(all, places[i]);
    free(all);
}

/* Windows has variables between the same signs; a share sign is only text, too. */
static void other_percent_signs_stay(void **state)
{
    (void)state;
    char *all = render(&usual);
    shows(all, "curl -o %TEMP%\\suitegate.crt http://10.0.0.5:8480/ca.crt\n");
    shows(all, "certutil -addstore -f Root %TEMP%\\suitegate.crt</pre>");
    free(all);
}

/* A value is not read again for places. */
static void a_value_with_a_place_stays(void **state)
{
    (void)state;
    struct trust_page page = usual;
    static const char *const proxies[] = {"%SITE%:1"};
    page.site = "http://%PROXY%";
    page.proxies = proxies;
    page.proxy_count = 1;
    char *all = render(&page);
    shows(all, "curl -o /tmp/suitegate.pem http://%PROXY%/ca.pem\n");
    shows(all, "export https_proxy=http://%SITE%:1");
    shows(all, "-Dhttps.proxyHost=%SITE% -Dhttps.proxyPort=1");
    free(all);
}

static void everything_is_only_text(void **state)
{
    (void)state;
    static const char *const hostile[] = {"<script>alert(1)</script>\"&'"};
    const struct trust_page page = {.subject = hostile[0],
                                    .fingerprint = hostile[0],
                                    .expires = hostile[0],
                                    .site = hostile[0],
                                    .proxies = hostile,
                                    .proxy_count = 1};
    char *all = render(&page);
    lacks(all, "<script");
    lacks(all, "\"&'");
    size_t shown = 0;
    static const char escaped[] = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp;'";
    for (const char *at = all; (at = strstr(at, escaped)) != NULL; at++) shown++;
    assert_true(shown >= 10);
    free(all);
}

/* The platforms' own words need escapes, too. */
static void words_are_escaped(void **state)
{
    (void)state;
    char *all = render(&usual);
    shows(all, "Settings, Privacy &amp; Security");
    for (const char *at = all; (at = strchr(at, '&')) != NULL; at++)
        assert_true(strncmp(at, "&amp;", 5) == 0 || strncmp(at, "&quot;", 6) == 0 ||
                    strncmp(at, "&lt;", 4) == 0 || strncmp(at, "&gt;", 4) == 0);
    free(all);
}

static void without_a_proxy_only_the_ca(void **state)
{
    (void)state;
    struct trust_page page = usual;
    page.proxies = NULL;
    page.proxy_count = 0;
    char *all = render(&page);
    shows(all, "Trust the CA");
    lacks(all, "Use the proxy");
    lacks(all, "<dt>Proxy</dt>");
    free(all);
}

static void elements_are_closed(void **state)
{
    (void)state;
    static const char *const elements[] = {"html", "head", "body", "main", "dl", "ul", "li",
                                           "p",    "pre",  "h2",   "h3",   "dt", "dd", "strong"};
    char *all = render(&usual);
    for (size_t i = 0; i < N_OF(elements); i++) {
        char open[16], close[16];
        int count = 0;
        snprintf(open, sizeof open, "<%s", elements[i]);
        snprintf(close, sizeof close, "</%s>", elements[i]);
        for (const char *at = all; (at = strstr(at, open)) != NULL; at++)
            count += at[strlen(open)] == '>' || at[strlen(open)] == ' ';
        for (const char *at = all; (at = strstr(at, close)) != NULL; at++) count--;
        if (count) fail_msg("%s: %d", elements[i], count);
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_filled),          cmocka_unit_test(other_percent_signs_stay),
        cmocka_unit_test(a_value_with_a_place_stays), cmocka_unit_test(everything_is_only_text),
        cmocka_unit_test(words_are_escaped),          cmocka_unit_test(without_a_proxy_only_the_ca),
        cmocka_unit_test(elements_are_closed),
    };
    return cmocka_run_group_tests_name("trust_page", tests, NULL, NULL);
}
