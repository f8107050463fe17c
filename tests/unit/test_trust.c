/* Paths through what an upstream sends: every link is checked, a detour does not hide a fault, and
 * an unneeded certificate does no harm. */
#include "openssl.h"

#include "pki/keys.h"
#include "pki/trust.h"
#include "policy/flight.h"

/* What the upstream sends, the trusted anchors, and the CRLs. */
struct scene {
    const char *chain, *anchors, *crls; /* names with a space between; crls may be NULL */
    enum reason reason;
};

static struct blob ders[FLIGHT_CHAIN_LIMIT + 1];

static struct text load_all(const char *names, const char *suffix)
{
    struct text all = {0};
    char copy[1024], name[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *one; (one = strsep(&rest, " "));) {
        snprintf(name, sizeof name, "%s%s", one, suffix);
        load_more(&all, name);
    }
    return all;
}

static struct trust *trust_of(const struct scene *s)
{
    struct text anchors = load_all(s->anchors, ".pem"), crls = {0}, errors = {0};
    if (s->crls) crls = load_all(s->crls, ".crl");
    struct trust *trust =
        trust_new(&anchors, "anchors", s->crls ? &crls : NULL, "crls", 2048, &errors);
    if (!trust) fail_msg("%s", text_string(&errors));
    text_fini(&anchors);
    text_fini(&crls);
    text_fini(&errors);
    return trust;
}

static enum reason judge_by(struct trust *trust, const char *names, const char *identity,
                            time_t *valid_until)
{
    struct span chain[N_OF(ders)];
    char copy[1024], name[128], *rest = copy;
    size_t n = 0;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *one; (one = strsep(&rest, " ")); n++) {
        assert_true(n < N_OF(chain));
        snprintf(name, sizeof name, "%s.pem", one);
        chain[n] = load_der(name, &ders[n]);
    }
    struct peer_check check = {.trust = trust, .identity = identity, .reason = REASON_OK};
    bool go_on = trust_judge(&check, chain, n);
    assert_true(check.called && check.facts.present);
    assert_int_equal(go_on, check.reason == REASON_OK);
    assert_int_equal(trust_judge(&check, chain, n), go_on);
    assert_int_equal(check.verified, check.reason == REASON_OK);
    if (valid_until) *valid_until = check.facts.valid_until;
    cert_facts_fini(&check.facts);
    return check.reason;
}

static enum reason judge(const struct scene *s, const char *identity, time_t *valid_until)
{
    struct trust *trust = trust_of(s);
    enum reason reason = judge_by(trust, s->chain, identity, valid_until);
    /* What the first time left in the cache changes nothing. */
    assert_int_equal(judge_by(trust, s->chain, identity, valid_until), reason);
    trust_free(trust);
    return reason;
}

static void check_scenes(const struct scene *scenes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum reason reason = judge(&scenes[i], "gate.example", NULL);
        if (reason != scenes[i].reason)
            fail_msg("%s below %s with %s: reason %d, not %d", scenes[i].chain, scenes[i].anchors,
                     scenes[i].crls ? scenes[i].crls : "no CRL", (int)reason,
                     (int)scenes[i].reason);
    }
}

static void paths(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf inter", "root", NULL, REASON_OK},
        {"leaf inter root", "root", NULL, REASON_OK},
        {"leaf", "inter", NULL, REASON_OK},
        {"leaf", "leaf", NULL, REASON_OK},
        {"leaf", "root", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
        {"leaf inter", "other", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
        /* Cross-signed by an unknown root: either order. */
        {"leaf inter inter-cross", "root", NULL, REASON_OK},
        {"leaf inter-cross inter", "root", NULL, REASON_OK},
        {"leaf inter-cross inter", "strange", NULL, REASON_OK},
        {"leaf inter-cross", "root", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
        /* An issuer needs the right to sign certificates. */
        {"leaf inter-no-sign", "root", NULL, REASON_UPSTREAM_CERTIFICATE_INVALID},
        {"leaf inter-no-ca", "root", NULL, REASON_UPSTREAM_CERTIFICATE_INVALID},
        {"leaf inter-no-sign inter", "root", NULL, REASON_OK},
        /* The name and the key identifier are the issuer's, the key is not. */
        {"leaf inter-forged", "root", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
        {"leaf inter-forged inter", "root", NULL, REASON_OK},
    };
    check_scenes(scenes, N_OF(scenes));
}

/* A good chain gives no credit to a forged one. */
static void remembered_signatures(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf inter", "root", NULL, REASON_OK},
        {"leaf inter-forged", "root", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
        {"leaf inter-no-sign", "root", NULL, REASON_UPSTREAM_CERTIFICATE_INVALID},
        {"leaf inter-forged inter", "root", NULL, REASON_OK},
        {"leaf inter-forged", "root", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
        {"leaf inter inter-namesake", "root", NULL, REASON_OK},
        /* The right key has no anchor here, and the right anchor not the key. */
        {"leaf inter-namesake inter-cross", "root", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
    };
    struct trust *trust = trust_of(&scenes[0]);
    for (size_t i = 0; i < N_OF(scenes); i++)
        assert_int_equal(judge_by(trust, scenes[i].chain, "gate.example", NULL), scenes[i].reason);
    trust_free(trust);
}

#define FOUR_FORGED "inter-forged inter-forged inter-forged inter-forged "
#define TWENTY_FORGED FOUR_FORGED FOUR_FORGED FOUR_FORGED FOUR_FORGED FOUR_FORGED

/* 24 signatures: the leaf's counts once, and failed checks count, too. */
static void signatures_are_counted(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf " TWENTY_FORGED "inter-forged inter-forged inter", "root", NULL, REASON_OK},
        {"leaf " TWENTY_FORGED "inter-forged inter-forged inter-forged inter", "root", NULL,
         REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
    };
    for (size_t i = 0; i < N_OF(scenes); i++) {
        struct trust *trust = trust_of(&scenes[i]);
        assert_int_equal(judge_by(trust, scenes[i].chain, "gate.example", NULL), scenes[i].reason);
        trust_free(trust);
    }
}

static void certificates_are_counted(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf inter " TWENTY_FORGED FOUR_FORGED FOUR_FORGED "inter-forged inter-forged", "root",
         NULL, REASON_OK},
        {"leaf inter " TWENTY_FORGED FOUR_FORGED FOUR_FORGED
         "inter-forged inter-forged inter-forged",
         "root", NULL, REASON_UPSTREAM_CERTIFICATE_INVALID},
    };
    check_scenes(scenes, N_OF(scenes));
}

/* Two CAs that name each other and the leaf names: the search ends. */
static void circles(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf inter-cross strange-by-inter inter-cross strange-by-inter inter-cross "
         "strange-by-inter inter-cross strange-by-inter inter-cross",
         "root", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
        {"leaf inter-cross strange-by-inter inter", "root", NULL, REASON_OK},
    };
    check_scenes(scenes, N_OF(scenes));
}

/* A revoked intermediate stays revoked next to a twin with its name and key that claims another
 * anchor, one without a key identifier, but has no valid signature. */
static void revoked(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf inter", "root bare", "root-revoking", REASON_UPSTREAM_CERTIFICATE_REVOKED},
        {"leaf inter-twin inter", "root bare", "root-revoking",
         REASON_UPSTREAM_CERTIFICATE_REVOKED},
        {"leaf inter inter-twin", "root bare", "root-revoking",
         REASON_UPSTREAM_CERTIFICATE_REVOKED},
        {"leaf inter-twin inter", "bare root", "root-revoking",
         REASON_UPSTREAM_CERTIFICATE_REVOKED},
        /* A twin that another anchor has really signed is another path. */
        {"leaf inter inter-cross", "root strange", "root-revoking", REASON_OK},
        {"leaf inter-cross inter", "root strange", "root-revoking", REASON_OK},
        {"leaf inter", "root", "root-empty", REASON_OK},
        {"leaf inter", "root", "strange-empty", REASON_OK},
        /* Being an anchor itself does not undo a revocation. */
        {"leaf inter", "leaf", NULL, REASON_OK},
        {"leaf inter", "leaf", "inter-delta-revoking", REASON_UPSTREAM_CERTIFICATE_REVOKED},
        {"leaf", "leaf inter", "inter-delta-revoking", REASON_UPSTREAM_CERTIFICATE_REVOKED},
    };
    check_scenes(scenes, N_OF(scenes));
}

/* RFC 5280 section 5.2: lists with an unknown critical extension. */
static void partial_lists(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf inter", "root", "inter-full", REASON_OK},
        {"leaf inter", "root", "inter-delta", REASON_UPSTREAM_REVOCATION_UNKNOWN},
        {"leaf inter", "root", "inter-shard", REASON_UPSTREAM_REVOCATION_UNKNOWN},
        {"leaf inter", "root", "inter-only-ca", REASON_UPSTREAM_REVOCATION_UNKNOWN},
        {"leaf inter", "root", "inter-delta inter-full", REASON_OK},
        {"leaf inter", "root", "inter-delta-revoking", REASON_UPSTREAM_CERTIFICATE_REVOKED},
        {"leaf inter", "root", "inter-full inter-delta-revoking",
         REASON_UPSTREAM_CERTIFICATE_REVOKED},
    };
    check_scenes(scenes, N_OF(scenes));
}

static void dates(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf inter-old", "root", NULL, REASON_UPSTREAM_CERTIFICATE_EXPIRED},
        {"leaf inter inter-old", "root", NULL, REASON_OK},
        {"leaf inter-old inter", "root", NULL, REASON_OK},
        {"leaf inter root-cross-old", "root", NULL, REASON_OK},
        {"leaf inter root-cross-old", "root strange", NULL, REASON_OK},
        {"leaf-old inter", "root", NULL, REASON_UPSTREAM_CERTIFICATE_EXPIRED},
        {"leaf-old inter inter-old", "root", NULL, REASON_UPSTREAM_CERTIFICATE_EXPIRED},
        /* The anchor itself, sent along or not; its renewed twin helps. */
        {"leaf inter", "root-old", NULL, REASON_UPSTREAM_CERTIFICATE_EXPIRED},
        {"leaf inter root-old", "root-old", NULL, REASON_UPSTREAM_CERTIFICATE_EXPIRED},
        {"leaf inter", "root-old root", NULL, REASON_OK},
        {"leaf inter", "root root-old", NULL, REASON_OK},
        {"leaf inter root-old", "root", NULL, REASON_OK},
        {"leaf inter root-old", "root-old root", NULL, REASON_OK},
        {"leaf inter", "root-future", NULL, REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID},
    };
    check_scenes(scenes, N_OF(scenes));
}

static void weak(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf inter-sha1", "root", NULL, REASON_UPSTREAM_CERTIFICATE_WEAK},
        {"leaf-sha1 inter", "root", NULL, REASON_UPSTREAM_CERTIFICATE_WEAK},
        /* That link is not verified: no other fault is reported, no verified fault is hidden. */
        {"leaf-sha1-old inter", "root", NULL, REASON_UPSTREAM_CERTIFICATE_WEAK},
        {"leaf inter-sha1 inter-old", "root", NULL, REASON_UPSTREAM_CERTIFICATE_EXPIRED},
        {"leaf inter-old inter-sha1", "root", NULL, REASON_UPSTREAM_CERTIFICATE_EXPIRED},
        {"leaf inter root-sha1", "root-sha1", NULL, REASON_OK},
        {"leaf inter", "root-sha1", NULL, REASON_OK},
        {"leaf pss-sha1", "rsa", NULL, REASON_UPSTREAM_CERTIFICATE_WEAK},
    };
    check_scenes(scenes, N_OF(scenes));
}

/* The salt may have any length; openssl's default is the longest. */
static void pss(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"leaf pss-20", "rsa", NULL, REASON_OK},
        {"leaf pss-32", "rsa", NULL, REASON_OK},
        {"leaf pss-222", "rsa", NULL, REASON_OK},
        {"leaf pss-sha384", "rsa", NULL, REASON_OK},
        {"leaf pss-forged", "rsa", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED},
        {"leaf pss-32", "rsa", "rsa-pss", REASON_OK},
    };
    check_scenes(scenes, N_OF(scenes));
}

static void identities(void **state)
{
    (void)state;
    static const struct scene good = {"leaf inter", "root", NULL, REASON_OK};
    assert_int_equal(judge(&good, "other.example", NULL),
                     REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH);
}

static time_t until(const char *chain, const char *anchors, const char *crls)
{
    time_t t;
    struct scene s = {chain, anchors, crls, REASON_OK};
    assert_int_equal(judge(&s, "gate.example", &t), REASON_OK);
    return t;
}

static time_t end_of(const char *name)
{
    return certificate(name, &ders[0]).not_after;
}

/* The earliest expiry of all that the result depends on; a session is not kept for longer. */
static void valid_until(void **state)
{
    (void)state;
    time_t now = time(NULL), day = 86400;
    assert_true(until("leaf inter", "root", NULL) == end_of("leaf.pem"));
    assert_true(until("leaf inter-short", "root", NULL) == end_of("inter-short.pem"));
    assert_true(until("leaf inter", "root-short", NULL) == end_of("root-short.pem"));
    assert_true(until("leaf inter", "root-short", NULL) < end_of("leaf.pem"));
    time_t with_crl = until("leaf inter", "root", "root-empty");
    assert_true(with_crl > now + 9 * day && with_crl <= now + 10 * day);
    assert_true(until("leaf inter", "root", "inter-full") <= now + 10 * day);
    assert_true(until("leaf inter", "root", "strange-empty") == end_of("leaf.pem"));
}

static int set_up(void **state)
{
    (void)state;
    int failed = openssl_begin("[no_sign_ext]\nbasicConstraints = critical,CA:TRUE\n"
                               "keyUsage = critical,cRLSign\nsubjectKeyIdentifier = hash\n"
                               "authorityKeyIdentifier = keyid\n"
                               "[no_ca_ext]\nsubjectKeyIdentifier = hash\n"
                               "authorityKeyIdentifier = keyid\n"
                               "[delta]\n2.5.29.27 = critical,DER:020105\n"
                               "[shard]\nissuingDistributionPoint = critical,@shard_point\n"
                               "[shard_point]\nfullname = URI:http://gate.example/1.crl\n"
                               "[only_ca]\nissuingDistributionPoint = critical,@only_ca_point\n"
                               "[only_ca_point]\nonlyCA = TRUE\n");
    if (failed) return failed;
    run("key root inter leaf strange bare evil && "
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
    run("old='-startdate 20200101000000Z -enddate 20210101000000Z'; "
        "cert root Root root ca_ext self && cert root-old Root root ca_ext self $old && "
        "cert root-short Root root ca_ext self -days 50 && "
        "cert root-sha1 Root root ca_ext self -md sha1 && cert root-future Root root ca_ext self "
        "-startdate 20490101000000Z -enddate 20490201000000Z && "
        "cert other Other evil ca_ext self && cert strange Strange strange ca_ext self && "
        "cert bare Bare bare bare_ext self && cert rsa RSA rsa ca_ext self");
    run("old='-startdate 20200101000000Z -enddate 20210101000000Z'; "
        "cert inter Inter inter ca_ext root && cert inter-old Inter inter ca_ext root $old && "
        "cert inter-short Inter inter ca_ext root -days 60 && "
        "cert inter-sha1 Inter inter ca_ext root -md sha1 && "
        "cert inter-cross Inter inter ca_ext strange && "
        "cert inter-no-sign Inter inter no_sign_ext root && "
        "cert inter-no-ca Inter inter no_ca_ext root && "
        "cert root-cross-old Root root ca_ext strange $old && "
        "cert strange-by-inter Strange strange ca_ext inter && "
        "cert leaf leaf leaf leaf_ext inter -days 100 && "
        "cert leaf-old leaf leaf leaf_ext inter $old && "
        "cert leaf-sha1 leaf leaf leaf_ext inter -md sha1 && "
        "cert leaf-sha1-old leaf leaf leaf_ext inter -md sha1 $old");
    /* evil signs as Root, with its key identifier, and as Bare, with one that matches nothing. */
    run("id=$(openssl x509 -in root.pem -noout -ext subjectKeyIdentifier | tail -1 | tr -d ' '); "
        "printf '[as_root]\\nsubjectKeyIdentifier = %s\\n[as_bare]\\nsubjectKeyIdentifier = "
        "%s\\n' $id 55:55:55:55 >>conf && "
        "cert as-root Root evil as_root self && cert as-bare Bare evil as_bare self && "
        "cp evil.key as-root.key && cp evil.key as-bare.key && "
        "cert inter-forged Inter inter ca_ext as-root && "
        "cert inter-twin Inter inter ca_ext as-bare");
    /* Really signed by Root, with Inter's name and key identifier, but the key of evil. */
    run("id=$(openssl x509 -in inter.pem -noout -ext subjectKeyIdentifier | tail -1 | tr -d ' '); "
        "printf '[as_inter]\\nbasicConstraints = critical,CA:TRUE\\nkeyUsage = "
        "critical,keyCertSign\\nsubjectKeyIdentifier = %s\\n' $id >>conf && "
        "cert inter-namesake Inter evil as_inter root");
    run("p='-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen'; "
        "cert pss-20 Inter inter ca_ext rsa $p:20 && cert pss-32 Inter inter ca_ext rsa $p:32 && "
        "cert pss-222 Inter inter ca_ext rsa $p:222 && "
        "cert pss-sha384 Inter inter ca_ext rsa $p:48 -md sha384 && "
        "cert pss-sha1 Inter inter ca_ext rsa $p:20 -md sha1 && "
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa2.key && "
        "id=$(openssl x509 -in rsa.pem -noout -ext subjectKeyIdentifier | tail -1 | tr -d ' '); "
        "printf '[as_rsa]\\nsubjectKeyIdentifier = %s\\n' $id >>conf && "
        "cert as-rsa RSA rsa2 as_rsa self && cp rsa2.key as-rsa.key && "
        "cert pss-forged Inter inter ca_ext as-rsa $p:32 && crl rsa-pss rsa $p:222");
    run("crl root-empty root && crl strange-empty strange && crl inter-full inter && "
        "for n in delta shard only-ca; do crl inter-$n inter -crlexts $(echo $n | tr - _) || exit; "
        "done; revoke inter root && crl root-revoking root && "
        "revoke leaf inter && crl inter-delta-revoking inter -crlexts delta");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(circles),
        cmocka_unit_test(revoked),
        cmocka_unit_test(partial_lists),
        cmocka_unit_test(dates),
        cmocka_unit_test(weak),
        cmocka_unit_test(pss),
        cmocka_unit_test(identities),
        cmocka_unit_test(valid_until),
        cmocka_unit_test(remembered_signatures),
        cmocka_unit_test(signatures_are_counted),
        cmocka_unit_test(certificates_are_counted),
    };
    return cmocka_run_group_tests_name("trust", tests, set_up, openssl_end);
}
