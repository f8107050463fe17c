/* Certificates and CRLs as they are written: OpenSSL reads them back. */
#include "openssl.h"

#include "pki/der.h"
#include "pki/issue.h"

enum { URL_LIMIT = 1000 };

static struct private_key keys[KEY_TYPES], subject_key;
static struct signing_key *signers[KEY_TYPES];

static const time_t begins = 1700000000, ends = 1900000000;

static struct issue root_of(enum key_type type)
{
    return (struct issue){.spki = key_spki(&keys[type]),
                          .common_name = "root",
                          .not_before = begins,
                          .not_after = ends,
                          .is_ca = true,
                          .path_length = -1};
}

/* NAME.pem and NAME.der. */
static size_t write_certificate(const char *name, const struct issue *t, enum key_type type)
{
    uint8_t der[ISSUE_LIMIT];
    char file[64];
    struct text pem = {0};
    size_t n = issue_certificate(t, signers[type], der);
    if (n == 0) return 0;
    assert_true(pem_add_certificate((struct span){der, n}, &pem));
    snprintf(file, sizeof file, "%s.pem", name);
    save_text(file, &pem);
    snprintf(file, sizeof file, "%s.der", name);
    save(file, der, n);
    text_fini(&pem);
    return n;
}

/* root.pem, and the fields of what it issues. */
static struct issue below_root(enum key_type type, struct blob *der)
{
    struct issue t = root_of(type);
    assert_true(write_certificate("root", &t, type) > 0);
    struct cert c = certificate("root.pem", der);
    return (struct issue){.issuer = c.subject,
                          .issuer_key_id = c.subject_key_id,
                          .spki = key_spki(&subject_key),
                          .not_before = begins,
                          .not_after = ends};
}

#define IDS                                \
    "X509v3 Subject Key Identifier:\nID\n" \
    "X509v3 Authority Key Identifier:\nID\n"
#define VERIFY "openssl verify -x509_strict -attime 1800000000 -CAfile root.pem "

static void a_root(void **state)
{
    (void)state;
    static const uint8_t names[] = {0xa0, 7, 0x30, 5, 0x82, 3, 'a', '.', 'b'};
    for (int type = 0; type < KEY_TYPES; type++) {
        struct issue t = root_of((enum key_type)type);
        t.path_length = 44;
        t.organization = "who";
        t.constraints = (struct span){names, sizeof names};
        assert_true(write_certificate("root", &t, (enum key_type)type) > 0);
        assert_extensions("root.pem",
                          "X509v3 extensions:\n"
                          "X509v3 Basic Constraints: critical\nCA:TRUE, pathlen:44\n"
                          "X509v3 Key Usage: critical\nCertificate Sign, CRL Sign\n"
                          "X509v3 Name Constraints: critical\nPermitted:\nDNS:a.b\n" IDS);
        run(VERIFY "-check_ss_sig root.pem");
        assert_string_equal(run("openssl x509 -in root.pem -noout -subject -issuer -dates"),
                            "subject=O = who, CN = root\nissuer=O = who, CN = root\n"
                            "notBefore=Nov 14 22:13:20 2023 GMT\n"
                            "notAfter=Mar 17 17:46:40 2030 GMT\n");
    }
}

static void a_root_of_any_length(void **state)
{
    (void)state;
    struct issue t = root_of(KEY_ECDSA);
    assert_true(write_certificate("root", &t, KEY_ECDSA) > 0);
    assert_extensions("root.pem", "X509v3 extensions:\n"
                                  "X509v3 Basic Constraints: critical\nCA:TRUE\n"
                                  "X509v3 Key Usage: critical\nCertificate Sign, CRL Sign\n" IDS);
}

#define LEAF                                          \
    "X509v3 extensions:\n"                            \
    "X509v3 Basic Constraints: critical\nCA:FALSE\n"  \
    "X509v3 Key Usage: critical\nDigital Signature\n" \
    "X509v3 Extended Key Usage:\nTLS Web Server Authentication\n"
#define LISTS                                                                   \
    "X509v3 CRL Distribution Points:\nFull Name:\nURI:http://x.example/a.crl\n" \
    "Authority Information Access:\nCA Issuers - URI:http://x.example/a.crt\n"

static const struct {
    const char *identity, *also, *common_name, *crl_url, *issuer_url, *extensions;
    bool is_ip;
} leaf_rows[] = {
    {"a.example", NULL, "a.example", NULL, NULL,
     LEAF "X509v3 Subject Alternative Name:\nDNS:a.example\n" IDS, false},
    {"a.example", NULL, NULL, NULL, NULL,
     LEAF "X509v3 Subject Alternative Name: critical\nDNS:a.example\n" IDS, false},
    {"192.0.2.9", "b.example", "192.0.2.9", "http://x.example/a.crl", "http://x.example/a.crt",
     LEAF "X509v3 Subject Alternative Name:\nIP Address:192.0.2.9, DNS:b.example\n" IDS LISTS,
     true},
    {"2001:db8::9", NULL, "x", "http://x.example/a.crl", NULL,
     LEAF "X509v3 Subject Alternative Name:\nIP Address:2001:DB8:0:0:0:0:0:9\n" IDS
          "X509v3 CRL Distribution Points:\nFull Name:\nURI:http://x.example/a.crl\n",
     true},
};

static void leaves(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++) {
        struct blob der = {.n = 0};
        struct issue t = below_root((enum key_type)type, &der);
        t.serves_tls = true;
        for (size_t i = 0; i < N_OF(leaf_rows); i++) {
            t.identity = leaf_rows[i].identity;
            t.also = leaf_rows[i].also;
            t.is_ip = leaf_rows[i].is_ip;
            t.common_name = leaf_rows[i].common_name;
            t.crl_url = leaf_rows[i].crl_url;
            t.issuer_url = leaf_rows[i].issuer_url;
            assert_true(write_certificate("leaf", &t, (enum key_type)type) > 0);
            assert_extensions("leaf.pem", leaf_rows[i].extensions);
            run(VERIFY "-purpose sslserver leaf.pem");
        }
    }
}

/* Lengths of more than one byte. */
static void long_urls(void **state)
{
    (void)state;
    static char url[URL_LIMIT + 1] = "http://x.example/";
    struct blob der = {.n = 0};
    struct issue t = below_root(KEY_ECDSA, &der);
    t.identity = "a.example";
    t.crl_url = t.issuer_url = url;
    static const size_t sizes[] = {100, 127, 128, 240, 255, 256, URL_LIMIT};
    for (size_t i = 0; i < N_OF(sizes); i++) {
        memset(url + 17, 'u', sizes[i] - 17);
        assert_true(write_certificate("leaf", &t, KEY_ECDSA) > 0);
        run(VERIFY "leaf.pem");
        const char *shown = run("openssl x509 -in leaf.pem -noout -text");
        const char *first = strstr(shown, url);
        assert_non_null(first);
        assert_non_null(strstr(first + 1, url));
    }
}

static void too_large(void **state)
{
    (void)state;
    static uint8_t much[ISSUE_LIMIT];
    struct issue t = root_of(KEY_ECDSA);
    t.constraints = (struct span){much, sizeof much};
    assert_int_equal(write_certificate("none", &t, KEY_ECDSA), 0);
    /* As large as it may be without its signature: that does not fit any more. */
    static const size_t near[] = {7500, 7900, 7950, 8000, 8100, 8191};
    for (size_t i = 0; i < N_OF(near); i++) {
        uint8_t *out = malloc(ISSUE_LIMIT);
        t.constraints.n = near[i];
        assert_true(issue_certificate(&t, signers[KEY_RSA], out) <= ISSUE_LIMIT);
        free(out);
    }
}

/* UTCTime to 2049, then GeneralizedTime (RFC 5280 section 4.1.2.5). */
static void dates(void **state)
{
    (void)state;
    static const struct {
        time_t when;
        const char *shown, *form;
    } rows[] = {
        {2524607999, "notAfter=Dec 31 23:59:59 2049 GMT\n", "UTCTIME"},
        {2524608000, "notAfter=Jan  1 00:00:00 2050 GMT\n", "GENERALIZEDTIME"},
        {4102444800, "notAfter=Jan  1 00:00:00 2100 GMT\n", "GENERALIZEDTIME"},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct issue t = root_of(KEY_ECDSA);
        t.not_after = rows[i].when;
        assert_true(write_certificate("root", &t, KEY_ECDSA) > 0);
        assert_string_equal(run("openssl x509 -in root.pem -noout -enddate"), rows[i].shown);
        assert_shows(run("openssl asn1parse -in root.pem | grep TIME | tail -1"), rows[i].form);
    }
}

static void serials(void **state)
{
    (void)state;
    struct issue t = root_of(KEY_ECDSA);
    uint8_t der[ISSUE_LIMIT], seen[64][ISSUE_SERIAL];
    for (size_t i = 0; i < N_OF(seen); i++) {
        struct cert c;
        size_t n = issue_certificate(&t, signers[KEY_ECDSA], der);
        assert_true(n > 0 && cert_parse((struct span){der, n}, &c));
        /* Behind the version: an INTEGER of 16 bytes, positive. */
        const uint8_t *serial = memmem(der, n, "\xa0\x03\x02\x01\x02\x02\x10", 7);
        assert_non_null(serial);
        assert_in_range(serial[7], 0x40, 0x7f);
        memcpy(seen[i], serial + 7, ISSUE_SERIAL);
        for (size_t k = 0; k < i; k++) assert_memory_not_equal(seen[i], seen[k], ISSUE_SERIAL);
    }
}

/* RFC 7093 section 2, method 1. */
static void key_ids(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++) {
        uint8_t id[ISSUE_KEY_ID];
        char hex[2 * ISSUE_KEY_ID + 2];
        struct issue t = root_of((enum key_type)type);
        assert_true(write_certificate("root", &t, (enum key_type)type) > 0);
        assert_true(issue_key_id(t.spki, id));
        text_hex(id, sizeof id, hex);
        strcat(hex, "\n");
        assert_string_equal(
            run("openssl x509 -in root.pem -noout -pubkey | openssl pkey -pubin -outform DER -out "
                "spki && set -- $(openssl asn1parse -inform DER -in spki | "
                "sed -n 's/^ *\\([0-9]*\\):.*hl=\\([0-9]*\\) .*BIT STRING.*/\\1 \\2/p') && "
                "tail -c +$(($1 + $2 + 2)) spki | sha256sum | cut -c1-40"),
            hex);
    }
    uint8_t id[ISSUE_KEY_ID];
    static const uint8_t not_one[][4] = {{0x30, 2, 0x30, 0}, {0x30, 0}, {0x03, 1, 0}, {0}};
    for (size_t i = 0; i < N_OF(not_one); i++)
        for (size_t n = 0; n <= 4; n++) {
            uint8_t *copy = exact(not_one[i], n);
            assert_false(issue_key_id((struct span){copy, n}, id));
            free(copy);
        }
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *identity, *also, *hex;
        bool is_ip;
    } rows[] = {
        {"a.b", NULL, "8203612e62", false},
        {"192.0.2.1", NULL, "8704c0000201", true},
        {"192.0.2.1", "a.b", "8704c0000201 8203612e62", true},
        {"2001:db8::1", NULL, "871020010db8000000000000000000000001", true},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct blob wanted = {.n = 0};
        blob_hex(&wanted, rows[i].hex);
        for (size_t room = 0; room <= wanted.n; room++) {
            uint8_t *buffer = malloc(room ? room : 1);
            struct span out;
            bool ok =
                issue_names(rows[i].identity, rows[i].is_ip, rows[i].also, buffer, room, &out);
            assert_true(ok == (room == wanted.n));
            if (ok) assert_int_equal(out.n, wanted.n);
            if (ok) assert_memory_equal(out.p, wanted.p, wanted.n);
            free(buffer);
        }
    }
    uint8_t buffer[64];
    struct span out;
    assert_false(issue_names("no address", true, NULL, buffer, sizeof buffer, &out));
}

/* ---- CRLs ---- */

static size_t write_crl(struct issue_crl *t, enum key_type type, uint8_t der[ISSUE_LIMIT])
{
    struct blob root_der = {.n = 0};
    struct issue root = root_of(type);
    assert_true(write_certificate("root", &root, type) > 0);
    struct cert c = certificate("root.pem", &root_der);
    t->issuer = c.subject;
    t->issuer_key_id = c.subject_key_id;
    size_t n = issue_crl(t, signers[type], der);
    if (n > 0) save("list.crl", der, n);
    return n;
}

static const struct {
    uint64_t number;
    const char *der;
} numbers[] = {
    {0, "0603551d14 0403 0201 00"},
    {1, "0603551d14 0403 0201 01"},
    {0x7f, "0603551d14 0403 0201 7f"},
    {0x80, "0603551d14 0404 0202 0080"},
    {0xff00, "0603551d14 0405 0203 00ff00"},
    {1800000000, "0603551d14 0406 0204 6b49d200"},
    {0x7fffffff, "0603551d14 0406 0204 7fffffff"},
    {0x80000000, "0603551d14 0407 0205 0080000000"},
    {0xffffffff, "0603551d14 0407 0205 00ffffffff"},
    {0x100000000, "0603551d14 0407 0205 0100000000"},
    {0x8000000000000000, "0603551d14 040b 0209 008000000000000000"},
    {0xffffffffffffffff, "0603551d14 040b 0209 00ffffffffffffffff"},
};

/* Positive and in the fewest bytes. */
static void crl_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(numbers); i++) {
        uint8_t der[ISSUE_LIMIT];
        struct blob wanted = {.n = 0};
        struct issue_crl t = {
            .number = numbers[i].number, .this_update = begins, .next_update = ends};
        size_t n = write_crl(&t, KEY_ECDSA, der);
        blob_hex(&wanted, numbers[i].der);
        assert_non_null(memmem(der, n, wanted.p, wanted.n));
        const char *is = run("openssl crl -inform DER -in list.crl -noout -crlnumber");
        assert_int_equal(strtoull(is + strlen("crlNumber=0x"), NULL, 16), numbers[i].number);
    }
}

static void crls(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++) {
        uint8_t der[ISSUE_LIMIT];
        struct issue_crl t = {.number = 7, .this_update = 2524607999, .next_update = 2524608000};
        assert_true(write_crl(&t, (enum key_type)type, der) > 0);
        assert_shows(run("openssl crl -inform DER -in list.crl -noout -CAfile root.pem"),
                     "verify OK");
        const char *shown = run("openssl crl -inform DER -in list.crl -noout -text");
        assert_shows(shown, "Version 2 (0x1)");
        assert_shows(shown, "Last Update: Dec 31 23:59:59 2049 GMT");
        assert_shows(shown, "Next Update: Jan  1 00:00:00 2050 GMT");
        assert_shows(shown, "No Revoked Certificates");
        assert_shows(shown, "Issuer: CN = root");
        assert_shows(shown, type == KEY_RSA ? "sha256WithRSAEncryption" : "ecdsa-with-SHA256");
        run("openssl asn1parse -inform DER -in list.crl | grep -q UTCTIME && "
            "openssl asn1parse -inform DER -in list.crl | grep -q GENERALIZEDTIME");
        run("! openssl crl -inform DER -in list.crl -noout -text | grep -q critical");
    }
}

static int begin(void **state)
{
    (void)state;
    bool ok = key_generate(KEY_ECDSA, 0, &subject_key);
    for (int type = 0; type < KEY_TYPES; type++)
        ok = ok && key_generate((enum key_type)type, 2048, &keys[type]) &&
             (signers[type] = signing_key_new(&keys[type])) != NULL;
    return ok ? openssl_begin("") : 1;
}

static int end(void **state)
{
    for (int type = 0; type < KEY_TYPES; type++) {
        signing_key_free(signers[type]);
        key_fini(&keys[type]);
    }
    key_fini(&subject_key);
    return openssl_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root),    cmocka_unit_test(a_root_of_any_length),
        cmocka_unit_test(leaves),    cmocka_unit_test(long_urls),
        cmocka_unit_test(too_large), cmocka_unit_test(dates),
        cmocka_unit_test(serials),   cmocka_unit_test(key_ids),
        cmocka_unit_test(names),     cmocka_unit_test(crl_numbers),
        cmocka_unit_test(crls),
    };
    return cmocka_run_group_tests_name("issue", tests, begin, end);
}
