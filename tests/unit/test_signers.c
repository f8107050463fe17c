/* What the keeper signs for a proxy that was taken over: whatever it asks, it gets no leaf with a
 * name or a content that the local CA does not allow, and signatures with the keys of its
 * configuration only. */
#include "helper.h"

#include "pki/permit.h"
#include "pki/signature.h"
#include "pki/trust.h"
#include "serve/signers.h"

#include "runtime/sign_order.h"

#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static char directory[] = "/tmp/suitegate-signers-XXXXXX";
static struct loaded_config *loaded;
static struct signers *signers;
static struct ca *ca; /* the issuing one, for comparison */
static struct private_key keys[KEY_TYPES];
static int end = -1; /* the proxy's */

enum { SERIAL = 7, OWN = 0, MINTED = 1 };

static void put(const char *name, const struct text *content)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text_string(content), 1, content->size, f), content->size);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void put_words(const char *name, const char *words)
{
    struct text content = {0};
    text_add(&content, words);
    put(name, &content);
    text_fini(&content);
}

/* A CA for names below example.test and addresses in 10.0.0.0/8, one own certificate for a listener
 * and one for an identity. */
static void make_files(void)
{
    struct pattern patterns[2];
    uint8_t buffer[PERMIT_LIMIT];
    struct span constraints;
    struct text pem = {0}, key = {0}, chain = {0}, own = {0}, errors = {0};
    struct lifetime lifetime;
    const struct ca_urls none = {NULL, NULL};
    assert_true(pattern_from_text("example.test", &patterns[0]));
    assert_true(pattern_from_text("10.0.0.0/8", &patterns[1]));
    assert_true(permit_encode(patterns, N_OF(patterns), buffer, &constraints));
    assert_true(ca_create(KEY_ECDSA, 0, -1, constraints, time(NULL), &pem, &key));
    put("ca.pem", &pem);
    put("ca.key", &key);
    ca = ca_new(&pem, (struct ca_key){&key, NULL}, &none, "ca.pem", &errors);
    assert_non_null(ca);
    assert_true(ca_mint(ca, "own.example.test", false, NULL, &keys[KEY_RSA], time(NULL), &chain,
                        &lifetime));
    put("own.pem", &chain);
    assert_true(key_to_pem(&keys[KEY_RSA], &own));
    put("own.key", &own);
    put_words("suitegate.ini",
              "[proxy]\nworkers = 1\n[ca]\ncertificate = ca.pem\nkey = ca.key\n[upstream]\n"
              "trust = ca.pem\n[audit]\nfile = audit.jsonl\n"
              "[listen own]\ntype = fixed\naddress = 127.0.0.1:8443\nupstream = localhost:443\n"
              "certificate = own.pem\nkey = own.key\n"
              "[listen minted]\ntype = forward\naddress = 127.0.0.1:8080\n");
    text_fini(&pem);
    text_fini(&key);
    text_fini(&chain);
    text_fini(&own);
    text_fini(&errors);
}

static void connect_proxy(void)
{
    struct timeval patience = {.tv_sec = 60};
    if (end >= 0) close(end);
    signers_stop(signers);
    end = signers_start(signers);
    assert_true(end >= 0);
    assert_int_equal(setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
}

/* ---- orders ---- */

static struct sign_answer answer;

/* False: the keeper has closed its end. */
static bool exchange(const void *order, size_t n)
{
    if (send(end, order, n, MSG_NOSIGNAL) != (ssize_t)n) return false;
    ssize_t got = recv(end, &answer, sizeof answer, 0);
    if (got <= 0) return false;
    assert_true((size_t)got >= SIGN_ANSWER_HEAD);
    assert_int_equal((size_t)got - SIGN_ANSWER_HEAD, answer.size);
    return true;
}

static bool ask(struct sign_order *o)
{
    static uint32_t id;
    o->id = ++id;
    assert_true(exchange(o, o->what == SIGN_LEAF ? sizeof *o : SIGN_ORDER_SHORT));
    assert_int_equal(answer.id, o->id);
    return answer.size > 0;
}

static struct sign_order leaf_for(const char *identity, bool is_ip, enum key_type type)
{
    struct sign_order o;
    memset(&o, 0, sizeof o);
    o.serial = SERIAL;
    o.what = SIGN_LEAF;
    o.key = type;
    o.is_ip = is_ip;
    snprintf(o.identity, sizeof o.identity, "%s", identity);
    o.spki_size = (uint32_t)keys[type].spki_size;
    memcpy(o.spki, keys[type].spki, o.spki_size);
    return o;
}

static struct sign_order digest_for(enum sign_what what, uint32_t index, enum key_type type)
{
    struct sign_order o;
    memset(&o, 0, sizeof o);
    o.serial = SERIAL;
    o.what = what;
    o.index = index;
    o.key = type;
    o.size = 32;
    memset(o.digest, 0x5a, o.size);
    return o;
}

/* ---- leaves ---- */

struct leaf {
    uint8_t der[8192];
    size_t n;
    struct cert cert;
};

static bool take_first(void *arg, struct span der)
{
    struct leaf *l = arg;
    if (l->n) return true;
    assert_true(der.n <= sizeof l->der);
    memcpy(l->der, der.p, l->n = der.n);
    return cert_parse((struct span){l->der, l->n}, &l->cert);
}

static unsigned names;

static void check_name(void *arg, const char *name)
{
    (void)arg;
    names++;
    size_t n = strlen(name);
    struct addr ip;
    bool below = n >= 12 && strcasecmp(name + n - 12, "example.test") == 0 &&
                 (n == 12 || name[n - 13] == '.') && !strchr(name, '*');
    bool in_range = addr_from_ip(name, 0, &ip) && strncmp(name, "10.", 3) == 0;
    if (!below && !in_range) fail_msg("a leaf for %s", name);
}

/* Whoever asked for it, and however. */
static void check_leaf(void)
{
    struct leaf l = {.n = 0};
    const struct cert *issuer = ca_certificate(ca);
    assert_true(pem_each(answer.bytes, answer.size, PEM_CERTIFICATE, take_first, &l));
    const struct cert *c = &l.cert;
    time_t now = time(NULL);
    assert_true(l.n > 0 && c->version == 3);
    assert_true(cert_issued_by(c, issuer) &&
                signature_valid(c->tbs, c->signature_algorithm, c->signature_bits, issuer));
    assert_false(c->is_ca || c->can_sign_certs || c->can_sign_crls || c->uses_tls);
    assert_true(c->serves_tls && c->can_sign_data && !c->has_unknown_critical);
    assert_true(c->not_before >= now - 3700 && c->not_after <= now + 30 * 86400 + 60);
    assert_true(c->not_before >= issuer->not_before && c->not_after <= issuer->not_after);
    assert_true(c->key == CERT_KEY_RSA ? c->bits >= 2048 : c->group != 0);
    assert_true(c->name_constraints.n == 0 && c->policies.n == 0 && c->policy_mappings.n == 0);
    names = 0;
    cert_each_name(c, check_name, NULL);
    assert_true(names == 1 || names == 2);
}

static void leaves_within_the_limits(void **state)
{
    (void)state;
    static const char *const allowed[] = {"example.test", "a.example.test", "A.B.example.test",
                                          "xn--bcher-kva.example.test", "_x.example.test"};
    for (int type = 0; type < KEY_TYPES; type++) {
        for (size_t i = 0; i < N_OF(allowed); i++) {
            struct sign_order o = leaf_for(allowed[i], false, (enum key_type)type);
            if (!ask(&o)) fail_msg("none for %s", allowed[i]);
            check_leaf();
        }
        struct sign_order o = leaf_for("10.1.2.3", true, (enum key_type)type);
        assert_true(ask(&o));
        check_leaf();
        snprintf(o.also, sizeof o.also, "also.example.test");
        assert_true(ask(&o));
        check_leaf();
        assert_int_equal(names, 2);
    }
}

static void names_that_nobody_gets(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_ip;
    } refused[] = {
        {"", false},
        {"elsewhere.test", false},
        {"example.test.elsewhere.test", false},
        {"notexample.test", false},
        {"*.example.test", false},
        {"a.*.example.test", false},
        {"a..example.test", false},
        {".example.test", false},
        {"a.example.test.", false},
        {"a b.example.test", false},
        {"a.example.test,DNS:elsewhere.test", false},
        {"a.example.test\n", false},
        {"-a.example.test", false},
        {"\xc3\xa9.example.test", false},
        {"10.1.2.3", false},
        {"10.1.2.3", 0},
        {"11.1.2.3", true},
        {"10.1.2", true},
        {"10.1.2.3/8", true},
        {"::1", true},
        {"::ffff:11.1.2.3", true},
        {"a.example.test", true},
        {"0x0a.1.2.3", true},
    };
    for (size_t i = 0; i < N_OF(refused); i++) {
        struct sign_order o = leaf_for(refused[i].name, refused[i].is_ip, KEY_ECDSA);
        if (ask(&o)) fail_msg("one for %s", refused[i].name);
        if (refused[i].is_ip || !refused[i].name[0]) continue;
        o = leaf_for("a.example.test", false, KEY_ECDSA);
        snprintf(o.also, sizeof o.also, "%s", refused[i].name);
        if (ask(&o)) fail_msg("one also for %s", refused[i].name);
    }
    /* Names without an end, with a second part behind their end. */
    struct sign_order o = leaf_for("a.example.test", false, KEY_ECDSA);
    memset(o.identity, 'a', sizeof o.identity);
    assert_false(ask(&o));
    o = leaf_for("a.example.test", false, KEY_ECDSA);
    memset(o.also, 'a', sizeof o.also);
    assert_false(ask(&o));
    o = leaf_for("a.example.test", false, KEY_ECDSA);
    memcpy(o.identity + 15, "elsewhere.test", 14);
    assert_true(ask(&o));
    check_leaf();
}

/* What stands behind a public key would become a part of the certificate. */
static void keys_that_are_none(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++) {
        struct sign_order o = leaf_for("a.example.test", false, (enum key_type)type);
        static const uint8_t ca_extension[] = {0xa3, 0x13, 0x30, 0x11, 0x30, 0x0f, 0x06,
                                               0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff,
                                               0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff};
        memcpy(o.spki + o.spki_size, ca_extension, sizeof ca_extension);
        o.spki_size += sizeof ca_extension;
        if (ask(&o)) check_leaf();
        o.spki_size = sizeof o.spki;
        if (ask(&o)) check_leaf();
        static const uint32_t sizes[] = {0, 1, 30, SIGN_SPKI + 1, UINT32_MAX};
        for (size_t i = 0; i < N_OF(sizes); i++) {
            o = leaf_for("a.example.test", false, (enum key_type)type);
            o.spki_size = sizes[i];
            assert_false(ask(&o));
        }
        o = leaf_for("a.example.test", false, (enum key_type)type);
        o.key = type == KEY_RSA ? KEY_ECDSA : KEY_RSA;
        assert_false(ask(&o));
        memset(o.spki, 0xff, sizeof o.spki);
        assert_false(ask(&o));
    }
    /* An RSA key of 1024 bits. */
    static const uint8_t head[] = {0x30, 0x81, 0x9f, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48,
                                   0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x81,
                                   0x8d, 0x00, 0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00};
    static const uint8_t tail[] = {0x02, 0x03, 0x01, 0x00, 0x01};
    struct sign_order o = leaf_for("a.example.test", false, KEY_RSA);
    memcpy(o.spki, head, sizeof head);
    memset(o.spki + sizeof head, 0xc5, 128);
    memcpy(o.spki + sizeof head + 128, tail, sizeof tail);
    o.spki_size = sizeof head + 128 + sizeof tail;
    assert_false(ask(&o));
}

/* ---- digests ---- */

static void digests_with_keys_of_the_configuration(void **state)
{
    (void)state;
    static const uint8_t sizes[] = {32, 48, 64};
    for (size_t i = 0; i < N_OF(sizes); i++)
        for (int pss = 0; pss < 2; pss++) {
            struct sign_order o = digest_for(SIGN_FOR_LISTENER, OWN, KEY_RSA);
            o.size = sizes[i];
            o.pss = (uint8_t)pss;
            assert_true(ask(&o));
            assert_int_equal(answer.size, 256);
        }
    struct sign_order o = digest_for(SIGN_FOR_LISTENER, OWN, KEY_ECDSA); /* it has none */
    assert_false(ask(&o));
    o = digest_for(SIGN_FOR_LISTENER, MINTED, KEY_ECDSA); /* never the CA's */
    assert_false(ask(&o));
    o = digest_for(SIGN_FOR_LISTENER, MINTED, KEY_RSA);
    assert_false(ask(&o));
    static const uint32_t indexes[] = {2, 3, 1000000, UINT32_MAX};
    for (size_t i = 0; i < N_OF(indexes); i++) {
        o = digest_for(SIGN_FOR_LISTENER, indexes[i], KEY_RSA);
        assert_false(ask(&o));
        o = digest_for(SIGN_FOR_IDENTITY, indexes[i], KEY_RSA);
        assert_false(ask(&o));
    }
    o = digest_for(SIGN_FOR_IDENTITY, 0, KEY_RSA);
    assert_false(ask(&o));
    static const uint8_t bad[] = {0, 1, 20, 28, 31, 33, 63, 65, 255};
    for (size_t i = 0; i < N_OF(bad); i++) {
        o = digest_for(SIGN_FOR_LISTENER, OWN, KEY_RSA);
        o.size = bad[i];
        assert_false(ask(&o));
    }
    static const uint32_t types[] = {KEY_NONE, 3, 200, UINT32_MAX};
    for (size_t i = 0; i < N_OF(types); i++) {
        o = digest_for(SIGN_FOR_LISTENER, OWN, KEY_RSA);
        o.key = types[i];
        assert_false(ask(&o));
        o = leaf_for("a.example.test", false, KEY_RSA);
        o.key = types[i];
        assert_false(ask(&o));
    }
    o = digest_for((enum sign_what)77, OWN, KEY_RSA);
    assert_false(ask(&o));
}

static void configurations_that_are_gone(void **state)
{
    (void)state;
    struct sign_order o = digest_for(SIGN_FOR_LISTENER, OWN, KEY_RSA);
    o.serial = SERIAL + 1;
    assert_false(ask(&o));
    o.serial = SERIAL;
    assert_true(ask(&o));
    signers_forget(signers, loaded);
    assert_false(ask(&o));
    signers_add(signers, loaded);
    assert_true(ask(&o));
    signers_keep(signers, loaded);
    assert_true(ask(&o));
    signers_keep(signers, NULL);
    assert_false(ask(&o));
    signers_add(signers, loaded);
}

/* A flood of leaves is bounded, and the keys for known names go on. */
static void too_many_leaves(void **state)
{
    (void)state;
    struct sign_order o = leaf_for("a.example.test", false, KEY_ECDSA);
    unsigned made = 0;
    connect_proxy();
    for (int i = 0; i < 6000; i++) made += ask(&o);
    assert_in_range(made, 2000, 5900);
    o = digest_for(SIGN_FOR_LISTENER, OWN, KEY_RSA);
    assert_true(ask(&o));
    connect_proxy();
}

/* ---- bytes ---- */

static uint32_t seed = 1;

static uint32_t number(uint32_t below)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % below;
}

/* Good orders with some bytes changed, or cut. Nothing but the socket's end comes of what is none.
 */
static void any_bytes(void **state)
{
    (void)state;
    unsigned made = 0, closed = 0;
    connect_proxy();
    for (int i = 0; i < 20000; i++) {
        enum key_type type = (enum key_type)(i % KEY_TYPES);
        struct sign_order o = i % 3 ? leaf_for("a.example.test", false, type)
                                    : digest_for(SIGN_FOR_LISTENER, OWN, type);
        size_t n = o.what == SIGN_LEAF ? sizeof o : SIGN_ORDER_SHORT;
        for (uint32_t k = number(4); k > 0; k--) {
            size_t at = number(2) ? number((uint32_t)n)
                                  : offsetof(struct sign_order, is_ip) + 1 + number(16);
            if (at < n) ((uint8_t *)&o)[at] = (uint8_t)number(256);
        }
        if (number(50) == 0) n = number((uint32_t)n + 1);
        if (n == 0 || !exchange(&o, n)) {
            closed++;
            connect_proxy();
        } else if (answer.size > 0 && o.what == SIGN_LEAF) {
            made++;
            check_leaf();
        }
    }
    print_message("%u leaves, %u times closed\n", made, closed);
    assert_true(made > 1000 && closed > 50);
}

/* ---- once ---- */

static int begin(void **state)
{
    (void)state;
    struct text errors = {0};
    char path[128];
    assert_non_null(mkdtemp(directory));
    assert_true(key_generate(KEY_ECDSA, 0, &keys[KEY_ECDSA]));
    assert_true(key_generate(KEY_RSA, 2048, &keys[KEY_RSA]));
    make_files();
    snprintf(path, sizeof path, "%s/suitegate.ini", directory);
    loaded = loaded_config_read(path, false, NULL, &errors);
    if (!loaded) fail_msg("%s", text_string(&errors));
    loaded->serial = SERIAL;
    signers = signers_new();
    assert_non_null(signers);
    signers_add(signers, loaded);
    connect_proxy();
    return 0;
}

static int finish(void **state)
{
    (void)state;
    char command[128];
    close(end);
    signers_free(signers);
    loaded_config_release(loaded);
    ca_free(ca);
    for (int type = 0; type < KEY_TYPES; type++) key_fini(&keys[type]);
    random_thread_fini();
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_within_the_limits),
        cmocka_unit_test(names_that_nobody_gets),
        cmocka_unit_test(keys_that_are_none),
        cmocka_unit_test(digests_with_keys_of_the_configuration),
        cmocka_unit_test(configurations_that_are_gone),
        cmocka_unit_test(too_many_leaves),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests_name("signers", tests, begin, finish);
}
