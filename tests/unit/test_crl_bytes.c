/* Revocation lists byte by byte, each rightly signed: one that cannot be read is none, and one that
 * is not understood clears no certificate. */
#include "openssl.h"

#include "pki/crl.h"

static struct blob ca_der, leaf_der, tbs, list;
static struct cert ca, leaf;

#define SHA256_RSA "30 0d 06092a864886f70d01010b 0500"
#define DATE "17 0d 3230303130313030303030305a" /* 2020 */
#define FAR "17 0d 3439303130313030303030305a"  /* 2049 */
#define TIMES DATE FAR
#define ENTRY "30 12 020105" DATE
#define VERSION "020101"

enum { UNREADABLE = -1 };

static void element(struct blob *out, uint8_t tag, const void *p, size_t n)
{
    blob_number(out, tag, 1);
    if (n >= 0x80) blob_number(out, 0x82, 1);
    blob_number(out, (uint32_t)n, n >= 0x80 ? 2 : 1);
    blob_bytes(out, p, n);
}

static void write_file(const char *name, const struct blob *b)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(b->p, 1, b->n, f), b->n);
    assert_int_equal(fclose(f), 0);
}

/* CertificateList of the TBSCertList's content in tbs. */
static void sign(void)
{
    static struct blob body, whole;
    whole.n = body.n = list.n = 0;
    element(&whole, 0x30, tbs.p, tbs.n);
    write_file("tbs", &whole);
    run("openssl dgst -sha256 -sign ca.key -out signature tbs");
    struct text signature = load("signature");
    blob_bytes(&body, whole.p, whole.n);
    blob_hex(&body, SHA256_RSA);
    whole.n = 0;
    blob_number(&whole, 0, 1); /* bits that are not used */
    blob_bytes(&whole, text_string(&signature), signature.size);
    element(&body, 0x03, whole.p, whole.n);
    element(&list, 0x30, body.p, body.n);
    text_fini(&signature);
}

/* What the list says of the leaf. */
static int answer(void)
{
    struct text errors = {0};
    write_file("list", &list);
    run("{ echo -----BEGIN X509 CRL-----; base64 list; echo -----END X509 CRL-----; } >list.crl");
    struct text pem = load("list.crl");
    struct crl_set *set = crl_set_new(&pem, "list.crl", &errors);
    int found = UNREADABLE;
    time_t now = time(NULL), until = now + 86400;
    if (set) found = (int)crl_check(set, &leaf, &ca, now, &until);
    assert_int_equal(set == NULL, errors.size > 0);
    crl_set_free(set);
    text_fini(&pem);
    text_fini(&errors);
    return found;
}

/* before: up to the issuer; rest: behind it. */
static const struct {
    const char *what, *before, *rest;
    int answer;
} rows[] = {
    {"no entry", VERSION SHA256_RSA, TIMES, CRL_PASS},
    {"an entry", VERSION SHA256_RSA, TIMES "30 14" ENTRY, CRL_PASS},
    {"no version", SHA256_RSA, TIMES, CRL_PASS},
    {"nothing", NULL, "", UNREADABLE},
    {"a version and nothing", NULL, VERSION, UNREADABLE},
    {"no algorithm", VERSION, TIMES, UNREADABLE},
    {"an algorithm that is none", VERSION "0500", TIMES, UNREADABLE},
    {"no time", VERSION SHA256_RSA, "", UNREADABLE},
    {"no nextUpdate", VERSION SHA256_RSA, DATE, UNREADABLE},
    {"no nextUpdate, an entry", VERSION SHA256_RSA, DATE "30 14" ENTRY, UNREADABLE},
    {"a thisUpdate that is no time", VERSION SHA256_RSA, "0500" FAR, UNREADABLE},
    {"entries cut short", VERSION SHA256_RSA, TIMES "30 15" ENTRY, UNREADABLE},
    {"an entry that is no sequence", VERSION SHA256_RSA, TIMES "30 03 020105", UNREADABLE},
    {"an entry without a serial", VERSION SHA256_RSA, TIMES "30 04 3002 0500", UNREADABLE},
    {"an entry without a date", VERSION SHA256_RSA, TIMES "30 05 3003 020105", UNREADABLE},
    {"an entry with more than extensions", VERSION SHA256_RSA,
     TIMES "30 16 30 14 020105" DATE "0500", CRL_UNKNOWN},
    {"an end that is no extensions", VERSION SHA256_RSA, TIMES "0500", UNREADABLE},
    {"extensions that are no sequence", VERSION SHA256_RSA, TIMES "a002 0500", UNREADABLE},
    {"an extension that is no sequence", VERSION SHA256_RSA, TIMES "a004 3002 0500", CRL_UNKNOWN},
    {"an extension without a name", VERSION SHA256_RSA, TIMES "a006 3004 3002 0500", CRL_UNKNOWN},
    {"an extension without a value", VERSION SHA256_RSA, TIMES "a007 3005 3003 060103",
     CRL_UNKNOWN},
    {"an extension", VERSION SHA256_RSA, TIMES "a009 3007 3005 060103 0400", CRL_PASS},
    {"a critical extension", VERSION SHA256_RSA, TIMES "a00c 300a 3008 060103 0101ff 0400",
     CRL_UNKNOWN},
    {"a critical one behind another", VERSION SHA256_RSA,
     TIMES "a013 3011 3005 060103 0400 3008 060104 0101ff 0400", CRL_UNKNOWN},
    {"an extension that says it is not critical", VERSION SHA256_RSA,
     TIMES "a00c 300a 3008 060103 010100 0400", CRL_PASS},
};

static void every_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(rows); i++) {
        tbs.n = 0;
        if (rows[i].before) {
            blob_hex(&tbs, rows[i].before);
            blob_bytes(&tbs, ca.subject.p, ca.subject.n);
        }
        blob_hex(&tbs, rows[i].rest);
        sign();
        int found = answer();
        if (found != rows[i].answer) fail_msg("%s: %d", rows[i].what, found);
    }
}

/* Around the fields: rows that replace the whole list. */
static void no_list_at_all(void **state)
{
    (void)state;
    static const char *const whole[] = {"0500", "3000", "3002 3000", "3004 3000 3000",
                                        "3007 3000 3000 0301 00"};
    for (size_t i = 0; i < N_OF(whole); i++) {
        list.n = 0;
        blob_hex(&list, whole[i]);
        assert_int_equal(answer(), UNREADABLE);
    }
}

/* A good list before or behind it does not make up for one that cannot be read. */
static void one_of_two(void **state)
{
    (void)state;
    for (unsigned behind = 0; behind < 2; behind++) {
        struct text both = {0}, errors = {0};
        if (behind) load_more(&both, "good.crl");
        load_more(&both, "bad.crl");
        if (!behind) load_more(&both, "good.crl");
        assert_null(crl_set_new(&both, "both.crl", &errors));
        text_fini(&both);
        text_fini(&errors);
    }
}

static int set_up(void **state)
{
    (void)state;
    if (openssl_begin("")) return 1;
    run("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out ca.key && "
        "cert ca ca ca ca_ext self && key leaf && cert leaf leaf leaf leaf_ext ca && "
        "crl good ca && { echo -----BEGIN X509 CRL-----; echo BQA=; "
        "echo -----END X509 CRL-----; } >bad.crl");
    ca = certificate("ca.pem", &ca_der);
    leaf = certificate("leaf.pem", &leaf_der);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field),
        cmocka_unit_test(no_list_at_all),
        cmocka_unit_test(one_of_two),
    };
    return cmocka_run_group_tests_name("crl bytes", tests, set_up, openssl_end);
}
