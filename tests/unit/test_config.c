/* The configuration: defaults, every kind of value, and every error with file and line. */
#include "helper.h"

#include "config/config.h"

#include <unistd.h>

#define LISTEN "[listen a]\ntype = forward\naddress = 127.0.0.1:8080\n"

static struct config *parse(const char *text, struct text *errors)
{
    size_t n = strlen(text);
    char *copy = (char *)exact((const uint8_t *)text, n);
    struct config *c = config_parse(copy, n, "etc/gate.ini", errors);
    free(copy);
    return c;
}

static struct config *parse_good(const char *text)
{
    struct text errors = {0};
    struct config *c = parse(text, &errors);
    if (!c) fail_msg("%s", text_string(&errors));
    assert_int_equal(errors.size, 0);
    text_fini(&errors);
    return c;
}

static void defaults(void **state)
{
    (void)state;
    struct config *c = parse_good(LISTEN);
    assert_true(c->proxy.workers > 0);
    assert_int_equal(c->proxy.max_connections, 8000);
    assert_int_equal(c->proxy.per_source.connections, 4000);
    assert_int_equal(c->proxy.per_source.handshakes, 200);
    assert_int_equal(c->proxy.hello_max_size, 80 * 1024);
    assert_int_equal(c->proxy.hello_timeout, 10000);
    assert_int_equal(c->proxy.handshake_timeout, 10000);
    assert_int_equal(c->proxy.connect_timeout, 10000);
    assert_int_equal(c->proxy.idle_timeout, 3600000);
    assert_int_equal(c->listeners[0].idle_timeout, 3600000);
    assert_int_equal(c->proxy.drain_timeout, 30000);
    assert_int_equal(c->policy.profile, PROFILE_2021);
    assert_int_equal(c->policy.allowed, 0xff);
    assert_int_equal(c->policy.minimum_rsa_bits, 2048);
    assert_false(c->policy.allow_server_name_mismatch);
    assert_string_equal(c->ca.certificate, "etc/ca.pem");
    assert_string_equal(c->ca.key, "etc/ca.key");
    assert_null(c->ca.crl_url);
    assert_string_equal(c->upstream.trust, "system");
    assert_null(c->upstream.crl);
    assert_true(c->upstream.resume);
    assert_string_equal(c->audit.file, "-");
    assert_int_equal(c->listener_count, 1);
    assert_string_equal(c->listeners[0].name, "a");
    assert_int_equal(c->listeners[0].type, LISTEN_FORWARD);
    assert_true(config_needs_ca(c));
    config_free(c);
}

static const char everything[] = "\xef\xbb\xbf; a comment\n"
                                 "# another\n"
                                 "\n"
                                 "[proxy]\n"
                                 "workers = 3\n"
                                 "max_connections=17   ; behind a value\n"
                                 "max_connections_per_source = 9\n"
                                 "max_handshakes_per_source = 30/s\n"
                                 "hello_max_size = 1KiB\n"
                                 "hello_timeout = 250ms\n"
                                 "handshake_timeout = 5m\r\n"
                                 "connect_timeout = 1h\n"
                                 "idle_timeout = 168h\n"
                                 "drain_timeout = 1ms\n"
                                 "[policy]\n"
                                 "profile = 2020\n"
                                 "suite = ECDHE-RSA-AES128-GCM-SHA256\n"
                                 "suite = TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384\n"
                                 "minimum_rsa_bits = 3072\n"
                                 "server_name_mismatch = allow\n"
                                 "[ca]\n"
                                 "certificate = /abs/ca.pem\n"
                                 "key = sub/ca.key\n"
                                 "crl_url = http://gate.example/ca.crl\n"
                                 "[upstream]\n"
                                 "trust = roots.pem\n"
                                 "crl = lists.pem\n"
                                 "resume = no\n"
                                 "[audit]\n"
                                 "file = audit.jsonl\n"
                                 "key = log.key\n"
                                 "sync = record\n"
                                 "copy = -\n"
                                 "copy = copy.jsonl\n"
                                 "syslog = unix:/dev/log\n"
                                 "syslog = tcp:[2001:db8::1]:601\n"
                                 "[listen forward_1]\n"
                                 "type = forward\n"
                                 "address = 0.0.0.0:8080\n"
                                 "allow_clients = 10.0.0.0/8\n"
                                 "allow_clients = ::1\n"
                                 "allow_upstreams = *.example.com:443\n"
                                 "allow_upstreams = [2001:db8::]/32\n"
                                 "[listen front]\n"
                                 "type = fixed\n"
                                 "address = [::1]:8443\n"
                                 "upstream = Gate.Example:443\n"
                                 "upstream_name = Other.Example\n"
                                 "certificate = ec.pem\n"
                                 "key = ec.key\n"
                                 "certificate = rsa.pem\n"
                                 "key = rsa.key\n"
                                 "[listen ip]\n"
                                 "type = fixed\n"
                                 "address = 127.0.0.1:8444\n"
                                 "upstream = [2001:db8::1]:443\n";

static void check_everything(const struct config *c, const char *prefix)
{
    char path[300];
    assert_int_equal(c->proxy.workers, 3);
    assert_int_equal(c->proxy.max_connections, 17);
    assert_int_equal(c->proxy.per_source.connections, 9);
    assert_int_equal(c->proxy.per_source.handshakes, 30);
    assert_int_equal(c->proxy.hello_max_size, 1024);
    assert_int_equal(c->proxy.hello_timeout, 250);
    assert_int_equal(c->proxy.handshake_timeout, 300000);
    assert_int_equal(c->proxy.connect_timeout, 3600000);
    assert_int_equal(c->proxy.idle_timeout, 604800000);
    assert_int_equal(c->proxy.drain_timeout, 1);
    assert_int_equal(c->policy.profile, PROFILE_2020);
    assert_int_equal(c->policy.allowed, 0x84);
    assert_int_equal(c->policy.minimum_rsa_bits, 3072);
    assert_true(c->policy.allow_server_name_mismatch);
    assert_string_equal(c->ca.certificate, "/abs/ca.pem");
    snprintf(path, sizeof path, "%ssub/ca.key", prefix);
    assert_string_equal(c->ca.key, path);
    assert_string_equal(c->ca.crl_url, "http://gate.example/ca.crl");
    snprintf(path, sizeof path, "%saudit.jsonl", prefix);
    assert_string_equal(c->audit.file, path);
    snprintf(path, sizeof path, "%slog.key", prefix);
    assert_string_equal(c->audit.key, path);
    assert_int_equal(c->audit.sync, SYNC_RECORD);
    assert_int_equal(c->audit.copies.n, 2);
    assert_string_equal(c->audit.copies.items[0], "-");
    assert_int_equal(c->audit.syslog.n, 2);
    assert_string_equal(c->audit.syslog.items[1], "tcp:[2001:db8::1]:601");
    assert_false(c->upstream.resume);
    assert_int_equal(c->listener_count, 3);
    const struct listen_config *l = c->listeners;
    assert_int_equal(l[0].allow_clients.n, 2);
    assert_int_equal(l[0].allow_upstreams.n, 2);
    assert_int_equal(l[1].type, LISTEN_FIXED);
    assert_string_equal(l[1].upstream.host, "gate.example");
    assert_string_equal(l[1].upstream_name, "other.example");
    assert_int_equal(l[1].certificates.n, 2);
    snprintf(path, sizeof path, "%srsa.key", prefix);
    assert_string_equal(l[1].keys.items[1], path);
    assert_string_equal(l[2].upstream_name, "2001:db8::1");
    assert_int_equal(l[2].allow_clients.n, 2);
    assert_true(config_needs_ca(c));
}

static void all_options(void **state)
{
    (void)state;
    struct config *c = parse_good(everything);
    check_everything(c, "etc/");
    config_free(c);
}

/* Printed text reads back as the same configuration from any folder: its paths are absolute. */
static void printed(void **state)
{
    (void)state;
    struct text first = {0}, second = {0}, errors = {0};
    char here[200], prefix[220];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(prefix, sizeof prefix, "%s/tests/unit/", here);
    struct config *c =
        config_parse(everything, sizeof everything - 1, "tests/unit/gate.ini", &errors);
    if (!c) fail_msg("%s", text_string(&errors));
    check_everything(c, prefix);
    config_print(c, &first);
    config_free(c);
    c = config_parse(text_string(&first), first.size, "tests/gate.ini", &errors);
    if (!c) fail_msg("%s", text_string(&errors));
    check_everything(c, prefix);
    config_print(c, &second);
    assert_string_equal(text_string(&first), text_string(&second));
    config_free(c);
    text_fini(&first);
    text_fini(&second);
}

/* The text, the line of the error, a part of its message. */
static const struct {
    const char *text;
    unsigned line;
    const char *says;
} bad[] = {
    {"", 0, "no listener"},
    {"[proxy]\nworkers = 2\n", 2, "no listener"},
    {LISTEN "[nonsense]\n", 4, "unknown section: nonsense"},
    {LISTEN "[Proxy]\n", 4, "unknown section"},
    {LISTEN "[]\n", 4, "unknown section"},
    {LISTEN "[listen]\n", 4, "needs a name"},
    {LISTEN "[listen ]\n", 4, "name is 1 to 40"},
    {LISTEN "[listen a b]\n", 4, "name is 1 to 40"},
    {LISTEN "[listen a\"]\n", 4, "name is 1 to 40"},
    {LISTEN "[listen aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", 4, "name is 1 to 40"},
    {LISTEN "[listen a]\ntype = forward\naddress = 127.0.0.1:8081\n", 4, "defined twice"},
    {LISTEN "[proxy]\nworker = 2\n", 5, "unknown option: worker in [proxy]"},
    {LISTEN "[proxy]\nWorkers = 2\n", 5, "unknown option"},
    {LISTEN "[proxy]\nprofile = 2021\n", 5, "unknown option"},
    {LISTEN "bogus = 1\n", 4, "unknown option: bogus in [listen]"},
    {"workers = 2\n" LISTEN, 1, "before any section"},
    {LISTEN "[proxy]\nworkers\n", 5, "not a [section]"},
    {LISTEN "[proxy\n", 4, "not a [section]"},
    {LISTEN "[proxy]\nworkers = 2\nworkers = 2\n", 6, "given twice"},
    {LISTEN "[proxy]\nworkers =\n", 5, "given a value"},
    {LISTEN "[proxy]\nworkers = 0\n", 5, "workers: must be auto or 1 to 256"},
    {LISTEN "[proxy]\nworkers = 257\n", 5, "1 to 256"},
    {LISTEN "[proxy]\nworkers = -1\n", 5, "1 to 256"},
    {LISTEN "[proxy]\nmax_connections = 0\n", 5, "1 to 1000000"},
    {LISTEN "[proxy]\nmax_connections = 1000001\n", 5, "1 to 1000000"},
    {LISTEN "[proxy]\nmax_connections_per_source = half\n", 5, "auto, or 0 (off) to 1000000"},
    {LISTEN "[proxy]\nmax_handshakes_per_source = 200\n", 5, "a rate such as 200/s"},
    {LISTEN "[proxy]\nmax_handshakes_per_source = 1000001/s\n", 5, "a rate"},
    {LISTEN "[proxy]\nhello_max_size = 80\n", 5, "a size with a unit"},
    {LISTEN "[proxy]\nhello_max_size = 129KiB\n", 5, "128KiB"},
    {LISTEN "[proxy]\nhello_max_size = 511B\n", 5, "512B"},
    {LISTEN "[proxy]\nhello_timeout = 10\n", 5, "a duration with a unit"},
    {LISTEN "[proxy]\nhello_timeout = 0s\n", 5, "a duration"},
    {LISTEN "[proxy]\nidle_timeout = 169h\n", 5, "168h"},
    {LISTEN "[proxy]\n workers = 2\n", 5, "indented"},
    {LISTEN "[policy]\nsuite = ECDHE-RSA-AES128-GCM-SHA256\n ECDHE-RSA-AES256-GCM-SHA384\n", 6,
     "indented"},
    {LISTEN "[policy]\nprofile = 2024\n", 5, "2021 or 2020"},
    {LISTEN "[policy]\nsuite = AES128-SHA\n", 5, "eight suites"},
    {LISTEN "[policy]\nsuite = TLS_AES_128_GCM_SHA256\n", 5, "eight suites"},
    {LISTEN "[policy]\nprofile = 2020\nsuite = ECDHE-ECDSA-AES128-GCM-SHA256\n", 6,
     "not in this profile"},
    {LISTEN "[policy]\nsuite = ECDHE-ECDSA-AES128-GCM-SHA256\nprofile = 2020\n[proxy]\n", 5,
     "not in this profile"},
    {LISTEN "[proxy] workers = 2\n", 4, "text behind the section's name"},
    {LISTEN "[proxy]]\n", 4, "text behind the section's name"},
    {LISTEN "[policy]\nminimum_rsa_bits = 1024\n", 5, "never widened"},
    {LISTEN "[policy]\nminimum_rsa_bits = 4097\n", 5, "2048 to 4096"},
    {LISTEN "[policy]\nserver_name_mismatch = yes\n", 5, "refuse or allow"},
    {LISTEN "[ca]\ncrl_url = https://gate.example/\n", 5, "http:// URL"},
    {LISTEN "[ca]\ncrl_url = http://a b\n", 5, "http:// URL"},
    {LISTEN "[upstream]\nresume = maybe\n", 5, "no or yes"},
    {LISTEN "[audit]\nsync = always\n", 5, "interval, record or none"},
    {LISTEN "[audit]\nsyslog = localhost\n", 5, "unix:/dev/log, udp:HOST:PORT or tcp:HOST:PORT"},
    {LISTEN "[audit]\nsyslog = unix:log\n", 5, "unix:/dev/log"},
    {LISTEN "[audit]\nsyslog = tcp:localhost\n", 5, "unix:/dev/log"},
    {LISTEN "[audit]\nsyslog = udp:localhost:0\n", 5, "unix:/dev/log"},
    {LISTEN "[audit]\nfile = a\nfile = b\n", 6, "given twice"},
    {"[listen a]\naddress = 127.0.0.1:1\n", 1, "needs a type"},
    {"[listen a]\ntype = forward\n", 1, "needs an address"},
    {"[listen a]\ntype = reverse\naddress = 127.0.0.1:1\n", 2,
     "forward, fixed, test, sni, socks5, transparent or publish"},
    {"[listen a]\ntype = forward\naddress = localhost:1\n", 3, "an IP address and a port"},
    {"[listen a]\ntype = forward\naddress = 0.0.0.0:8080\n", 1, "open proxy"},
    {"[listen a]\ntype = forward\naddress = [::]:8080\n", 1, "open proxy"},
    {"[listen a]\ntype = fixed\naddress = 192.0.2.1:1\nupstream = a:1\n", 1, "open proxy"},
    {"[listen a]\ntype = fixed\naddress = 127.0.0.1:1\n", 1, "needs upstream"},
    {LISTEN "upstream = gate.example:443\n", 1, "for fixed listeners"},
    {LISTEN "certificate = a.pem\nkey = a.key\n", 1, "for fixed, test listeners"},
    {"[listen a]\ntype = test\naddress = 127.0.0.1:1\nupstream = a:1\n", 1, "for fixed listeners"},
    {"[listen a]\ntype = test\naddress = 127.0.0.1:1\nallow_upstreams = *\n", 1,
     "allow_upstreams is for forward, fixed, sni, socks5, transparent listeners"},
    {"[listen a]\ntype = test\naddress = 127.0.0.1:1\ncertificate = x\n", 1, "as many key lines"},
    {"[listen a]\ntype = fixed\naddress = 127.0.0.1:1\nupstream = a:1\ncertificate = x\n", 1,
     "as many key lines"},
    {"[listen a]\ntype = fixed\naddress = 127.0.0.1:1\nupstream = gate.example\n", 4, "host:port"},
    {"[listen a]\ntype = fixed\naddress = 127.0.0.1:1\nupstream = a:1\nupstream_name = a b\n", 5,
     "a DNS name"},
    {LISTEN "allow_clients = 10.0.0.0/33\n", 4, "10.0.0.0/8"},
    {LISTEN "allow_clients = example.com\n", 4, "10.0.0.0/8"},
    {LISTEN "allow_upstreams = a:b\n", 4, "a host pattern"},
    {LISTEN "[listen b]\ntype = forward\naddress = 127.0.0.1:8080\n", 4, "the same address"},
    {LISTEN "; comment\n[ca]\nkey = "
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
     6, "longer than 198"},
};

static void errors_with_line(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < N_OF(bad); i++) {
        struct text errors = {0};
        char place[64];
        struct config *c = parse(bad[i].text, &errors);
        snprintf(place, sizeof place, "etc/gate.ini:%u: ", bad[i].line);
        const char *line = strstr(text_string(&errors), place);
        const char *said = line ? strstr(line, bad[i].says) : NULL;
        if (c || !said || memchr(line, '\n', (size_t)(said - line))) {
            print_error("%s---> %s (wanted %s%s)\n\n", bad[i].text,
                        c ? "accepted\n" : text_string(&errors), place, bad[i].says);
            wrong++;
        }
        config_free(c);
        text_fini(&errors);
    }
    assert_int_equal(wrong, 0);
}

/* All errors at once, one line each. */
static void several_errors(void **state)
{
    (void)state;
    struct text errors = {0};
    assert_null(parse("[proxy]\nworkers = x\nbogus = 1\n[nowhere]\n[listen a]\n", &errors));
    static const char *const places[] = {":2: ", ":3: ", ":4: ", ":5: "};
    for (size_t i = 0; i < N_OF(places); i++)
        assert_non_null(strstr(text_string(&errors), places[i]));
    text_fini(&errors);
}

static void nul_in_text(void **state)
{
    (void)state;
    static const char text[] = LISTEN "[ca]\nkey = a\0b\n";
    struct text errors = {0};
    assert_null(config_parse(text, sizeof text - 1, "gate.ini", &errors));
    assert_non_null(strstr(text_string(&errors), "gate.ini:5: "));
    text_fini(&errors);
}

static void without_final_newline(void **state)
{
    (void)state;
    struct config *c = parse_good("[listen a]\ntype = forward\naddress = 127.0.0.1:8081");
    assert_int_equal(addr_port(&c->listeners[0].address), 8081);
    config_free(c);
}

/* A line of n characters, with or without a byte order mark (counted) and a line end. */
static void line_of(struct text *t, const char *start, size_t n, bool mark, bool newline)
{
    text_fini(t);
    if (mark) text_add(t, "\xef\xbb\xbf");
    text_add(t, start);
    while (t->size < n) text_add(t, "a");
    if (newline) text_add(t, "\n");
}

/* 198 characters are a line; 199 are refused with the line's number. Nothing is cut silently. */
static void line_lengths(void **state)
{
    (void)state;
    static const char *const starts[] = {"[", "[a]", ";", "\t", "a = "};
    struct text t = {0}, errors = {0};
    for (size_t n = 190; n < 210; n++)
        for (size_t i = 0; i < 4 * N_OF(starts); i++) {
            line_of(&t, starts[i / 4], n, i & 1, i & 2);
            assert_null(parse(text_string(&t), &errors));
            bool said = strstr(text_string(&errors), "gate.ini:1: the line is longer than 198");
            if (said != (n > 198)) fail_msg("%s%s", text_string(&t), text_string(&errors));
            text_fini(&errors);
        }
    text_fini(&t);
}

static void the_longest_line(void **state)
{
    (void)state;
    static const char start[] = LISTEN "[ca]\n";
    struct text t = {0}, errors = {0};
    for (unsigned newline = 0; newline < 2; newline++)
        for (size_t n = 198; n <= 199; n++) {
            text_fini(&t);
            text_add(&t, start);
            text_add(&t, "key = /");
            while (t.size < sizeof start - 1 + n) text_add(&t, "a");
            if (newline) text_add(&t, "\n");
            struct config *c = parse(text_string(&t), &errors);
            assert_int_equal(c != NULL, n == 198);
            if (c) assert_int_equal(strlen(c->ca.key), n - strlen("key = "));
            config_free(c);
            text_fini(&errors);
        }
    text_fini(&t);
}

static void unreadable_file(void **state)
{
    (void)state;
    struct text errors = {0};
    assert_null(config_load("tests/unit/no-such-file.ini", &errors));
    assert_string_equal(text_string(&errors),
                        "tests/unit/no-such-file.ini: No such file or directory\n");
    text_fini(&errors);
    assert_null(config_load("tests/unit/test_config.c", &errors));
    assert_non_null(strstr(text_string(&errors), "tests/unit/test_config.c:1: "));
    text_fini(&errors);
}

static bool allows_client(const struct listen_config *l, const char *ip)
{
    struct addr a;
    assert_true(addr_from_ip(ip, 1, &a));
    return listen_allows_client(l, &a);
}

static bool allows_upstream(const struct listen_config *l, const char *target)
{
    struct target t;
    assert_true(target_from_text(target, strlen(target), &t));
    return listen_allows_upstream(l, &t);
}

static void who_and_where(void **state)
{
    (void)state;
    struct config *c = parse_good(everything);
    const struct listen_config *l = c->listeners;
    assert_true(allows_client(&l[0], "10.1.2.3"));
    assert_true(allows_client(&l[0], "::ffff:10.1.2.3"));
    assert_true(allows_client(&l[0], "::1"));
    assert_false(allows_client(&l[0], "127.0.0.1"));
    assert_false(allows_client(&l[0], "11.0.0.1"));
    assert_true(allows_client(&l[1], "127.8.9.1") && allows_client(&l[1], "::1"));
    assert_false(allows_client(&l[1], "10.1.2.3"));
    assert_true(allows_upstream(&l[0], "a.example.com:443"));
    assert_false(allows_upstream(&l[0], "a.example.com:444"));
    assert_false(allows_upstream(&l[0], "example.com:443"));
    assert_true(allows_upstream(&l[0], "[2001:db8::7]:1"));
    assert_false(allows_upstream(&l[0], "10.1.2.3:443"));
    assert_true(allows_upstream(&l[1], "anything.test:1"));
    config_free(c);
}

/* One source may have all of a small table, and half of a large one. */
static void a_source_s_part(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned connections, handshakes;
    } rows[] = {
        {"max_connections = 3\n", 256, 200},
        {"max_connections = 513\n", 257, 200},
        {"max_connections_per_source = auto\nmax_connections = 10000\n", 5000, 200},
        {"max_connections_per_source = 0\nmax_handshakes_per_source = 0\n", 0, 0},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        char text[300];
        snprintf(text, sizeof text, LISTEN "[proxy]\n%s", rows[i].text);
        struct config *c = parse_good(text);
        assert_int_equal(c->proxy.per_source.connections, rows[i].connections);
        assert_int_equal(c->proxy.per_source.handshakes, rows[i].handshakes);
        config_free(c);
    }
}

static void count_option(void *arg, const char *section, const char *key, const char *standard,
                         bool repeats, const char *text)
{
    (void)standard;
    (void)repeats;
    assert_true(section[0] && key[0] && text[0]);
    ++*(unsigned *)arg;
}

static void described(void **state)
{
    (void)state;
    unsigned n = 0;
    config_describe(count_option, &n);
    static const unsigned rows = 0
#define OPTION(...) +1
#define LISTEN_OPTION(...) +1
#include "config/options.def"
#undef OPTION
#undef LISTEN_OPTION
        ;
    assert_int_equal(n, rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),         cmocka_unit_test(all_options),
        cmocka_unit_test(printed),          cmocka_unit_test(a_source_s_part),
        cmocka_unit_test(errors_with_line), cmocka_unit_test(several_errors),
        cmocka_unit_test(nul_in_text),      cmocka_unit_test(without_final_newline),
        cmocka_unit_test(line_lengths),     cmocka_unit_test(the_longest_line),
        cmocka_unit_test(unreadable_file),  cmocka_unit_test(who_and_where),
        cmocka_unit_test(described),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
