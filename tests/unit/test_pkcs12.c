/* The trust store for Java: the DER reader and openssl read it back. */
#include "openssl.h"

#include "pki/der.h"
#include "pki/pkcs12.h"

enum { INTEGER = 0x02, OCTETS = 0x04, OID = 0x06, BMP = 0x1e, SEQUENCE = 0x30, SET = 0x31 };
enum { CONTEXT_0 = 0xa0, CERTIFICATES = 3, MANY = 400 };

/* As RFC 7292, RFC 2985 and Java define them. */
static const char data[] = "2a864886f70d010701", cert_bag[] = "2a864886f70d010c0a0103",
                  x509[] = "2a864886f70d01091601", friendly_name[] = "2a864886f70d010914",
                  trusted[] = "6086480186f966adca7b0101", any_usage[] = "551d2500";

static struct reader inside(struct reader *r, uint8_t tag)
{
    struct der_item item;
    assert_true(der_expect(r, tag, &item));
    return reader_of(item.content);
}

static void end(const struct reader *r)
{
    assert_false(r->failed);
    assert_int_equal(r->left, 0);
}

static void expect_oid(struct reader *r, const char *hex)
{
    static struct blob wanted;
    struct der_item item;
    wanted.n = 0;
    blob_hex(&wanted, hex);
    assert_true(der_expect(r, OID, &item));
    assert_int_equal(item.content.n, wanted.n);
    assert_memory_equal(item.content.p, wanted.p, wanted.n);
}

/* ContentInfo: the content of its octets. */
static struct reader content(struct reader *r)
{
    struct reader info = inside(r, SEQUENCE);
    expect_oid(&info, data);
    struct reader context = inside(&info, CONTEXT_0);
    struct reader octets = inside(&context, OCTETS);
    end(&info);
    end(&context);
    return octets;
}

static struct reader attribute(struct reader *attributes, const char *oid)
{
    struct reader one = inside(attributes, SEQUENCE);
    expect_oid(&one, oid);
    struct reader values = inside(&one, SET);
    end(&one);
    return values;
}

static void expect_attributes(struct reader *bag, unsigned *names)
{
    struct reader attributes = inside(bag, SET);
    struct reader values = attribute(&attributes, friendly_name);
    struct der_item name;
    unsigned number = 0;
    assert_true(der_expect(&values, BMP, &name));
    end(&values);
    assert_true(name.content.n >= 6 && name.content.n % 2 == 0);
    assert_memory_equal(name.content.p, "\0c\0a", 4);
    for (size_t i = 4; i < name.content.n; i += 2) {
        assert_int_equal(name.content.p[i], 0);
        assert_in_range(name.content.p[i + 1], '0', '9');
        number = number * 10 + (unsigned)(name.content.p[i + 1] - '0');
    }
    assert_in_range(number, 0, MANY - 1);
    assert_int_equal(names[number]++, 0); /* unique, as Java's aliases must be */
    values = attribute(&attributes, trusted);
    expect_oid(&values, any_usage);
    end(&values);
    end(&attributes);
}

/* Every certificate in the store, in its order; checks all that surrounds them. */
static size_t parse(const struct text *store, struct span *out)
{
    unsigned names[MANY] = {0};
    size_t n = 0;
    struct reader r = reader_of((struct span){(const uint8_t *)text_string(store), store->size});
    struct reader pfx = inside(&r, SEQUENCE), version = inside(&pfx, INTEGER);
    assert_int_equal(reader_u8(&version), 3);
    end(&version);
    end(&r);
    struct reader octets = content(&pfx);
    end(&pfx); /* no MAC */
    struct reader safe = inside(&octets, SEQUENCE);
    end(&octets);
    octets = content(&safe);
    end(&safe);
    struct reader bags = inside(&octets, SEQUENCE);
    end(&octets);
    while (bags.left > 0) {
        struct reader bag = inside(&bags, SEQUENCE);
        expect_oid(&bag, cert_bag);
        struct reader context = inside(&bag, CONTEXT_0), value = inside(&context, SEQUENCE);
        end(&context);
        expect_oid(&value, x509);
        context = inside(&value, CONTEXT_0);
        end(&value);
        struct der_item certificate;
        assert_true(der_expect(&context, OCTETS, &certificate));
        end(&context);
        expect_attributes(&bag, names);
        end(&bag);
        assert_true(n < MANY);
        out[n++] = certificate.content;
    }
    end(&bags);
    return n;
}

static bool has(const struct span *all, size_t n, struct span wanted)
{
    for (size_t i = 0; i < n; i++)
        if (all[i].n == wanted.n && memcmp(all[i].p, wanted.p, wanted.n) == 0) return true;
    return false;
}

static void reads_back(void **state)
{
    (void)state;
    static const char *const names[CERTIFICATES] = {"one.pem", "two.pem", "three.pem"};
    static struct blob der;
    struct span found[MANY];
    struct text pem = {0}, store = {0};
    for (size_t i = 0; i < CERTIFICATES; i++) load_more(&pem, names[i]);
    assert_true(pkcs12_trust_store(&pem, &store));
    assert_int_equal(parse(&store, found), CERTIFICATES);
    for (size_t i = 0; i < CERTIFICATES; i++)
        assert_true(has(found, CERTIFICATES, load_der(names[i], &der)));
    save_text("store.p12", &store);
    run("openssl pkcs12 -info -nokeys -nomacver -passin pass: -in store.p12 >shown && "
        "[ $(grep -c BEGIN shown) = 3 ] && grep -q 'friendlyName: ca2' shown");
    text_fini(&pem);
    text_fini(&store);
}

static void appends(void **state)
{
    (void)state;
    struct text pem = load("one.pem"), store = {0};
    text_add(&store, "before");
    assert_true(pkcs12_trust_store(&pem, &store));
    assert_memory_equal(text_string(&store), "before\x30", 7);
    text_fini(&pem);
    text_fini(&store);
}

/* Lengths of one byte more, and names of every width. */
static void larger_than_64_kib(void **state)
{
    (void)state;
    static struct blob der;
    struct span found[MANY], one = load_der("one.pem", &der);
    struct text single = load("one.pem"), pem = {0}, store = {0};
    for (int i = 0; i < MANY; i++) text_add_bytes(&pem, text_string(&single), single.size);
    assert_true(pkcs12_trust_store(&pem, &store));
    assert_true(store.size > 0x10000);
    assert_int_equal(parse(&store, found), MANY);
    for (int i = 0; i < MANY; i++) assert_true(has(found + i, 1, one));
    text_fini(&single);
    text_fini(&pem);
    text_fini(&store);
}

/* Sizes near each length at which a header grows. */
static void every_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 20, 30, 47, 60, 127, 128, 200, 255, 256, 65000, 70000};
    struct span found[MANY];
    for (size_t i = 0; i < N_OF(sizes); i++) {
        struct text pem = {0}, store = {0};
        char command[160];
        snprintf(command, sizeof command,
                 "{ echo -----BEGIN CERTIFICATE-----; head -c %zu /dev/zero | base64; "
                 "echo -----END CERTIFICATE-----; } >sized.pem",
                 sizes[i]);
        run(command);
        load_more(&pem, "sized.pem");
        assert_true(pkcs12_trust_store(&pem, &store));
        assert_int_equal(parse(&store, found), 1);
        assert_int_equal(found[0].n, sizes[i]);
        text_fini(&pem);
        text_fini(&store);
    }
}

/* What is not a certificate is skipped; so are comments. */
static void other_things(void **state)
{
    (void)state;
    struct span found[MANY];
    struct text pem = {0}, store = {0};
    text_add(&pem, "# a comment\r\n");
    load_more(&pem, "one.key");
    load_more(&pem, "one.pem");
    text_add(&pem, "\n\n-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n");
    load_more(&pem, "two.pem");
    assert_true(pkcs12_trust_store(&pem, &store));
    assert_int_equal(parse(&store, found), 2);
    text_fini(&pem);
    text_fini(&store);
}

static void rejects(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "\n",
        "no PEM\n",
        "-----BEGIN",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICAT",
        "-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n",
    };
    for (size_t i = 0; i < N_OF(broken); i++) {
        struct text pem = {0}, store = {0};
        text_add(&pem, broken[i]);
        if (pkcs12_trust_store(&pem, &store)) fail_msg("taken: %s", broken[i]);
        assert_int_equal(store.size, 0);
        text_fini(&pem);
        text_fini(&store);
    }
    /* A sound certificate does not compensate for a bad one. */
    struct text pem = load("one.pem"), store = {0};
    text_add(&pem, broken[7]);
    assert_false(pkcs12_trust_store(&pem, &store));
    assert_int_equal(store.size, 0);
    text_fini(&pem);
    text_fini(&store);
}

static int begin(void **state)
{
    (void)state;
    if (openssl_begin("")) return 1;
    run("key one two three && cert one one one ca_ext self && cert two two two ca_ext self && "
        "cert three three three ca_ext self");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back),         cmocka_unit_test(appends),
        cmocka_unit_test(larger_than_64_kib), cmocka_unit_test(every_size),
        cmocka_unit_test(other_things),       cmocka_unit_test(rejects)};
    return cmocka_run_group_tests(tests, begin, openssl_end);
}
