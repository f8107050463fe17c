/* What a publish listener gives away, and when its CRLs are made anew. */
#include "helper.h"

#include "page/pac.h"
#include "pki/crl.h"
#include "serve/publication.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DAY = 86400 };

static char directory[] = "/tmp/suitegate-publication-XXXXXX";
static time_t now;

static void put(const char *name, const char *content, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(content, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void take_away(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(unlink(path), 0);
}

/* A root, and the CAs below it. */
static void make_cas(void)
{
    char certificate_path[128], key_path[128];
    struct text certificate = {0}, key = {0}, done = {0}, errors = {0};
    assert_true(ca_create(KEY_ECDSA, 0, 1, (struct span){0}, now, &certificate, &key));
    put("ca.pem", text_string(&certificate), certificate.size);
    put("ca.key", text_string(&key), key.size);
    snprintf(certificate_path, sizeof certificate_path, "%s/ca.pem", directory);
    snprintf(key_path, sizeof key_path, "%s/ca.key", directory);
    struct ca_place place = {.certificate = certificate_path, .key = key_path};
    snprintf(place.directory, sizeof place.directory, "%s", directory);
    ca_files_renew(&place, CA_RENEW_ALL, now, &done, &errors);
    assert_string_equal(text_string(&errors), "");
    text_fini(&certificate);
    text_fini(&key);
    text_fini(&done);
}

/* No private key is handed over. */
static void check_handed_over(int fd)
{
    static char all[1 << 20];
    ssize_t n = pread(fd, all, sizeof all, 0);
    assert_true(n > 0 && (size_t)n < sizeof all);
    assert_null(memmem(all, (size_t)n, "PRIVATE", 7));
    assert_non_null(memmem(all, (size_t)n, "BEGIN CERTIFICATE", 17));
}

/* As a proxy gets it: from the files that the keeper has read. */
static struct loaded_config *load(const char *more)
{
    static const char begins[] = "[ca]\ncertificate = ca.pem\nkey = ca.key\n";
    char path[128], all[1024];
    struct text errors = {0};
    int n = snprintf(all, sizeof all, "%s%s", begins, more);
    put("suitegate.ini", all, (size_t)n);
    snprintf(path, sizeof path, "%s/suitegate.ini", directory);
    struct snapshot *kept = snapshot_new();
    struct loaded_config *keepers = loaded_config_read(path, false, kept, &errors);
    if (!keepers) fail_msg("%s", text_string(&errors));
    int fd = snapshot_seal(kept);
    check_handed_over(fd);
    struct snapshot *given = snapshot_open(fd);
    struct loaded_config *loaded = loaded_config_read(path, false, given, &errors);
    if (!loaded) fail_msg("%s", text_string(&errors));
    snapshot_free(kept);
    snapshot_free(given);
    close(fd);
    loaded_config_release(keepers);
    text_fini(&errors);
    return loaded;
}

static struct publication *publish(const char *more)
{
    struct text errors = {0};
    struct loaded_config *loaded = load(more);
    struct publication *p = publication_new(loaded, &errors);
    if (!p) fail_msg("%s", text_string(&errors));
    loaded_config_release(loaded);
    text_fini(&errors);
    return p;
}

#define PUBLISH "[listen publish]\ntype = publish\naddress = 127.0.0.1:8480\n"

static bool get_as(const struct publication *p, const char *path, const char *local_ip,
                   const char *client_ip, struct published *out)
{
    static const struct listen_config listener;
    struct addr local, client;
    assert_true(addr_from_ip(local_ip, 8480, &local) && addr_from_ip(client_ip, 4711, &client));
    return publication_get(p, &listener, path, &local, &client, out);
}

static bool get(const struct publication *p, const char *path, struct published *out)
{
    return get_as(p, path, "127.0.0.1", "127.0.0.1", out);
}

static void lifetime_of(const struct publication *p, const char *path, time_t *made,
                        time_t *expires)
{
    struct published out;
    if (!get(p, path, &out)) fail_msg("no %s", path);
    assert_true(crl_times((struct span){(const uint8_t *)text_string(&out.body), out.body.size},
                          made, expires));
    text_fini(&out.body);
}

/* The path of an issuing CA's list. */
static void issuing_path(char path[32])
{
    char file[128], name[CA_NAME_SIZE];
    struct text pem = {0}, errors = {0};
    snprintf(file, sizeof file, "%s/issuing-rsa.pem", directory);
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;) text_add_bytes(&pem, &(char){(char)c}, 1);
    fclose(f);
    struct ca *ca = ca_new(&pem, (struct ca_key){NULL, NULL}, &(struct ca_urls){0}, file, &errors);
    assert_non_null(ca);
    ca_short_name(ca_certificate(ca), name);
    snprintf(path, 32, "/%s.crl", name);
    ca_free(ca);
    text_fini(&pem);
}

/* Each load makes them; when half their life is over, it is time for another load. */
static void lists_are_made_with_the_load(void **state)
{
    (void)state;
    struct publication *p = publish(PUBLISH);
    char path[32];
    time_t made, expires;
    issuing_path(path);
    lifetime_of(p, path, &made, &expires);
    assert_true(made <= now && expires - now - CA_CRL_DAYS * DAY < 60);
    publication_free(p);

    struct loaded_config *loaded = load(PUBLISH);
    const time_t half = loaded->at + CA_CRL_DAYS * DAY / 2;
    assert_true(loaded->at >= now);
    assert_false(loaded_config_is_stale(loaded, loaded->at));
    assert_false(loaded_config_is_stale(loaded, half));
    assert_true(loaded_config_is_stale(loaded, half + 1));
    assert_true(loaded_config_is_stale(loaded, loaded->at - 1)); /* the clock was wrong */
    loaded_config_release(loaded);
    loaded = load("[listen x]\ntype = forward\naddress = 127.0.0.1:8480\n");
    assert_false(loaded_config_is_stale(loaded, half + 1));
    loaded_config_release(loaded);
}

/* The root's list is the file's, whether its key is here or not; those of the others are made. */
static void without_the_roots_key(void **state)
{
    (void)state;
    char key[128], away[128], path[32];
    struct publication *p = publish(PUBLISH);
    time_t made, expires, again, ends;
    lifetime_of(p, "/ca.crl", &made, &expires);
    assert_true(expires == now + CA_ROOT_CRL_DAYS * DAY);
    publication_free(p);
    snprintf(key, sizeof key, "%s/ca.key", directory);
    snprintf(away, sizeof away, "%s/away", directory);
    assert_int_equal(rename(key, away), 0);
    p = publish(PUBLISH);
    issuing_path(path);
    lifetime_of(p, "/ca.crl", &again, &ends);
    assert_true(ends == expires);
    lifetime_of(p, path, &again, &ends);
    assert_true(ends - now - CA_CRL_DAYS * DAY < 60);
    publication_free(p);
    assert_int_equal(rename(away, key), 0);
}

static void only_these_paths(void **state)
{
    (void)state;
    static const char *const nothing[] = {
        "",          "ca.crt",         "/ca",
        "/ca.",      "/ca.key",        "/ca.crt/",
        "//ca.crt",  "/./ca.crt",      "/ca.CRT",
        "/CA.crt",   "/ca.crt.pem",    "/.crt",
        "/.crl",     "/issuing-ecdsa", "/issuing.pem",
        "/ca.crlx",  "/index.html",    "/../ca.key",
        "*",         "/ca.crl ",       "/ca\\.crl",
        "/proxy.pa", "/proxy.pac/",    "/issuing-rsa.pem",
    };
    struct publication *p = publish(PUBLISH);
    struct published out;
    for (size_t i = 0; i < N_OF(nothing); i++)
        if (get(p, nothing[i], &out)) fail_msg("%s", nothing[i]);
    publication_free(p);
}

/* ---- proxies ---- */

#define FORWARD(name, address) \
    "[listen " name "]\ntype = forward\nallow_clients = 0.0.0.0/0\naddress = " address "\n"

static void proxies_are_what_the_client_reaches(void **state)
{
    (void)state;
    static const struct {
        const char *config, *local, *client, *proxies;
    } table[] = {
        {FORWARD("a", "127.0.0.1:1"), "127.0.0.1", "127.0.0.9", "PROXY 127.0.0.1:1"},
        {FORWARD("a", "127.0.0.1:1"), "10.0.0.5", "10.0.0.9", "DIRECT"},
        {FORWARD("a", "[::1]:1"), "::1", "::1", "PROXY [::1]:1"},
        {FORWARD("a", "10.0.0.5:1"), "127.0.0.1", "127.0.0.1", "PROXY 10.0.0.5:1"},
        {FORWARD("a", "0.0.0.0:1"), "10.0.0.5", "10.0.0.9", "PROXY 10.0.0.5:1"},
        {FORWARD("a", "[::]:1"), "2001:db8::5", "2001:db8::9", "PROXY [2001:db8::5]:1"},
        {FORWARD("a", "[::]:1"), "::ffff:10.0.0.5", "::ffff:10.0.0.9", "PROXY 10.0.0.5:1"},
        {FORWARD("a", "127.0.0.1:1") FORWARD("b", "0.0.0.0:2"), "10.0.0.5", "10.0.0.9",
         "PROXY 10.0.0.5:2"},
        {FORWARD("a", "127.0.0.1:1") FORWARD("b", "0.0.0.0:2"), "127.0.0.1", "127.0.0.9",
         "PROXY 127.0.0.1:1; PROXY 127.0.0.1:2"},
        {"[listen s]\ntype = socks5\naddress = 127.0.0.1:1\n", "127.0.0.1", "127.0.0.1", "DIRECT"},
        {"", "127.0.0.1", "127.0.0.1", "DIRECT"},
        {"[ca]\npublish = http://Gate.example:80\n" FORWARD("a", "0.0.0.0:1"), "10.0.0.5",
         "10.0.0.9", "PROXY gate.example:1"},
        {"[ca]\npublish = http://[2001:db8::7]:80\n" FORWARD("a", "[::]:1"), "10.0.0.5", "10.0.0.9",
         "PROXY [2001:db8::7]:1"},
        {"[ca]\npublish = http://gate.example:80\n" FORWARD("a", "10.0.0.5:1"), "10.0.0.5",
         "10.0.0.9", "PROXY 10.0.0.5:1"},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        char config[512], wanted[128];
        struct published out;
        snprintf(config, sizeof config, "%s%s", table[i].config, PUBLISH);
        snprintf(wanted, sizeof wanted, "return proxied ? \"%s\" : \"DIRECT\";", table[i].proxies);
        struct publication *p = publish(config);
        assert_true(get_as(p, "/proxy.pac", table[i].local, table[i].client, &out));
        if (!strstr(text_string(&out.body), wanted))
            fail_msg("row %zu: no %s in %s", i, wanted, text_string(&out.body));
        text_fini(&out.body);
        publication_free(p);
    }
}

/* Further ones are left out. */
static void at_most_eight_proxies(void **state)
{
    (void)state;
    struct text config = {0};
    struct published out;
    size_t n = 0;
    for (int i = 1; i <= PAC_PROXIES + 2; i++)
        text_printf(&config, "[listen f%d]\ntype = forward\naddress = 127.0.0.1:%d\n", i, i);
    text_add(&config, PUBLISH);
    struct publication *p = publish(text_string(&config));
    assert_true(get(p, "/proxy.pac", &out));
    for (const char *at = text_string(&out.body); (at = strstr(at, "PROXY ")) != NULL; at++) n++;
    assert_int_equal(n, PAC_PROXIES);
    text_fini(&out.body);
    text_fini(&config);
    publication_free(p);
}

static int begin(void **state)
{
    (void)state;
    now = time(NULL);
    if (!mkdtemp(directory)) return 1;
    make_cas();
    return 0;
}

static int end(void **state)
{
    (void)state;
    static const char *const names[] = {"ca.pem",          "ca.key", "issuing-ecdsa.pem",
                                        "issuing-rsa.pem", "ca.crl", "suitegate.ini"};
    for (size_t i = 0; i < N_OF(names); i++) take_away(names[i]);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_made_with_the_load),
        cmocka_unit_test(without_the_roots_key),
        cmocka_unit_test(only_these_paths),
        cmocka_unit_test(proxies_are_what_the_client_reaches),
        cmocka_unit_test(at_most_eight_proxies),
    };
    return cmocka_run_group_tests_name("publication", tests, begin, end);
}
