/* Certificates as the proxy reads them: names by RFC 9525, and the facts of certificates
 * that openssl makes. */
#include "helper.h"

#include "pki/cert.h"
#include "pki/keys.h"
#include "pki/name.h"

#include <unistd.h>

static struct blob san;

static void add_name(uint8_t tag, const void *p, size_t n)
{
    blob_number(&san, tag, 1);
    if (n > 127) blob_number(&san, 0x81, 1);
    blob_number(&san, (uint32_t)n, 1);
    blob_bytes(&san, p, n);
}

/* A certificate of which only the subjectAltName matters. */
static struct cert with_san(void)
{
    return (struct cert){.san = {san.p, san.n}};
}

static const struct {
    const char *presented, *name;
    bool matches;
} rows[] = {
    {"gate.example", "gate.example", true},
    {"GATE.Example", "gate.example", true},
    {"gate.example", "GATE.EXAMPLE", true},
    {"gate.example.", "gate.example", false},
    {"gate.example", "other.example", false},
    {"gate.example", "a.gate.example", false},
    {"gate.example", "gate.example.test", false},
    {"gate.example", "xgate.example", false},
    {"gate.example", "gate", false},
    {"localhost", "localhost", true},
    {"*.example.com", "a.example.com", true},
    {"*.EXAMPLE.com", "A.example.COM", true},
    {"*.example.com", "example.com", false},
    {"*.example.com", "a.b.example.com", false},
    {"*.example.com", ".example.com", false},
    {"*.example.com", "a.example.org", false},
    {"*.com", "example.com", false},
    {"*", "localhost", false},
    {"*.", "localhost", false},
    {"a*.example.com", "ab.example.com", false},
    {"*a.example.com", "ba.example.com", false},
    {"a.*.com", "a.b.com", false},
    {"*.*.com", "a.b.com", false},
    {"**.example.com", "a.example.com", false},
    {"xn--*.example.com", "xn--a.example.com", false},
    {"*.example.com", "xn--bcher-kva.example.com", true},
    {"", "gate.example", false},
    {".", "gate.example", false},
    {"gate example", "gate example", false},
    {"192.0.2.1", "192.0.2.1", false}, /* an address is no DNS name */
    {"*.0.2.1", "192.0.2.1", false},
};

static void names(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(rows); i++) {
        san.n = 0;
        add_name(0x82, rows[i].presented, strlen(rows[i].presented));
        struct cert c = with_san();
        if (cert_matches_name(&c, rows[i].name) != rows[i].matches)
            fail_msg("%s and %s", rows[i].presented, rows[i].name);
    }
}

/* Only a dNSName counts, in any order; a NUL hides nothing. */
static void other_kinds(void **state)
{
    (void)state;
    static const char name[] = "gate.example";
    struct cert c;
    static const uint8_t tags[] = {0x81, 0x86, 0x87, 0xa0, 0x88, 0x0c};
    for (size_t i = 0; i < N_OF(tags); i++) {
        san.n = 0;
        add_name(tags[i], name, sizeof name - 1);
        c = with_san();
        assert_false(cert_matches_name(&c, name));
    }
    add_name(0x82, name, sizeof name - 1);
    c = with_san();
    assert_true(cert_matches_name(&c, name));
    san.n = 0;
    add_name(0x82, "gate.example\0.evil.test", 23);
    add_name(0x82, "gate.example\0", 13);
    c = with_san();
    assert_false(cert_matches_name(&c, name));
    c = (struct cert){0};
    assert_false(cert_matches_name(&c, name)); /* no subjectAltName: the subject is not used */
}

/* A length that runs past the end ends the search. */
static void malformed_names(void **state)
{
    (void)state;
    static const char *const lists[] = {"82", "82 05 61", "82 ff 61", "82 80 61 00 00", "02 01"};
    for (size_t i = 0; i < N_OF(lists); i++) {
        san.n = 0;
        blob_hex(&san, lists[i]);
        uint8_t *copy = exact(san.p, san.n);
        struct cert c = {.san = {copy, san.n}};
        struct addr a;
        assert_true(addr_from_ip("192.0.2.1", 0, &a));
        assert_false(cert_matches_name(&c, "a"));
        assert_false(cert_matches_ip(&c, &a));
        free(copy);
    }
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *presented, *ip;
        bool matches;
    } table[] = {
        {"c0000201", "192.0.2.1", true},
        {"c0000201", "192.0.2.2", false},
        {"c0000201", "::ffff:192.0.2.1", true},
        {"20010db8000000000000000000000001", "2001:db8::1", true},
        {"20010db8000000000000000000000001", "2001:db8::2", false},
        {"c000020100", "192.0.2.1", false},
        {"c00002", "192.0.2.1", false},
        {"c0000201ffffffff", "192.0.2.1", false},
        {"", "192.0.2.1", false},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        static struct blob value;
        struct addr a;
        value.n = san.n = 0;
        blob_hex(&value, table[i].presented);
        add_name(0x87, value.p, value.n);
        struct cert c = with_san();
        assert_true(addr_from_ip(table[i].ip, 0, &a));
        if (cert_matches_ip(&c, &a) != table[i].matches)
            fail_msg("%s and %s", table[i].presented, table[i].ip);
    }
    struct addr a;
    assert_true(addr_from_ip("192.0.2.1", 0, &a));
    san.n = 0;
    add_name(0x82, "192.0.2.1", 9);
    struct cert c = with_san();
    assert_false(cert_matches_ip(&c, &a));
}

static struct text pem;
static struct blob der;
static struct cert parsed;

static bool keep_first(void *arg, struct span s)
{
    (void)arg;
    if (der.n == 0) blob_bytes(&der, s.p, s.n);
    return true;
}

/* A self-signed certificate as openssl makes it with these arguments. */
static void make(const char *arguments)
{
    char command[1024], block[4096];
    size_t n;
    snprintf(command, sizeof command,
             "openssl req -x509 -nodes -keyout /dev/null -days 30 -subj "
             "'/C=DE/O=Gate, Inc./CN=gate \"x\" \\+ y' %s 2>/dev/null",
             arguments);
    text_fini(&pem);
    der.n = 0;
    FILE *f = popen(command, "r");
    assert_non_null(f);
    while ((n = fread(block, 1, sizeof block, f)) > 0) text_add_bytes(&pem, block, n);
    assert_int_equal(pclose(f), 0);
    assert_true(pem_each(text_string(&pem), pem.size, PEM_CERTIFICATE, keep_first, NULL));
    uint8_t *copy = exact(der.p, der.n);
    struct cert again;
    assert_true(cert_parse((struct span){copy, der.n}, &again));
    free(copy);
    assert_true(cert_parse((struct span){der.p, der.n}, &parsed));
}

static void facts(void **state)
{
    (void)state;
    static const struct {
        const char *arguments;
        enum cert_key key;
        unsigned bits;
        uint16_t group;
        enum cert_signature signature;
    } table[] = {
        {"-newkey rsa:2048", CERT_KEY_RSA, 2048, 0, CERT_SIGNATURE_STRONG},
        {"-newkey rsa:1024 -sha384", CERT_KEY_RSA, 1024, 0, CERT_SIGNATURE_STRONG},
        {"-newkey rsa:2048 -sha1", CERT_KEY_RSA, 2048, 0, CERT_SIGNATURE_WEAK},
        {"-newkey rsa:2048 -md5", CERT_KEY_RSA, 2048, 0, CERT_SIGNATURE_WEAK},
        {"-newkey rsa:2048 -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
         CERT_KEY_RSA, 2048, 0, CERT_SIGNATURE_STRONG},
        {"-newkey rsa:2048 -sha1 -sigopt rsa_padding_mode:pss", CERT_KEY_RSA, 2048, 0,
         CERT_SIGNATURE_WEAK},
        {"-newkey ec -pkeyopt ec_paramgen_curve:P-256", CERT_KEY_EC, 256, 0x0017,
         CERT_SIGNATURE_STRONG},
        {"-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384", CERT_KEY_EC, 384, 0x0018,
         CERT_SIGNATURE_STRONG},
        {"-newkey ec -pkeyopt ec_paramgen_curve:P-521 -sha512", CERT_KEY_EC, 521, 0x0019,
         CERT_SIGNATURE_STRONG},
        {"-newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha1", CERT_KEY_EC, 256, 0x0017,
         CERT_SIGNATURE_WEAK},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        make(table[i].arguments);
        if (parsed.key != table[i].key || parsed.bits != table[i].bits ||
            parsed.group != table[i].group || parsed.signature != table[i].signature)
            fail_msg("%s: key %d, %u bits, group %04x, signature %d", table[i].arguments,
                     (int)parsed.key, parsed.bits, parsed.group, (int)parsed.signature);
        assert_true(span_equal(parsed.issuer, parsed.subject));
        assert_int_equal(parsed.not_after - parsed.not_before, 30 * 86400);
        assert_true(parsed.is_ca && parsed.can_sign_certs && parsed.can_sign_crls);
    }
}

#define PSS_OID "06092a864886f70d01010a"

/* AlgorithmIdentifiers with RSASSA-PSS-params; without hashAlgorithm they mean SHA-1. */
static void pss_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *parameters;
        enum cert_signature strength;
        unsigned digest_bits, salt;
    } table[] = {
        {"3000", CERT_SIGNATURE_WEAK, 0, 20},
        {"", CERT_SIGNATURE_WEAK, 0, 20},
        {"3005 a203020120", CERT_SIGNATURE_WEAK, 0, 32},
        {"3014 a00d300b0609608648016503040201 a203020120", CERT_SIGNATURE_STRONG, 256, 32},
        {"300f a00d300b0609608648016503040201", CERT_SIGNATURE_STRONG, 256, 20},
        {"3015 a00d300b0609608648016503040202 a204020200de", CERT_SIGNATURE_STRONG, 384, 222},
        {"3014 a00d300b0609608648016503040203 a203020100", CERT_SIGNATURE_STRONG, 512, 0},
        {"300f a00d300b0609608648016503040204", CERT_SIGNATURE_WEAK, 0, 20}, /* SHA-224 */
        {"3016 a00d300b0609608648016503040201 a2050203010000", CERT_SIGNATURE_WEAK, 0, 0},
    };
    static struct blob algorithm;
    for (size_t i = 0; i < N_OF(table); i++) {
        algorithm.n = 0;
        blob_hex(&algorithm, PSS_OID);
        blob_hex(&algorithm, table[i].parameters);
        uint8_t *copy = exact(algorithm.p, algorithm.n);
        struct span whole = {copy, algorithm.n};
        struct reader r = reader_of(whole);
        struct der_item oid;
        assert_true(der_expect(&r, 0x06, &oid));
        struct der_pss found = der_pss_parameters(r);
        enum cert_signature strength = der_signature_strength(whole);
        if (strength != table[i].strength || found.digest_bits != table[i].digest_bits ||
            found.salt != table[i].salt)
            fail_msg("%s: strength %d, %u bits, salt %u", table[i].parameters, (int)strength,
                     found.digest_bits, found.salt);
        free(copy);
    }
}

static void extensions(void **state)
{
    (void)state;
    struct text name = {0};
    struct addr a;
    make("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -set_serial 0x00ff01 "
         "-addext basicConstraints=critical,CA:FALSE -addext keyUsage=digitalSignature "
         "-addext 'subjectAltName=email:a@b.test,IP:192.0.2.1,DNS:gate.example'");
    assert_false(parsed.is_ca || parsed.can_sign_certs || parsed.can_sign_crls);
    assert_true(cert_matches_name(&parsed, "gate.example"));
    assert_true(addr_from_ip("192.0.2.1", 0, &a) && cert_matches_ip(&parsed, &a));
    assert_int_equal(parsed.subject_key_id.n, 20);
    assert_int_equal(parsed.serial.n, 2);
    assert_memory_equal(parsed.serial.p, "\xff\x01", 2);
    name_format(parsed.subject, &name);
    assert_string_equal(text_string(&name), "CN=gate \\\"x\\\" \\+ y,O=Gate\\, Inc.,C=DE");
    text_fini(&name);
}

static void add_line(void *arg, const char *name)
{
    text_printf(arg, "%s\n", name);
}

/* Cut anywhere, or with one byte changed: refused or read, but never read past its end. */
static void damaged(void **state)
{
    (void)state;
    make("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -addext subjectAltName=DNS:gate.example");
    for (size_t n = 0; n < der.n; n++) {
        uint8_t *copy = exact(der.p, n);
        struct cert c;
        if (cert_parse((struct span){copy, n}, &c)) fail_msg("cut to %zu", n);
        free(copy);
    }
    for (size_t i = 0; i < der.n; i++) {
        uint8_t *copy = exact(der.p, der.n);
        struct cert c;
        struct text name = {0};
        copy[i] ^= 0xff;
        if (cert_parse((struct span){copy, der.n}, &c)) {
            name_format(c.subject, &name);
            cert_matches_name(&c, "gate.example");
            cert_each_name(&c, add_line, &name);
            assert_non_null(cert_signature_name(&c));
        }
        text_fini(&name);
        free(copy);
    }
}

/* DNS names and addresses, nothing else. */
static void each_name(void **state)
{
    (void)state;
    static char long_name[400];
    struct text said = {0};
    make("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -addext "
         "'subjectAltName=email:a@b.test,IP:192.0.2.1,DNS:*.gate.example,URI:https://x.test/,"
         "IP:2001:db8::1,DNS:Gate.Example'");
    cert_each_name(&parsed, add_line, &said);
    assert_string_equal(text_string(&said),
                        "192.0.2.1\n*.gate.example\n2001:db8::1\nGate.Example\n");
    text_fini(&said);
    make("-newkey ec -pkeyopt ec_paramgen_curve:P-256");
    cert_each_name(&parsed, add_line, &said);
    assert_string_equal(text_string(&said), "");

    /* A NUL hides nothing: cert_matches_name() does not take this for gate.example. */
    san.n = 0;
    add_name(0x82, "gate.example\0.evil.test", 23);
    struct cert hidden = with_san();
    cert_each_name(&hidden, add_line, &said);
    assert_string_not_equal(text_string(&said), "gate.example\n");
    text_fini(&said);

    /* Addresses of no known size and empty names are left out; a long one is cut. */
    memset(long_name, 'a', sizeof long_name);
    san.n = 0;
    add_name(0x87, "\x01\x02\x03", 3);
    add_name(0x87, "\x01\x02\x03\x04\x05", 5);
    add_name(0x82, "", 0);
    add_name(0x82, long_name, 200);
    struct cert c = with_san();
    cert_each_name(&c, add_line, &said);
    assert_int_equal(said.size, 201);
    text_fini(&said);
    san.n = 0;
    blob_hex(&san, "82 82 0190");
    blob_bytes(&san, long_name, 400);
    c = with_san();
    cert_each_name(&c, add_line, &said);
    assert_in_range(said.size, 254, 257);
    text_fini(&said);
}

/* A length that runs past the end ends the list; nothing after it is read. */
static void each_name_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *said;
    } lists[] = {{"82", ""},
                 {"82 05 61", ""},
                 {"82 01 61 82 05 62", "a\n"},
                 {"87 04 c00002", ""},
                 {"82 01 61 82 ff 61", "a\n"}};
    for (size_t i = 0; i < N_OF(lists); i++) {
        struct text said = {0};
        san.n = 0;
        blob_hex(&san, lists[i].hex);
        uint8_t *copy = exact(san.p, san.n);
        struct cert c = {.san = {copy, san.n}};
        cert_each_name(&c, add_line, &said);
        assert_string_equal(text_string(&said), lists[i].said);
        text_fini(&said);
        free(copy);
    }
}

static void signature_names(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *name;
    } table[] = {
        {"-newkey rsa:2048 -sha256", "RSA with SHA-256"},
        {"-newkey rsa:2048 -sha384", "RSA with SHA-384"},
        {"-newkey rsa:2048 -sha512", "RSA with SHA-512"},
        {"-newkey rsa:2048 -sha1", "RSA with SHA-1"},
        {"-newkey rsa:2048 -md5", "RSA with MD5"},
        {"-newkey rsa:2048 -sha256 -sigopt rsa_padding_mode:pss", "RSA-PSS with SHA-256"},
        {"-newkey rsa:2048 -sha384 -sigopt rsa_padding_mode:pss", "RSA-PSS with SHA-384"},
        {"-newkey rsa:2048 -sha512 -sigopt rsa_padding_mode:pss", "RSA-PSS with SHA-512"},
        {"-newkey rsa:2048 -sha1 -sigopt rsa_padding_mode:pss", "RSA-PSS with a weak hash"},
        {"-newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha256", "ECDSA with SHA-256"},
        {"-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384", "ECDSA with SHA-384"},
        {"-newkey ec -pkeyopt ec_paramgen_curve:P-521 -sha512", "ECDSA with SHA-512"},
        {"-newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha1", "ECDSA with SHA-1"},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        make(table[i].arguments);
        if (strcmp(cert_signature_name(&parsed), table[i].name) != 0)
            fail_msg("%s: %s", table[i].arguments, cert_signature_name(&parsed));
    }
    static const char *const unknown[] = {"", "06", "0603551d0e", "0500",
                                          "0609 2a864886f70d0101ff"};
    for (size_t i = 0; i < N_OF(unknown); i++) {
        san.n = 0;
        blob_hex(&san, unknown[i]);
        uint8_t *copy = exact(san.p, san.n);
        struct cert c = {.signature_algorithm = {copy, san.n}};
        assert_string_equal(cert_signature_name(&c), "unknown");
        free(copy);
    }
}

/* A certificate with the mandatory fields only, and the fields of one row. It is of version 3
 * unless the row says otherwise. It has no valid signature. */
static struct span build(const char *version, const char *serial, const char *rest)
{
    static uint8_t room[1024];
    static struct blob tbs;
    struct der d = der_of(room, sizeof room);
    size_t end = d.at;
    tbs.n = 0;
    blob_hex(&tbs, version ? version : "a003 020102");
    blob_hex(&tbs, serial ? serial : "020101");
    blob_hex(&tbs, "300a 06082a8648ce3d040302 300c 310a 3008 0603550403 0c0178");
    blob_hex(&tbs, "301e 170d3236303130313030303030305a 170d3236303230313030303030305a");
    blob_hex(&tbs, "300c 310a 3008 0603550403 0c0178 300b 3005 06032b6570 030200aa");
    blob_hex(&tbs, rest);
    der.n = 0;
    blob_hex(&der, "300a 06082a8648ce3d040302 030200aa"); /* algorithm and signature */
    der_bytes(&d, der.p, der.n);
    der_element(&d, DER_SEQUENCE, tbs.p, tbs.n);
    der_wrap(&d, DER_SEQUENCE, end);
    assert_false(d.failed);
    return der_result(&d);
}

static void expect_read(struct span certificate, const char *what, bool expected)
{
    uint8_t *copy = exact(certificate.p, certificate.n);
    struct cert c;
    if (cert_parse((struct span){copy, certificate.n}, &c) != expected)
        fail_msg("%s is %s", what, expected ? "refused" : "read");
    free(copy);
}

/* A number is read as it is, up to a limit that no path reaches. */
static void path_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *integer; /* its content */
        int length;          /* -1: the certificate is refused */
    } table[] = {
        {"00", 0},
        {"01", 1},
        {"7f", 127},
        {"0080", 128},
        {"00ff", 255},
        {"0100", 256},
        {"012c", 300},
        {"7fff", 32767},
        {"008000", 32768},
        {"00ffff", 65535},
        {"010000", CERT_NUMBER_LIMIT},
        {"7fffffffff", CERT_NUMBER_LIMIT},
        {"80", -1},
        {"ff00", -1},
        {"0001", -1},
        {"", -1},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        char rest[128];
        struct cert c;
        unsigned n = (unsigned)strlen(table[i].integer) / 2;
        snprintf(rest, sizeof rest,
                 "a3%02x 30%02x 30%02x 0603551d13 0101ff 04%02x 30%02x 0101ff 02%02x %s", 21 + n,
                 19 + n, 17 + n, 7 + n, 5 + n, n, table[i].integer);
        bool read = cert_parse(build(NULL, NULL, rest), &c);
        if (read != (table[i].length >= 0)) fail_msg("%s: %d", table[i].integer, read);
        if (read) assert_int_equal(c.path_length, table[i].length);
    }
}

#define KEY_ID "300a 0603551d0e 0403 0401aa"
#define KEY_USAGE "300b 0603551d0f 0404 03020780"

/* RFC 5280 section 4.1: the optional fields of TBSCertificate, each once and in order. */
static void fields(void **state)
{
    (void)state;
    static const struct {
        const char *what, *version, *serial, *rest;
        bool read;
    } table[] = {
        {"version 3", NULL, NULL, "", true},
        {"version 1", "", NULL, "", true},
        {"version 2", "a003 020101", NULL, "", true},
        {"version 4", "a003 020103", NULL, "", false},
        {"version -1", "a003 0201ff", NULL, "", false},
        {"no version in [0]", "a000", NULL, "", false},
        {"a version of no bytes", "a002 0200", NULL, "", false},
        {"version 3 with a zero before it", "a004 02020002", NULL, "", false},
        {"two versions", "a006 020102 020102", NULL, "", false},
        {"a version and more", "a005 020102 0500", NULL, "", false},
        {"[0] twice", "a003 020102 a003 020102", NULL, "", false},
        {"a serial number that is none", NULL, "040101", "", false},
        {"a serial number of no bytes", NULL, "0200", "", false},
        {"serial number 1 with a zero before it", NULL, "02020001", "", false},
        {"serial number -1 in two bytes", NULL, "0202ffff", "", false},
        {"serial number 128", NULL, "02020080", "", true},
        {"serial number -129", NULL, "0202ff7f", "", true},
        {"issuerUniqueID", NULL, NULL, "810200aa", true},
        {"subjectUniqueID", NULL, NULL, "820200aa", true},
        {"all three", NULL, NULL, "810200aa 820200aa a30e 300c" KEY_ID, true},
        {"issuerUniqueID twice", NULL, NULL, "810200aa 810200aa", false},
        {"subjectUniqueID twice", NULL, NULL, "820200aa 820200aa", false},
        {"unique IDs in the other order", NULL, NULL, "820200aa 810200aa", false},
        {"extensions", NULL, NULL, "a30e 300c" KEY_ID, true},
        {"extensions of two kinds", NULL, NULL, "a31b 3019" KEY_ID KEY_USAGE, true},
        {"extensions twice", NULL, NULL, "a30e 300c" KEY_ID "a30f 300d" KEY_USAGE, false},
        {"extensions before issuerUniqueID", NULL, NULL, "a30e 300c" KEY_ID "810200aa", false},
        {"two lists of extensions in [3]", NULL, NULL, "a31d 300c" KEY_ID "300d" KEY_USAGE, false},
        {"extensions in version 2", "a003 020101", NULL, "a30e 300c" KEY_ID, false},
        {"an extension twice", NULL, NULL, "a31a 3018" KEY_ID KEY_ID, false},
        {"[4] at the end", NULL, NULL, "a400", false},
        {"NULL at the end", NULL, NULL, "0500", false},
    };
    for (size_t i = 0; i < N_OF(table); i++)
        expect_read(build(table[i].version, table[i].serial, table[i].rest), table[i].what,
                    table[i].read);
}

/* One extension 2.5.29.ID with this value. */
static struct span build_extended(uint8_t id, const char *value)
{
    char rest[256];
    static struct blob bytes;
    bytes.n = 0;
    blob_hex(&bytes, value);
    unsigned n = (unsigned)bytes.n;
    snprintf(rest, sizeof rest, "a3%02x 30%02x 30%02x 0603551d%02x 04%02x %s", n + 11, n + 9, n + 7,
             id, n, value);
    return build(NULL, NULL, rest);
}

/* RFC 5280 section 4.2.1 and the DER of each value (X.690). */
static void extension_values(void **state)
{
    (void)state;
    enum {
        KEY_IDENTIFIER = 14,
        USAGE = 15,
        BASIC = 19,
        POLICY = 36,
        PURPOSE = 37,
        ANY_POLICY = 54
    };
    static const struct {
        uint8_t id;
        const char *value;
        bool read;
    } table[] = {
        {USAGE, "03020780", true},
        {USAGE, "03020106", true},
        {USAGE, "0303078000", true},
        {USAGE, "030100", true},       /* no bits */
        {USAGE, "0300", false},        /* no count of unused bits */
        {USAGE, "030107", false},      /* seven unused bits of none */
        {USAGE, "03020880", false},    /* more than a byte */
        {USAGE, "0302ff80", false},    /* more than a byte */
        {USAGE, "03020781", false},    /* an unused bit is set */
        {USAGE, "03030780 40", false}, /* an unused bit is set */
        {USAGE, "040207 80", false},   /* no BIT STRING */
        {USAGE, "03020780 00", false}, /* trailing bytes */
        {BASIC, "3000", true},
        {BASIC, "30030101ff", true},
        {BASIC, "30060101ff 020100", true},
        {BASIC, "30060101ff 02017f", true},
        {BASIC, "30070101ff 02020080", true},
        {BASIC, "30070101ff 02020001", false},      /* a zero before the number */
        {BASIC, "30050101ff 0200", false},          /* a number of no bytes */
        {BASIC, "30060101ff 020180", false},        /* negative */
        {BASIC, "30090101ff 020100 020100", false}, /* two numbers */
        {BASIC, "3002 0100", false},                /* a BOOLEAN of no bytes */
        {BASIC, "3004 0102ffff", false},            /* a BOOLEAN of two */
        {BASIC, "30030101ff 00", false},            /* trailing bytes */
        {POLICY, "3003 800100", true},
        {POLICY, "3006 800100 810100", true},
        {POLICY, "3004 80020000", false}, /* a zero before the number */
        {POLICY, "3002 8000", false},     /* a number of no bytes */
        {POLICY, "3003 8001ff", false},   /* negative */
        {POLICY, "3003 820100", false},   /* no such field */
        {PURPOSE, "300a 06082b06010505070301", true},
        {PURPOSE, "3003 020100", false}, /* no OID */
        {ANY_POLICY, "020100", true},
        {ANY_POLICY, "02020001", false},  /* a zero before the number */
        {ANY_POLICY, "020100 00", false}, /* trailing bytes */
        {KEY_IDENTIFIER, "0401aa", true},
        {KEY_IDENTIFIER, "0401aa 00", false}, /* trailing bytes */
        {ANY_POLICY, "0200", false},          /* a number of no bytes */
        {ANY_POLICY, "0201ff", false},        /* negative */
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        char what[128];
        snprintf(what, sizeof what, "2.5.29.%u of %s", table[i].id, table[i].value);
        expect_read(build_extended(table[i].id, table[i].value), what, table[i].read);
    }
}

static int finish(void **state)
{
    (void)state;
    text_fini(&pem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),           cmocka_unit_test(other_kinds),
        cmocka_unit_test(malformed_names), cmocka_unit_test(addresses),
        cmocka_unit_test(facts),           cmocka_unit_test(extensions),
        cmocka_unit_test(damaged),         cmocka_unit_test(pss_parameters),
        cmocka_unit_test(each_name),       cmocka_unit_test(each_name_malformed),
        cmocka_unit_test(signature_names), cmocka_unit_test(fields),
        cmocka_unit_test(path_lengths),    cmocka_unit_test(extension_values),
    };
    return cmocka_run_group_tests_name("cert", tests, NULL, finish);
}
