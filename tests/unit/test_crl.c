/* Revocation lists made by openssl: a list applies to its own issuer only, and a list that is stale
 * or not signed by the issuer's key gives no answer. */
#include "openssl.h"

#include "pki/crl.h"

static struct crl_set *lists(const char *name)
{
    struct text t = load(name), errors = {0};
    struct crl_set *set = crl_set_new(&t, name, &errors);
    if (!set) fail_msg("%s", text_string(&errors));
    text_fini(&t);
    text_fini(&errors);
    return set;
}

static struct blob ca_der, other_der, good_der, bad_der;
static struct cert ca, other, good, bad;

static enum crl_answer answer(struct crl_set *set, const struct cert *c, const struct cert *issuer,
                              time_t now)
{
    time_t until = now + (time_t)1000 * 86400;
    enum crl_answer a = crl_check(set, c, issuer, now, &until);
    /* If a list cleared the certificate, the answer expires with the list. */
    if (a != CRL_PASS) assert_true(until == now + (time_t)1000 * 86400);
    return a;
}

static void valid_until(void **state)
{
    (void)state;
    time_t now = time(NULL), until = now + (time_t)1000 * 86400;
    struct crl_set *set = lists("ca.crl");
    assert_int_equal(crl_check(set, &good, &ca, now, &until), CRL_PASS);
    assert_true(until == crl_first_expiry(set));
    crl_set_free(set);
    until = 5;
    assert_int_equal(crl_check(NULL, &good, &ca, now, &until), CRL_PASS);
    assert_true(until == 5);
}

struct row {
    const char *file;
    enum crl_answer good, bad;
};

static void check_rows(const struct row *rows, size_t n)
{
    time_t now = time(NULL);
    for (size_t i = 0; i < n; i++) {
        struct crl_set *set = lists(rows[i].file);
        for (unsigned again = 0; again < 2; again++) {
            enum crl_answer to_good = answer(set, &good, &ca, now),
                            to_bad = answer(set, &bad, &ca, now);
            if (to_good != rows[i].good || to_bad != rows[i].bad)
                fail_msg("%s: %d and %d", rows[i].file, (int)to_good, (int)to_bad);
        }
        crl_set_free(set);
    }
}

static void answers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"ca.crl", CRL_PASS, CRL_REVOKED},
        {"rsa-sha384.crl", CRL_PASS, CRL_REVOKED},
        {"empty.crl", CRL_PASS, CRL_PASS},
        {"other.crl", CRL_PASS, CRL_PASS}, /* of another issuer */
        {"both.crl", CRL_PASS, CRL_REVOKED},
        {"forged.crl", CRL_UNKNOWN, CRL_UNKNOWN}, /* the issuer's name, another key */
    };
    check_rows(rows, N_OF(rows));
    assert_int_equal(answer(NULL, &bad, &ca, time(NULL)), CRL_PASS);
}

/* The list is good for ten days. */
static void stale(void **state)
{
    (void)state;
    time_t now = time(NULL), day = 86400;
    struct crl_set *set = lists("ca.crl");
    time_t expiry = crl_first_expiry(set);
    assert_true(expiry > now + 9 * day && expiry <= now + 10 * day);
    assert_int_equal(answer(set, &good, &ca, expiry - 1), CRL_PASS);
    assert_int_equal(answer(set, &good, &ca, expiry + 1), CRL_UNKNOWN);
    assert_int_equal(answer(set, &good, &ca, now - 2 * day), CRL_UNKNOWN);
    /* A key that did not sign it is not remembered as its signer. */
    struct cert impostor = ca;
    impostor.spki = other.spki;
    impostor.modulus = other.modulus;
    impostor.exponent = other.exponent;
    assert_int_equal(answer(set, &good, &impostor, now), CRL_UNKNOWN);
    assert_int_equal(answer(set, &good, &ca, now), CRL_PASS);
    crl_set_free(set);
    assert_int_equal(crl_first_expiry(NULL), 0);
}

static void not_a_list(void **state)
{
    (void)state;
    static const char *const contents[] = {
        "", "nothing\n", "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
        "-----BEGIN X509 CRL-----\n????\n-----END X509 CRL-----\n"};
    for (size_t i = 0; i < N_OF(contents); i++) {
        struct text t = {0}, errors = {0};
        text_add(&t, contents[i]);
        assert_null(crl_set_new(&t, "x.crl", &errors));
        assert_non_null(strstr(text_string(&errors), "x.crl"));
        text_fini(&t);
        text_fini(&errors);
    }
}

/* RFC 5280 sections 5.2 and 5.3: an unknown critical extension makes a list partial. A partial list
 * can revoke a certificate, but clears none. */
static void partial(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"delta.crl", CRL_UNKNOWN, CRL_REVOKED},     {"delta-empty.crl", CRL_UNKNOWN, CRL_UNKNOWN},
        {"shard.crl", CRL_UNKNOWN, CRL_REVOKED},     {"only-ca.crl", CRL_UNKNOWN, CRL_REVOKED},
        {"not-critical.crl", CRL_PASS, CRL_REVOKED}, {"with-full.crl", CRL_PASS, CRL_REVOKED},
        {"indirect.crl", CRL_UNKNOWN, CRL_UNKNOWN}, /* both serials belong to another issuer */
        {"by-hand.crl", CRL_PASS, CRL_REVOKED},     /* the same without critical extensions */
    };
    check_rows(rows, N_OF(rows));
}

/* RSASSA-PSS (RFC 4055 section 3) with any length of salt; SHA-1 proves nothing. */
static void pss(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"pss-20.crl", CRL_PASS, CRL_REVOKED},        {"pss-32.crl", CRL_PASS, CRL_REVOKED},
        {"pss-222.crl", CRL_PASS, CRL_REVOKED},       {"pss-sha1.crl", CRL_UNKNOWN, CRL_UNKNOWN},
        {"pss-forged.crl", CRL_UNKNOWN, CRL_UNKNOWN},
    };
    check_rows(rows, N_OF(rows));
}

/* openssl ca writes no certificateIssuer into an entry, so this list is built here. */
static const char by_hand[] =
    "by_hand() { "
    "serial() { openssl x509 -in $1.pem -noout -serial | sed 's/.*=/0x/'; }; "
    "printf '%s\\n' '[tbs]' v=INTEGER:1 a=SEQUENCE:alg n=SEQUENCE:name "
    "t=UTCTIME:$(date -u -d -1hour +%y%m%d%H%M%SZ) u=UTCTIME:$(date -u -d +1day +%y%m%d%H%M%SZ) "
    "r=SEQUENCE:revoked '[alg]' o=OID:sha256WithRSAEncryption n=NULL '[name]' s=SET:rdn '[rdn]' "
    "s=SEQUENCE:cn '[cn]' o=OID:commonName v=UTF8:ca '[revoked]' one=SEQUENCE:one "
    "two=SEQUENCE:two '[one]' s=INTEGER:$(serial bad) d=UTCTIME:200101000000Z $2 '[two]' "
    "s=INTEGER:$(serial $3) d=UTCTIME:200101000000Z $2 '[exts]' e=SEQUENCE:issuer '[issuer]' "
    "o=OID:certificateIssuer c=BOOLEAN:true v=OCTWRAP,SEQUENCE:names '[names]' >body && "
    "{ echo asn1=SEQUENCE:tbs; cat body; } >tbs.conf && "
    "openssl asn1parse -genconf tbs.conf -noout -out tbs.der && "
    "openssl dgst -sha256 -sign ca.key -out tbs.sig tbs.der && "
    "{ printf '%s\\n' asn1=SEQUENCE:list '[list]' t=SEQUENCE:tbs a=SEQUENCE:alg "
    "s=FORMAT:HEX,BITSTRING:$(od -An -v -tx1 tbs.sig | tr -d ' \\n'); cat body; } >list.conf && "
    "openssl asn1parse -genconf list.conf -noout -out list.der && "
    "openssl crl -inform DER -in list.der -out $1.crl; }; ";

static int set_up(void **state)
{
    (void)state;
    int failed = openssl_begin("[delta]\n2.5.29.27 = critical,DER:020105\n"
                               "[not_critical]\n2.5.29.27 = DER:020105\n"
                               "[shard]\nissuingDistributionPoint = critical,@shard_point\n"
                               "[shard_point]\nfullname = URI:http://gate.example/1.crl\n"
                               "[only_ca]\nissuingDistributionPoint = critical,@only_ca_point\n"
                               "[only_ca_point]\nonlyCA = TRUE\n");
    if (failed) return failed;
    run("for n in ca other; do openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "
        "$n.key && cert $n $n $n ca_ext self || exit; done; key good bad && "
        "cert forger ca other ca_ext self && cp other.key forger.key && "
        "cert good good good leaf_ext ca && cert bad bad bad leaf_ext ca");
    run("crl empty ca && crl delta-empty ca -crlexts delta && revoke bad ca && crl ca ca && "
        "crl rsa-sha384 ca -md sha384 && crl other other && cat other.crl ca.crl >both.crl && "
        "crl forged forger && crl delta ca -crlexts delta && "
        "crl not-critical ca -crlexts not_critical && crl shard ca -crlexts shard && "
        "crl only-ca ca -crlexts only_ca && cat delta-empty.crl ca.crl >with-full.crl");
    run("p='-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen'; crl pss-20 ca $p:20 && "
        "crl pss-32 ca $p:32 && crl pss-222 ca $p:222 && crl pss-sha1 ca $p:20 -md sha1 && "
        "crl pss-forged forger $p:32");
    struct text command = {0};
    text_printf(&command, "%s by_hand indirect ext=SEQUENCE:exts good && by_hand by-hand '' other",
                by_hand);
    run(text_string(&command));
    text_fini(&command);
    ca = certificate("ca.pem", &ca_der);
    other = certificate("other.pem", &other_der);
    good = certificate("good.pem", &good_der);
    bad = certificate("bad.pem", &bad_der);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers), cmocka_unit_test(valid_until), cmocka_unit_test(stale),
        cmocka_unit_test(partial), cmocka_unit_test(pss),         cmocka_unit_test(not_a_list),
    };
    return cmocka_run_group_tests_name("crl", tests, set_up, openssl_end);
}
