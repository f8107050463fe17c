/* The local CA: openssl checks what it mints, in a temporary directory. */
#include "helper.h"

#include "pki/ca.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char directory[] = "/tmp/suitegate-ca-XXXXXX";

static void save(const char *name, const struct text *t)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text_string(t), 1, t->size, f), t->size);
    assert_int_equal(fclose(f), 0);
}

/* The shell command's output, in the directory; its exit status must be 0. */
static char *run(const char *command)
{
    static char out[65536];
    char line[1024];
    snprintf(line, sizeof line, "cd %s && { %s; } 2>&1", directory, command);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    int status = pclose(f);
    if (status) fail_msg("%s: %s", command, out);
    return out;
}

static void assert_shows(const char *shown, const char *part)
{
    if (!strstr(shown, part)) fail_msg("no \"%s\" in %s", part, shown);
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

static struct ca *create(enum key_type type, const char *crl_url)
{
    struct text certificate = {0}, key = {0}, errors = {0};
    assert_true(
        ca_create(type, CA_ROOT_BITS, -1, (struct span){0}, time(NULL), &certificate, &key));
    save("ca.pem", &certificate);
    save("ca.key", &key);
    struct ca *ca =
        ca_new(&certificate, &key, &(struct ca_urls){.crl = crl_url}, "ca.pem", &errors);
    if (!ca) fail_msg("%s", text_string(&errors));
    text_fini(&certificate);
    text_fini(&key);
    text_fini(&errors);
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
    save("leaf.pem", &chain);
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
    struct ca *ca = ca_new(&certificate, &key, &(struct ca_urls){NULL, NULL}, "chain.pem", &errors);
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
        struct ca *ca = ca_new(&certificate, &key, &(struct ca_urls){NULL, NULL}, "x.pem", &errors);
        if (ca) fail_msg("accepted: %s", makers[i]);
        assert_true(strncmp(text_string(&errors), "x.pem ", 6) == 0);
        text_fini(&errors);
        text_fini(&certificate);
        text_fini(&key);
    }
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : 1;
}

static int remove_directory(void **state)
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
        cmocka_unit_test(root),
        cmocka_unit_test(leaves),
        cmocka_unit_test(leaf_is_for_one_identity),
        cmocka_unit_test(serials_differ),
        cmocka_unit_test(dates),
        cmocka_unit_test(intermediate),
        cmocka_unit_test(unusable),
    };
    return cmocka_run_group_tests_name("ca", tests, make_directory, remove_directory);
}
