/* Revocation lists that openssl makes: only an issuer that has one is asked, and a list that
 * is stale or not signed by the issuer's key answers nothing. */
#include "helper.h"

#include "pki/crl.h"
#include "pki/keys.h"

#include <time.h>
#include <unistd.h>

static char directory[] = "/tmp/suitegate-crl-XXXXXX";

static void run(const char *command)
{
    char line[2048], out[4096];
    snprintf(line, sizeof line, "cd %s && { %s; } 2>&1", directory, command);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    if (pclose(f)) fail_msg("%s: %s", command, out);
}

static struct text load(const char *name)
{
    char path[128], block[4096];
    struct text t = {0};
    size_t n;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while ((n = fread(block, 1, sizeof block, f)) > 0) text_add_bytes(&t, block, n);
    fclose(f);
    return t;
}

static bool keep(void *arg, struct span s)
{
    blob_bytes(arg, s.p, s.n);
    return true;
}

static struct cert certificate(const char *name, struct blob *der)
{
    struct text t = load(name);
    struct cert c;
    der->n = 0;
    assert_true(pem_each(text_string(&t), t.size, PEM_CERTIFICATE, keep, der));
    assert_true(cert_parse((struct span){der->p, der->n}, &c));
    text_fini(&t);
    return c;
}

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
    /* Where a list cleared it, the answer ends with the list. */
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

static void answers(void **state)
{
    (void)state;
    time_t now = time(NULL);
    static const struct {
        const char *file;
        enum crl_answer good, bad;
    } rows[] = {
        {"ca.crl", CRL_PASS, CRL_REVOKED},
        {"rsa-sha384.crl", CRL_PASS, CRL_REVOKED},
        {"empty.crl", CRL_PASS, CRL_PASS},
        {"other.crl", CRL_PASS, CRL_PASS}, /* of another issuer */
        {"both.crl", CRL_PASS, CRL_REVOKED},
        {"forged.crl", CRL_UNKNOWN, CRL_UNKNOWN}, /* the issuer's name, another's key */
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct crl_set *set = lists(rows[i].file);
        for (unsigned again = 0; again < 2; again++) {
            if (answer(set, &good, &ca, now) != rows[i].good ||
                answer(set, &bad, &ca, now) != rows[i].bad)
                fail_msg("%s", rows[i].file);
        }
        crl_set_free(set);
    }
    assert_int_equal(answer(NULL, &bad, &ca, now), CRL_PASS);
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
    /* A key that did not sign it is not remembered as one that did. */
    struct cert impostor = ca;
    impostor.spki = other.spki;
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

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory)) return 1;
    run("printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=index\\ndefault_md=sha256\\n"
        "default_crl_days=10\\n' >conf && : >index && "
        "for n in ca other; do openssl req -x509 -newkey rsa:2048 -nodes -keyout $n.key -out "
        "$n.pem -days 9 -subj /CN=$n; done && "
        "for n in good bad; do openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
        "-keyout $n.key -out $n.csr -subj /CN=$n && openssl x509 -req -in $n.csr -CA ca.pem -CAkey "
        "ca.key -days 5 -out $n.pem; done");
    run("g() { openssl ca -config conf -gencrl \"$@\"; }; "
        "g -keyfile ca.key -cert ca.pem -out empty.crl && "
        "openssl ca -config conf -keyfile ca.key -cert ca.pem -revoke bad.pem && "
        "g -keyfile ca.key -cert ca.pem -out ca.crl && "
        "g -keyfile ca.key -cert ca.pem -md sha384 -out rsa-sha384.crl && "
        "g -keyfile other.key -cert other.pem -out other.crl && cat other.crl ca.crl >both.crl && "
        "openssl req -x509 -new -key other.key -out forger.pem -days 9 -subj /CN=ca && "
        "g -keyfile other.key -cert forger.pem -out forged.crl");
    ca = certificate("ca.pem", &ca_der);
    other = certificate("other.pem", &other_der);
    good = certificate("good.pem", &good_der);
    bad = certificate("bad.pem", &bad_der);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    random_thread_fini();
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(valid_until),
        cmocka_unit_test(stale),
        cmocka_unit_test(not_a_list),
    };
    return cmocka_run_group_tests_name("crl", tests, set_up, tear_down);
}
