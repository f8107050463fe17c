/* Which identity is presented to an upstream: by pattern, key type, the CAs it names, and expiry.
 */
#include "helper.h"

#include "runtime/loaded_config.h"

enum { NOW = 1000, COUNT = 4 };

/* Names in DER: CN=A and so on. */
#define NAME(letter) "300c310a300806035504031301" letter
#define A NAME("41")
#define A_SMALL NAME("61")
#define B NAME("42")
#define C NAME("43")

static struct identity_config identities[COUNT];
static struct own_certificate own[COUNT];
static struct config config = {.identities = identities};
static const struct loaded_config loaded = {.config = &config, .identities = own};

static void add(const char *pattern, enum key_type key, time_t ends, const char *issuers)
{
    static struct blob der;
    struct pattern p;
    size_t i = config.identity_count++;
    assert_true(i < COUNT);
    assert_true(pattern_from_text(pattern, &p));
    assert_true(list_add_pattern(&identities[i].upstreams, &p));
    own[i] = (struct own_certificate){.key.type = key, .ends = ends, .present = true};
    der.n = 0;
    blob_hex(&der, issuers);
    text_add_bytes(&own[i].issuers, (const char *)der.p, der.n);
}

static int none(void **state)
{
    (void)state;
    for (size_t i = 0; i < config.identity_count; i++) {
        list_free_patterns(&identities[i].upstreams);
        text_fini(&own[i].issuers);
    }
    memset(identities, 0, sizeof identities);
    config.identity_count = 0;
    return 0;
}

/* types and schemes: of the request, as hexadecimal text; names: each without its length. */
static int choice_by(const char *upstream, const char *types, const char *schemes,
                     const char *const *names, size_t count)
{
    static struct blob body;
    struct certificate_request request;
    struct target target;
    body.n = 0;
    size_t list = blob_open(&body, 1);
    blob_hex(&body, types);
    blob_close(&body, list, 1);
    list = blob_open(&body, 2);
    blob_hex(&body, schemes);
    blob_close(&body, list, 2);
    list = blob_open(&body, 2);
    for (size_t i = 0; i < count; i++) {
        size_t name = blob_open(&body, 2);
        blob_hex(&body, names[i]);
        blob_close(&body, name, 2);
    }
    blob_close(&body, list, 2);
    assert_true(certificate_request_read((struct span){body.p, body.n}, &request));
    assert_true(target_from_text(upstream, strlen(upstream), &target));
    return loaded_config_identity(&loaded, &target, &request, NOW);
}

/* Any key, of this CA or of any. */
static int choice(const char *upstream, const char *name)
{
    return choice_by(upstream, "0140", "04010403", &name, name ? 1 : 0);
}

static void by_upstream(void **state)
{
    (void)state;
    assert_int_equal(choice("one.example:443", NULL), -1);
    add("one.example:443", KEY_ECDSA, 2 * NOW, A);
    add("*.two.example", KEY_ECDSA, 2 * NOW, A);
    add("10.0.0.0/8", KEY_ECDSA, 2 * NOW, A);
    assert_int_equal(choice("one.example:443", NULL), 0);
    assert_int_equal(choice("one.example:444", NULL), -1);
    assert_int_equal(choice("a.one.example:443", NULL), -1);
    assert_int_equal(choice("a.two.example:99", NULL), 1);
    assert_int_equal(choice("two.example:99", NULL), -1);
    assert_int_equal(choice("10.1.2.3:443", NULL), 2);
    assert_int_equal(choice("11.1.2.3:443", NULL), -1);
    assert_int_equal(choice("three.example:443", A), -1);
    add("*", KEY_ECDSA, 2 * NOW, B);
    assert_int_equal(choice("three.example:443", NULL), 3);
    assert_int_equal(choice("one.example:443", NULL), 0);
}

static void by_key(void **state)
{
    (void)state;
    add("*", KEY_RSA, 2 * NOW, A);
    add("*", KEY_ECDSA, 2 * NOW, A);
    assert_int_equal(choice_by("x.example:1", "0140", "04010403", NULL, 0), 0);
    assert_int_equal(choice_by("x.example:1", "40", "04010403", NULL, 0), 1);
    assert_int_equal(choice_by("x.example:1", "01", "04010403", NULL, 0), 0);
    assert_int_equal(choice_by("x.example:1", "0140", "0403", NULL, 0), 1);
    assert_int_equal(choice_by("x.example:1", "0140", "0201", NULL, 0), -1);
    assert_int_equal(choice_by("x.example:1", "01", "0403", NULL, 0), -1);
    assert_int_equal(choice_by("x.example:1", "", "", NULL, 0), -1);
}

static void by_ca(void **state)
{
    (void)state;
    static const char *const c_then_b[] = {C, B}, *const unknown[] = {C, "0500"};
    add("*", KEY_ECDSA, 2 * NOW, A);
    add("*", KEY_ECDSA, 2 * NOW, B);
    add("*", KEY_ECDSA, 2 * NOW, B A);
    assert_int_equal(choice("x.example:1", A), 0);
    assert_int_equal(choice("x.example:1", A_SMALL), 0); /* names are compared, not bytes */
    assert_int_equal(choice("x.example:1", B), 1);
    /* None is of this CA: the first one, since the list may be incomplete. */
    assert_int_equal(choice("x.example:1", C), 0);
    assert_int_equal(choice_by("x.example:1", "40", "0403", c_then_b, 2), 1);
    assert_int_equal(choice_by("x.example:1", "40", "0403", unknown, 2), 0);
}

/* The chain's other issuers count, too. */
static void by_ca_above(void **state)
{
    (void)state;
    add("*", KEY_ECDSA, 2 * NOW, A);
    add("*", KEY_ECDSA, 2 * NOW, B C);
    assert_int_equal(choice("x.example:1", C), 1);
    assert_int_equal(choice("x.example:1", B), 1);
}

/* A better CA does not make up for what is wrong otherwise. */
static void by_ca_of_those_that_fit(void **state)
{
    (void)state;
    add("*", KEY_ECDSA, 2 * NOW, A);
    add("other.example", KEY_ECDSA, 2 * NOW, B);
    add("*", KEY_RSA, 2 * NOW, B);
    add("*", KEY_ECDSA, NOW - 1, B);
    const char *names[] = {B};
    assert_int_equal(choice_by("x.example:1", "40", "0403", names, 1), 0);
    assert_int_equal(choice_by("other.example:1", "40", "0403", names, 1), 1);
    assert_int_equal(choice_by("x.example:1", "0140", "04030401", names, 1), 2);
}

static void by_expiry(void **state)
{
    (void)state;
    add("*", KEY_ECDSA, NOW - 1, A);
    assert_int_equal(choice("x.example:1", A), -1);
    add("*", KEY_ECDSA, NOW, B);
    assert_int_equal(choice("x.example:1", A), 1);
    assert_int_equal(choice("x.example:1", NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(by_upstream, none),
        cmocka_unit_test_teardown(by_key, none),
        cmocka_unit_test_teardown(by_ca, none),
        cmocka_unit_test_teardown(by_ca_above, none),
        cmocka_unit_test_teardown(by_ca_of_those_that_fit, none),
        cmocka_unit_test_teardown(by_expiry, none),
    };
    return cmocka_run_group_tests_name("identities", tests, NULL, NULL);
}
