/* Name constraints: what ca_permits() says of a name is what OpenSSL and GnuTLS say of a leaf for
 * it, for generated patterns and names. */
#include "openssl.h"

#include "pki/ca.h"
#include "pki/permit.h"

#include <arpa/inet.h>

enum { PATTERNS = 3, IDENTITIES = 48 };

/* ---- the encoding ---- */

static size_t encode(const char *const *texts, size_t n, uint8_t buffer[PERMIT_LIMIT],
                     struct span *out)
{
    struct pattern patterns[PATTERNS];
    for (size_t i = 0; i < n; i++) assert_true(pattern_from_text(texts[i], &patterns[i]));
    return permit_encode(patterns, n, buffer, out) ? out->n : 0;
}

static const struct {
    const char *patterns[PATTERNS];
    const char *hex;
} encodings[] = {
    /* A form that is not named is excluded as a whole. */
    {{"a.example"},
     "a00d300b 8209612e6578616d706c65"
     "a130 300a 87080000000000000000"
     "3022 87200000000000000000000000000000000000000000000000000000000000000000"},
    /* Of addresses that are not named, the unspecified one. */
    {{"10.0.0.0/8"},
     "a030 300a 87080a000000ff000000"
     "3022 872000000000000000000000000000000000ffffffffffffffffffffffffffffffff"
     "a104 3002 8200"},
    {{"*.B.example", "192.0.2.7"},
     "a03d 300b 8209622e6578616d706c65 300a 8708c0000207ffffffff"
     "3022 872000000000000000000000000000000000ffffffffffffffffffffffffffffffff"},
    {{"[2001:db8::]/32", "x"},
     "a035 3022 872020010db8000000000000000000000000ffffffff000000000000000000000000"
     "3003 820178 300a 870800000000ffffffff"},
    {{"[2001:db8::]/33", "x", "10.1.2.0/23"},
     "a035 3022 872020010db8000000000000000000000000ffffffff800000000000000000000000"
     "3003 820178 300a 87080a010200fffffe00"},
};

static void encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(encodings); i++) {
        uint8_t buffer[PERMIT_LIMIT];
        struct span is;
        struct blob wanted = {.n = 0};
        size_t n = 0;
        while (n < PATTERNS && encodings[i].patterns[n]) n++;
        blob_hex(&wanted, encodings[i].hex);
        assert_int_equal(encode(encodings[i].patterns, n, buffer, &is), wanted.n);
        assert_memory_equal(is.p, wanted.p, wanted.n);
    }
}

static void refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"*", "a.example:443", "10.0.0.0/8:1-2", "*:443"};
    uint8_t buffer[PERMIT_LIMIT];
    struct span out;
    for (size_t i = 0; i < N_OF(texts); i++)
        assert_int_equal(encode(texts + i, 1, buffer, &out), 0);
}

static void too_many(void **state)
{
    (void)state;
    static struct pattern patterns[40];
    uint8_t buffer[PERMIT_LIMIT];
    struct span out;
    for (size_t i = 0; i < N_OF(patterns); i++)
        memset(patterns[i].host, 'a', sizeof patterns[i].host - 1);
    assert_false(permit_encode(patterns, N_OF(patterns), buffer, &out));
    assert_true(permit_encode(patterns, 10, buffer, &out));
}

/* ---- generated ones ---- */

static uint32_t seed = 20;

static uint32_t number(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static const char *const domains[] = {
    "example.com", "corp.example.com", "com", "localhost", "a_b.test", "10.test", "xn--p1ai.test"};
static const char *const ranges[] = {"10.0.0.0/8", "192.0.2.7",     "192.0.2.128/25",
                                     "0.0.0.0/1",  "172.16.0.0/12", "[2001:db8::]/32",
                                     "[fd00::]/7", "[2001:db8::1]"};

struct case_of {
    const char *patterns[PATTERNS];
    size_t n;
    struct {
        char text[80];
        bool is_ip, permitted;
    } identities[IDENTITIES];
    size_t count;
};

static void add(struct case_of *c, bool is_ip, const char *before, const char *name)
{
    if (c->count == IDENTITIES) abort();
    snprintf(c->identities[c->count].text, sizeof c->identities[0].text, "%s%s", before, name);
    c->identities[c->count++].is_ip = is_ip;
}

/* The name, below it, beside it, above it. */
static void add_names(struct case_of *c, const char *name)
{
    const char *dot = strchr(name, '.');
    static const char *const before[] = {"", "w.", "v.w.", "x", "x-"};
    for (size_t i = 0; i < N_OF(before); i++) add(c, false, before[i], name);
    if (dot) add(c, false, "", dot + 1);
    if (dot) add(c, false, "other", dot);
}

/* The first and last address of the range, and those before and behind it. */
static void add_addresses(struct case_of *c, const struct cidr *range)
{
    for (int which = 0; which < 4; which++) {
        uint8_t bytes[16];
        char text[64];
        size_t n = range->family_size;
        memcpy(bytes, range->bytes, n);
        bool up = which >= 2;
        for (size_t bit = range->bits; bit < 8 * n; bit++) {
            uint8_t mask = (uint8_t)(0x80 >> bit % 8);
            bytes[bit / 8] = (uint8_t)(up ? bytes[bit / 8] | mask : bytes[bit / 8] & ~mask);
        }
        for (size_t i = n; (which == 0 || which == 3) && i-- > 0;) {
            bytes[i] = (uint8_t)(bytes[i] + (up ? 1 : 255));
            if (bytes[i] != (up ? 0 : 255)) break;
        }
        assert_non_null(inet_ntop(n == 4 ? AF_INET : AF_INET6, bytes, text, sizeof text));
        add(c, true, "", text);
    }
}

/* kinds: 0 names, 1 addresses, 2 both. */
static void generate(struct case_of *c, uint32_t kinds)
{
    *c = (struct case_of){.n = 0};
    size_t wanted = kinds == 2 ? 2 + number(2) : 1 + number(2);
    while (c->n < wanted) {
        bool name = kinds == 0 || (kinds == 2 && c->n != 1);
        const char *text = name ? domains[number(N_OF(domains))] : ranges[number(N_OF(ranges))];
        struct pattern p;
        assert_true(pattern_from_text(text, &p));
        c->patterns[c->n++] = text;
        if (name)
            add_names(c, text);
        else
            add_addresses(c, &p.range);
    }
    add(c, false, "", "elsewhere.example");
    add(c, true, "", "203.0.113.9");
    add(c, true, "", "2001:db8:ffff::1");
}

static struct ca *limited_ca(const struct case_of *c)
{
    uint8_t buffer[PERMIT_LIMIT];
    struct span constraints;
    struct text pem = {0}, key = {0}, issuing = {0}, errors = {0};
    const struct ca_urls none = {NULL, NULL};
    assert_true(encode(c->patterns, c->n, buffer, &constraints) > 0);
    assert_true(ca_create(KEY_ECDSA, 0, 1, constraints, time(NULL), &pem, &key));
    save_text("ca.pem", &pem);
    struct ca *root = ca_new(&pem, (struct ca_key){&key, NULL}, &none, "ca.pem", &errors);
    assert_non_null(root);
    assert_true(ca_create_issuing(root, KEY_ECDSA, &none, time(NULL), &issuing));
    save_text("issuing.pem", &issuing);
    struct ca *ca =
        ca_new(&issuing, (struct ca_key){&issuing, NULL}, &none, "issuing.pem", &errors);
    assert_non_null(ca);
    ca_free(root);
    text_fini(&pem);
    text_fini(&key);
    text_fini(&issuing);
    text_fini(&errors);
    return ca;
}

/* Leaves 0.pem, 1.pem, ... with their chains, whether permitted or not. */
static void mint_all(struct ca *ca, struct case_of *c)
{
    struct private_key key;
    assert_true(key_generate(KEY_ECDSA, 0, &key));
    for (size_t i = 0; i < c->count; i++) {
        const char *identity = c->identities[i].text;
        bool is_ip = c->identities[i].is_ip;
        struct text chain = {0};
        struct lifetime lifetime;
        char name[32];
        c->identities[i].permitted = ca_permits(ca, identity, is_ip);
        assert_true(ca_mint(ca, identity, is_ip, NULL, &key, time(NULL), &chain, &lifetime));
        snprintf(name, sizeof name, "%zu.pem", i);
        save_text(name, &chain);
        text_fini(&chain);
    }
    key_fini(&key);
}

/* shown has a line "N.pem: OK" for each leaf that the judge accepts. */
static void compare(const struct case_of *c, const char *judge, const char *shown)
{
    size_t accepted = 0;
    for (size_t i = 0; i < c->count; i++) {
        char line[64], all[512] = "";
        snprintf(line, sizeof line, "\n%zu.pem: OK\n", i);
        bool ok = strstr(shown, line);
        accepted += ok;
        if (ok == c->identities[i].permitted) continue;
        for (size_t k = 0; k < c->n; k++)
            snprintf(all + strlen(all), sizeof all - strlen(all), " %s", c->patterns[k]);
        fail_msg("permit%s: %s is %s for %s, not for us: %s", all, c->identities[i].text,
                 ok ? "good" : "bad", judge, shown);
    }
    assert_in_range(accepted, 1, c->count - 1);
}

static void judges_agree(void **state)
{
    (void)state;
    static struct case_of c;
    for (uint32_t i = 0; i < 24; i++) {
        char command[512];
        generate(&c, i % 3);
        struct ca *ca = limited_ca(&c);
        run("openssl verify -x509_strict -CAfile ca.pem issuing.pem");
        mint_all(ca, &c);
        snprintf(command, sizeof command,
                 "echo; i=0; while [ $i -lt %zu ]; do set -- \"$@\" $i.pem; i=$((i + 1)); done; "
                 "openssl verify -x509_strict -CAfile ca.pem -untrusted issuing.pem \"$@\" "
                 "2>/dev/null; :",
                 c.count);
        compare(&c, "OpenSSL", run(command));
        snprintf(command, sizeof command,
                 "echo; i=0; while [ $i -lt %zu ]; do certtool --verify --load-ca-certificate "
                 "ca.pem --infile $i.pem >/dev/null 2>&1 && echo $i.pem: OK; i=$((i + 1)); done; :",
                 c.count);
        if (i < 9) compare(&c, "GnuTLS", run(command));
        ca_free(ca);
    }
}

static int begin(void **state)
{
    (void)state;
    return openssl_begin("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoded),
        cmocka_unit_test(refused),
        cmocka_unit_test(too_many),
        cmocka_unit_test(judges_agree),
    };
    return cmocka_run_group_tests_name("permit", tests, begin, openssl_end);
}
