/* The local CA: openssl checks what it mints, in a temporary directory. */
#include "openssl.h"

#include "pki/ca.h"

static const struct ca_urls urls = {"http://gate.example/ca.crl", "http://gate.example/ca.crt"};

static struct ca *opened(const struct text *certificate, const struct text *key,
                         const struct ca_urls *of_issued)
{
    struct text errors = {0};
    struct ca *ca = ca_new(certificate, (struct ca_key){key, NULL}, of_issued, "ca.pem", &errors);
    if (!ca) fail_msg("%s", text_string(&errors));
    text_fini(&errors);
    return ca;
}

static struct ca *create_limited(enum key_type type, int path_length,
                                 const struct ca_urls *of_issued)
{
    struct text pem = {0}, key = {0};
    assert_true(
        ca_create(type, CA_ROOT_BITS, path_length, (struct span){0}, time(NULL), &pem, &key));
    save_text("ca.pem", &pem);
    save_text("ca.key", &key);
    struct ca *ca = opened(&pem, &key, of_issued);
    text_fini(&pem);
    text_fini(&key);
    return ca;
}

static struct ca *create(enum key_type type, const char *crl_url)
{
    return create_limited(type, -1, &(struct ca_urls){.crl = crl_url});
}

/* Below this root; issuing.pem has its certificate and key. */
static struct ca *create_issuing(struct ca *root, enum key_type type, time_t now)
{
    struct text pem = {0};
    assert_true(ca_create_issuing(root, type, &urls, now, &pem));
    save_text("issuing.pem", &pem);
    struct ca *ca = opened(&pem, &pem, &urls);
    text_fini(&pem);
    return ca;
}

static struct lifetime mint(struct ca *ca, const char *identity, bool is_ip, enum key_type type,
                            time_t now)
{
    struct private_key key;
    struct text chain = {0};
    struct lifetime lifetime = {0};
    assert_true(key_generate(type, 2048, &key));
    assert_true(ca_mint(ca, identity, is_ip, NULL, &key, now, &chain, &lifetime));
    save_text("leaf.pem", &chain);
    text_fini(&chain);
    key_fini(&key);
    return lifetime;
}

static void root(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++) {
        struct ca *ca = create((enum key_type)type, NULL);
        run("openssl verify -x509_strict -check_ss_sig -CAfile ca.pem ca.pem");
        const char *shown = run("openssl x509 -in ca.pem -noout -text");
        assert_shows(shown, "Version: 3 (0x2)");
        assert_shows(shown, "CA:TRUE");
        assert_shows(shown, "Certificate Sign, CRL Sign");
        assert_shows(shown, "X509v3 Subject Key Identifier");
        assert_shows(shown, type == KEY_RSA ? "sha256WithRSAEncryption" : "ecdsa-with-SHA256");
        run("openssl pkey -in ca.key -pubout -out a && openssl x509 -in ca.pem -pubkey -noout "
            ">b && cmp a b");
        assert_true(ca_certificate(ca)->is_ca);
        ca_free(ca);
    }
}

static const struct {
    const char *identity, *san, *check;
    bool is_ip;
} identities[] = {
    {"gate.example", "DNS:gate.example", "-verify_hostname gate.example", false},
    {"a_b.test", "DNS:a_b.test", "", false},
    {"192.0.2.1", "IP Address:192.0.2.1", "-verify_ip 192.0.2.1", true},
    {"2001:db8::1", "IP Address:2001:DB8:0:0:0:0:0:1", "-verify_ip 2001:db8::1", true},
    /* Too long for a common name: the subject is empty and the SAN critical. */
    {"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd.eeeeeeeeeeffffffffffgggggggggg.test",
     "X509v3 Subject Alternative Name: critical", "", false},
};

static void leaves(void **state)
{
    (void)state;
    for (int signer = 0; signer < KEY_TYPES; signer++) {
        struct ca *ca = create((enum key_type)signer, "http://gate.example/ca.crl");
        for (size_t i = 0; i < N_OF(identities); i++) {
            char command[256];
            mint(ca, identities[i].identity, identities[i].is_ip, i % 2 ? KEY_RSA : KEY_ECDSA,
                 time(NULL));
            snprintf(command, sizeof command,
                     "openssl verify -x509_strict -purpose sslserver %s -CAfile ca.pem leaf.pem",
                     identities[i].check);
            run(command);
            const char *shown = run("openssl x509 -in leaf.pem -noout -text");
            assert_shows(shown, "Version: 3 (0x2)");
            assert_shows(shown, identities[i].san);
            assert_shows(shown, "TLS Web Server Authentication");
            assert_shows(shown, "X509v3 Authority Key Identifier");
            assert_shows(shown, "X509v3 Subject Key Identifier");
            assert_shows(shown, "CA:FALSE");
            assert_shows(shown, "Digital Signature");
            assert_shows(shown, "URI:http://gate.example/ca.crl");
        }
        ca_free(ca);
    }
}

/* Another name or address is refused. */
static void leaf_is_for_one_identity(void **state)
{
    (void)state;
    struct ca *ca = create(KEY_ECDSA, NULL);
    mint(ca, "gate.example", false, KEY_ECDSA, time(NULL));
    run("! openssl verify -verify_hostname other.example -CAfile ca.pem leaf.pem");
    run("! openssl verify -verify_hostname a.gate.example -CAfile ca.pem leaf.pem");
    ca_free(ca);
}

static void serials_differ(void **state)
{
    (void)state;
    struct ca *ca = create(KEY_ECDSA, NULL);
    char seen[8][64];
    for (size_t i = 0; i < N_OF(seen); i++) {
        mint(ca, "gate.example", false, KEY_ECDSA, time(NULL));
        snprintf(seen[i], sizeof seen[i], "%s", run("openssl x509 -in leaf.pem -noout -serial"));
        /* 128 bits: 32 digits. */
        assert_int_equal(strspn(seen[i] + strlen("serial="), "0123456789ABCDEF"), 32);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(seen[i], seen[k]);
    }
    ca_free(ca);
}

/* From an hour ago to thirty days ahead, and always within the CA's own validity. */
static void dates(void **state)
{
    (void)state;
    struct ca *ca = create(KEY_ECDSA, NULL);
    const struct cert *c = ca_certificate(ca);
    const time_t day = 86400, now = c->not_before + 7 * day;
    const struct {
        time_t now, not_before, not_after;
    } rows[] = {
        {now, now - 3600, now + 30 * day},
        {c->not_before + 60, c->not_before, c->not_before + 60 + 30 * day},
        {c->not_after - day, c->not_after - day - 3600, c->not_after},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        char command[128];
        struct lifetime lifetime = mint(ca, "gate.example", false, KEY_ECDSA, rows[i].now);
        assert_int_equal(lifetime.begins, rows[i].not_before);
        assert_int_equal(lifetime.ends, rows[i].not_after);
        run("openssl x509 -in leaf.pem -noout -startdate -enddate | cut -d= -f2 >dates");
        snprintf(command, sizeof command,
                 "[ $(date -d \"$(sed -n 1p dates)\" +%%s) = %lld ] && "
                 "[ $(date -d \"$(sed -n 2p dates)\" +%%s) = %lld ]",
                 (long long)rows[i].not_before, (long long)rows[i].not_after);
        run(command);
    }
    struct private_key key;
    struct text chain = {0};
    struct lifetime lifetime;
    assert_true(key_generate(KEY_ECDSA, 0, &key));
    assert_false(
        ca_mint(ca, "gate.example", false, NULL, &key, c->not_after + 1, &chain, &lifetime));
    text_fini(&chain);
    key_fini(&key);
    ca_free(ca);
}

/* An own CA below a root: the intermediate is sent, the root is not. */
static void intermediate(void **state)
{
    (void)state;
    struct text errors = {0};
    run("openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 30 -subj "
        "/CN=root -addext keyUsage=critical,keyCertSign,cRLSign && "
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout int.key -out "
        "int.csr -subj /CN=intermediate && "
        "printf 'basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign,cRLSign\\n"
        "subjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n' >int.ext && "
        "openssl x509 -req -in int.csr -CA root.pem -CAkey root.key -days 20 -extfile int.ext "
        "-out int.pem && cat int.pem root.pem >chain.pem");
    struct text certificate = load("chain.pem"), key = load("int.key");
    struct ca *ca = ca_new(&certificate, (struct ca_key){&key, NULL}, &(struct ca_urls){NULL, NULL},
                           "chain.pem", &errors);
    if (!ca) fail_msg("%s", text_string(&errors));
    mint(ca, "gate.example", false, KEY_RSA, time(NULL));
    run("openssl verify -x509_strict -CAfile root.pem -untrusted leaf.pem leaf.pem");
    assert_int_equal(strtol(run("grep -c BEGIN leaf.pem"), NULL, 10), 2);
    ca_free(ca);
    text_fini(&certificate);
    text_fini(&key);
}

/* A file that cannot be a CA is refused by its name. */
static void unusable(void **state)
{
    (void)state;
    static const char *const makers[] = {
        /* no CA */
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout x.key -out x.pem -days 9 -subj /CN=x "
        "-addext basicConstraints=critical,CA:FALSE",
        /* may not sign certificates */
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout x.key -out x.pem -days 9 -subj /CN=x "
        "-addext keyUsage=critical,digitalSignature",
        /* short key */
        "openssl req -x509 -newkey rsa:1024 -nodes -keyout x.key -out x.pem -days 9 -subj /CN=x",
        /* the key of another CA */
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout x.key -out x.pem -days 9 -subj /CN=x "
        "&& openssl genrsa -out x.key 2048",
        /* encrypted key */
        "openssl req -x509 -newkey rsa:2048 -passout pass:secret -keyout x.key -out x.pem -days 9 "
        "-subj /CN=x",
        /* nothing */
        "echo nothing >x.pem; echo nothing >x.key",
        "printf '%s\\n' '-----BEGIN CERTIFICATE-----' MAA= '-----END CERTIFICATE-----' >x.pem",
        /* expired */
        "openssl req -newkey rsa:2048 -nodes -keyout x.key -out x.csr -subj /CN=x && printf "
        "'[ca]\\ndefault_ca=here\\n[here]\\ndatabase=index\\nnew_certs_dir=.\\nrand_serial=yes\\n"
        "default_md=sha256\\npolicy=any\\n[any]\\ncommonName=supplied\\n[ext]\\n"
        "basicConstraints=critical,CA:TRUE\\n' >x.cnf && : >index && openssl ca -batch -selfsign "
        "-config x.cnf -in x.csr -keyfile x.key -extensions ext -startdate 20200101000000Z "
        "-enddate 20210101000000Z -notext -out x.pem",
    };
    for (size_t i = 0; i < N_OF(makers); i++) {
        struct text errors = {0};
        run(makers[i]);
        struct text certificate = load("x.pem"), key = load("x.key");
        struct ca *ca = ca_new(&certificate, (struct ca_key){&key, NULL},
                               &(struct ca_urls){NULL, NULL}, "x.pem", &errors);
        if (ca) fail_msg("accepted: %s", makers[i]);
        assert_true(strncmp(text_string(&errors), "x.pem ", 6) == 0);
        text_fini(&errors);
        text_fini(&certificate);
        text_fini(&key);
    }
}

static const char usual_root[] = "X509v3 extensions:\n"
                                 "X509v3 Basic Constraints: critical\n"
                                 "CA:TRUE, pathlen:1\n"
                                 "X509v3 Key Usage: critical\n"
                                 "Certificate Sign, CRL Sign\n"
                                 "X509v3 Subject Key Identifier:\n"
                                 "ID\n"
                                 "X509v3 Authority Key Identifier:\n"
                                 "ID\n";
static const char usual_issuing[] = "X509v3 extensions:\n"
                                    "X509v3 Basic Constraints: critical\n"
                                    "CA:TRUE, pathlen:0\n"
                                    "X509v3 Key Usage: critical\n"
                                    "Certificate Sign, CRL Sign\n"
                                    "X509v3 Extended Key Usage:\n"
                                    "TLS Web Server Authentication\n"
                                    "X509v3 Subject Key Identifier:\n"
                                    "ID\n"
                                    "X509v3 Authority Key Identifier:\n"
                                    "ID\n"
                                    "X509v3 CRL Distribution Points:\n"
                                    "Full Name:\n"
                                    "URI:http://gate.example/ca.crl\n"
                                    "Authority Information Access:\n"
                                    "CA Issuers - URI:http://gate.example/ca.crt\n";

/* Each type of key above and below, and a leaf of the issuing CA. */
static void issuing(void **state)
{
    (void)state;
    for (int above = 0; above < KEY_TYPES; above++) {
        struct ca *root = create_limited((enum key_type)above, 1, &urls);
        assert_extensions("ca.pem", usual_root);
        run("openssl verify -x509_strict -check_ss_sig -CAfile ca.pem ca.pem");
        for (int below = 0; below < KEY_TYPES; below++) {
            struct ca *ca = create_issuing(root, (enum key_type)below, time(NULL));
            assert_extensions("issuing.pem", usual_issuing);
            run("openssl verify -x509_strict -CAfile ca.pem issuing.pem");
            run("openssl pkey -in issuing.pem -pubout -out a && "
                "openssl x509 -in issuing.pem -pubkey -noout >b && cmp a b");
            assert_shows(run("openssl x509 -in issuing.pem -noout -text"),
                         below == KEY_RSA ? "Public-Key: (2048 bit)" : "NIST CURVE: P-256");
            mint(ca, "gate.example", false, (enum key_type)below, time(NULL));
            assert_int_equal(strtol(run("grep -c BEGIN leaf.pem"), NULL, 10), 2);
            run("openssl verify -x509_strict -purpose sslserver -verify_hostname gate.example "
                "-CAfile ca.pem -untrusted leaf.pem leaf.pem");
            run("! openssl verify -purpose sslclient -CAfile ca.pem -untrusted leaf.pem leaf.pem");
            run("! openssl verify -purpose smimesign -CAfile ca.pem -untrusted leaf.pem leaf.pem");
            ca_free(ca);
        }
        ca_free(root);
    }
}

/* A third CA is one too many: pathLenConstraint. */
static void no_ca_below_an_issuing_one(void **state)
{
    (void)state;
    struct ca *root = create_limited(KEY_ECDSA, 1, &urls),
              *ca = create_issuing(root, KEY_ECDSA, time(NULL));
    run("cp issuing.pem above.pem");
    struct ca *third = create_issuing(ca, KEY_ECDSA, time(NULL));
    mint(third, "gate.example", false, KEY_ECDSA, time(NULL));
    run("! openssl verify -CAfile ca.pem -untrusted above.pem -untrusted leaf.pem leaf.pem >shown "
        "2>&1 && grep -q 'path length constraint exceeded' shown");
    ca_free(third);
    ca_free(ca);
    ca_free(root);
}

/* A year, and never past the root. */
static void dates_of_issuing(void **state)
{
    (void)state;
    const time_t day = 86400;
    struct ca *root = create_limited(KEY_ECDSA, 1, &urls);
    const struct cert *c = ca_certificate(root);
    struct ca *ca = create_issuing(root, KEY_ECDSA, time(NULL));
    time_t now = c->not_before + 3600;
    assert_in_range(ca_certificate(ca)->not_before, now - 3600, now - 3600 + 60);
    assert_in_range(ca_certificate(ca)->not_after, now + 365 * day, now + 365 * day + 60);
    ca_free(ca);
    struct text pem = {0};
    struct blob der = {.n = 0};
    assert_true(ca_create_issuing(root, KEY_ECDSA, &urls, c->not_after - 10 * day, &pem));
    save_text("late.pem", &pem);
    assert_int_equal(certificate("late.pem", &der).not_after, c->not_after);
    text_fini(&pem);
    assert_false(ca_create_issuing(root, KEY_ECDSA, &urls, c->not_after, &pem));
    assert_int_equal(pem.size, 0);
    ca_free(root);
}

static void save_crl(struct ca *ca, const char *name, time_t now, unsigned days)
{
    struct text crl = {0};
    assert_true(ca_crl(ca, now, days, &crl));
    save_text(name, &crl);
    text_fini(&crl);
}

static void lists(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++) {
        struct ca *root = create_limited((enum key_type)type, 1, &urls),
                  *ca = create_issuing(root, (enum key_type)type, time(NULL));
        save_crl(root, "ca.crl", time(NULL), CA_ROOT_CRL_DAYS);
        save_crl(ca, "issuing.crl", time(NULL), CA_CRL_DAYS);
        mint(ca, "gate.example", false, (enum key_type)type, time(NULL));
        assert_shows(run("openssl crl -inform DER -in ca.crl -noout -CAfile ca.pem"), "verify OK");
        assert_shows(run("openssl crl -inform DER -in issuing.crl -noout -CAfile issuing.pem"),
                     "verify OK");
        run("for f in ca issuing; do openssl crl -inform DER -in $f.crl -out $f.crl.pem; done");
#define VERIFY "openssl verify -x509_strict -crl_check_all -CAfile ca.pem -untrusted leaf.pem "
        run(VERIFY "-CRLfile ca.crl.pem -CRLfile issuing.crl.pem leaf.pem");
        run("! " VERIFY "-CRLfile ca.crl.pem leaf.pem");
        run("! " VERIFY "-CRLfile issuing.crl.pem leaf.pem");
        run(VERIFY "-CRLfile ca.crl.pem -CRLfile issuing.crl.pem -attime $(($(date +%s) + 6 * "
                   "86400)) leaf.pem");
        run("! " VERIFY "-CRLfile ca.crl.pem -CRLfile issuing.crl.pem -attime $(($(date +%s) + 8 * "
            "86400)) leaf.pem");
#undef VERIFY
        ca_free(ca);
        ca_free(root);
    }
}

/* A later one has a higher number, also after 2038. */
static void numbers_rise(void **state)
{
    (void)state;
    struct ca *ca = create(KEY_ECDSA, NULL);
    static const time_t times[] = {1700000000, 1700000001, 2147483647, 2147483648, 4294967296};
    long long last = 0;
    for (size_t i = 0; i < N_OF(times); i++) {
        save_crl(ca, "ca.crl", times[i], CA_CRL_DAYS);
        const char *shown = run("openssl crl -inform DER -in ca.crl -noout -crlnumber");
        assert_memory_equal(shown, "crlNumber=0x", 12);
        long long number = strtoll(shown + 10, NULL, 16);
        assert_true(number > last);
        last = number;
    }
    ca_free(ca);
}

/* Without its key it only describes itself. */
static void without_its_key(void **state)
{
    (void)state;
    ca_free(create(KEY_ECDSA, NULL));
    struct text pem = load("ca.pem");
    struct ca *ca = opened(&pem, NULL, &urls);
    assert_false(ca_can_sign(ca));
    assert_true(ca_permits(ca, "any.example", false));
    assert_true(ca_certificate(ca)->is_ca);
    ca_free(ca);
    text_fini(&pem);
}

static int begin(void **state)
{
    (void)state;
    return openssl_begin("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root),
        cmocka_unit_test(leaves),
        cmocka_unit_test(leaf_is_for_one_identity),
        cmocka_unit_test(serials_differ),
        cmocka_unit_test(dates),
        cmocka_unit_test(intermediate),
        cmocka_unit_test(unusable),
        cmocka_unit_test(issuing),
        cmocka_unit_test(no_ca_below_an_issuing_one),
        cmocka_unit_test(dates_of_issuing),
        cmocka_unit_test(lists),
        cmocka_unit_test(numbers_rise),
        cmocka_unit_test(without_its_key),
    };
    return cmocka_run_group_tests_name("ca", tests, begin, openssl_end);
}
