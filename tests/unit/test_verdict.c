/* The verdict: every row of policy.md that a hello can get, and which one comes first. */
#include "helper.h"

#include "policy/verdict.h"

static struct blob message;
static struct policy policy;

static const struct verdict_keys both = {{true, true}, 0x0017};
static const struct verdict_keys ecdsa = {{true, false}, 0x0017};
static const struct verdict_keys ecdsa_384 = {{true, false}, 0x0018};
static const struct verdict_keys rsa = {{false, true}, 0};
static const struct verdict_keys none = {{false, false}, 0};

#define ALL_SUITES "c02b c02c c02f c030 c023 c024 c027 c028"
#define BOTH_SCHEMES "0403 0401"

static struct verdict judge(const struct hello_spec *s, const struct verdict_keys *keys)
{
    struct hello h;
    uint8_t alert;
    blob_hello(&message, s);
    assert_int_equal(hello_parse((struct span){message.p, message.n}, &h, &alert), HELLO_COMPLETE);
    return verdict_judge(&h, &policy, keys);
}

/* For fields that a row leaves out: TLS 1.2, all suites, SHA-256 with both keys. "-": absent. */
static struct hello_spec with_defaults(struct hello_spec s)
{
    if (!s.version) s.version = 0x0303;
    if (!s.suites) s.suites = ALL_SUITES;
    if (!s.schemes) s.schemes = BOTH_SCHEMES;
    if (strcmp(s.schemes, "-") == 0) s.schemes = NULL;
    return s;
}

static const struct {
    const char *name;
    struct hello_spec spec;
    const struct verdict_keys *keys;
    enum reason reason;
    enum key_type key;
    bool gcm;
} rows[] = {
    {"all eight", {.groups = "001d 0017"}, &both, REASON_OK, KEY_ECDSA, true},
    {"no groups at all", {.points = "00"}, &both, REASON_OK, KEY_ECDSA, true},
    {"RSA certificate", {.groups = "001d"}, &rsa, REASON_OK, KEY_RSA, true},
    {"legacy version above TLS 1.2", {.version = 0x0304}, &both, REASON_OK, KEY_ECDSA, true},
    {"versions with TLS 1.2 last", {.versions = "0304 0303"}, &both, REASON_OK, KEY_ECDSA, true},
    {"versions with TLS 1.2 first", {.versions = "0303 0304"}, &both, REASON_OK, KEY_ECDSA, true},
    {"versions of GREASE and TLS 1.2",
     {.versions = "aaaa 0303"},
     &both,
     REASON_OK,
     KEY_ECDSA,
     true},
    {"versions with TLS 1.2 and a draft",
     {.versions = "7f1c 0303"},
     &both,
     REASON_OK,
     KEY_ECDSA,
     true},
    {"SCSV together with TLS 1.2",
     {.suites = "c02b 5600", .schemes = "0403"},
     &both,
     REASON_OK,
     KEY_ECDSA,
     true},
    {"weaker suites beside",
     {.suites = "0005 000a 002f c02f", .schemes = "0401"},
     &both,
     REASON_OK,
     KEY_RSA,
     true},
    {"GREASE everywhere",
     {.suites = "0a0a c030", .groups = "1a1a 0019", .schemes = "0601", .versions = "2a2a 0303"},
     &both,
     REASON_OK,
     KEY_RSA,
     true},
    {"server's order: ECDSA before RSA",
     {.suites = "c030 c02c", .schemes = BOTH_SCHEMES},
     &both,
     REASON_OK,
     KEY_ECDSA,
     true},
    {"server's order: RSA GCM before ECDSA CBC",
     {.suites = "c023 c02f", .schemes = BOTH_SCHEMES},
     &both,
     REASON_OK,
     KEY_RSA,
     true},
    {"CBC alone", {.suites = "c027", .schemes = "0401"}, &both, REASON_OK, KEY_RSA, false},
    {"ECDSA CBC alone", {.suites = "c024", .schemes = "0403"}, &both, REASON_OK, KEY_ECDSA, false},
    {"ECDSA certificate gives CBC",
     {.suites = "c023 c02f", .schemes = BOTH_SCHEMES},
     &ecdsa,
     REASON_OK,
     KEY_ECDSA,
     false},
    {"scheme for RSA alone turns to RSA", {.schemes = "0804"}, &both, REASON_OK, KEY_RSA, true},
    {"curve of the key not offered turns to RSA",
     {.groups = "001d"},
     &both,
     REASON_OK,
     KEY_RSA,
     true},
    {"compression beside null", {.compression = "01 00"}, &both, REASON_OK, KEY_ECDSA, true},
    {"compressed points beside", {.points = "02 01 00"}, &both, REASON_OK, KEY_ECDSA, true},
    {"empty renegotiation_info", {.renegotiation = ""}, &both, REASON_OK, KEY_ECDSA, true},

    {"SSL 3.0", {.version = 0x0300}, &both, REASON_CLIENT_PROTOCOL_TOO_OLD, KEY_NONE, false},
    {"TLS 1.0", {.version = 0x0301}, &both, REASON_CLIENT_PROTOCOL_TOO_OLD, KEY_NONE, false},
    {"TLS 1.1", {.version = 0x0302}, &both, REASON_CLIENT_PROTOCOL_TOO_OLD, KEY_NONE, false},
    {"versions below TLS 1.2",
     {.versions = "0302 0301"},
     &both,
     REASON_CLIENT_PROTOCOL_TOO_OLD,
     KEY_NONE,
     false},
    {"fallback",
     {.version = 0x0302, .suites = ALL_SUITES "5600"},
     &both,
     REASON_CLIENT_FALLBACK,
     KEY_NONE,
     false},
    {"fallback by versions",
     {.suites = "c02b 5600", .schemes = "0403", .versions = "0302 0301"},
     &both,
     REASON_CLIENT_FALLBACK,
     KEY_NONE,
     false},
    {"TLS 1.3 only", {.versions = "0304"}, &both, REASON_CLIENT_TLS13_ONLY, KEY_NONE, false},
    {"TLS 1.3 and GREASE",
     {.versions = "fafa 0304"},
     &both,
     REASON_CLIENT_TLS13_ONLY,
     KEY_NONE,
     false},
    {"TLS 1.3 and 1.1",
     {.versions = "0304 0302"},
     &both,
     REASON_CLIENT_TLS13_ONLY,
     KEY_NONE,
     false},
    {"a draft of TLS 1.3 only",
     {.versions = "7f1c"},
     &both,
     REASON_CLIENT_TLS13_ONLY,
     KEY_NONE,
     false},
    {"a draft of TLS 1.3 and 1.1",
     {.versions = "7f1c 0302"},
     &both,
     REASON_CLIENT_TLS13_ONLY,
     KEY_NONE,
     false},
    {"compression only",
     {.compression = "01"},
     &both,
     REASON_CLIENT_COMPRESSION_ONLY,
     KEY_NONE,
     false},
    {"static RSA only",
     {.suites = "009c 009d 002f 0035 003c"},
     &both,
     REASON_CLIENT_NO_APPROVED_SUITE,
     KEY_NONE,
     false},
    {"ECDHE with SHA-1",
     {.suites = "c013 c014 c009 c00a"},
     &both,
     REASON_CLIENT_NO_APPROVED_SUITE,
     KEY_NONE,
     false},
    {"DHE and ChaCha20",
     {.suites = "009e 009f cca8 cca9"},
     &both,
     REASON_CLIENT_NO_APPROVED_SUITE,
     KEY_NONE,
     false},
    {"SCSVs only",
     {.suites = "00ff 5600"},
     &both,
     REASON_CLIENT_NO_APPROVED_SUITE,
     KEY_NONE,
     false},
    {"finite field groups",
     {.groups = "0100 0101"},
     &both,
     REASON_CLIENT_NO_COMMON_GROUP,
     KEY_NONE,
     false},
    {"x448 and a post-quantum group",
     {.groups = "001e 11ec"},
     &both,
     REASON_CLIENT_NO_COMMON_GROUP,
     KEY_NONE,
     false},
    {"GREASE group only",
     {.groups = "4a4a"},
     &both,
     REASON_CLIENT_NO_COMMON_GROUP,
     KEY_NONE,
     false},
    {"compressed points only",
     {.points = "01 02"},
     &both,
     REASON_CLIENT_BAD_POINT_FORMAT,
     KEY_NONE,
     false},
    {"no schemes", {.schemes = "-"}, &both, REASON_CLIENT_NO_COMMON_SIGNATURE, KEY_NONE, false},
    {"no extensions",
     {.no_extensions = true},
     &both,
     REASON_CLIENT_NO_COMMON_SIGNATURE,
     KEY_NONE,
     false},
    {"SHA-1 and MD5",
     {.schemes = "0201 0203 0101"},
     &both,
     REASON_CLIENT_NO_COMMON_SIGNATURE,
     KEY_NONE,
     false},
    {"SHA-224, DSA, unknown and GREASE",
     {.schemes = "0301 0303 0402 fe00 0a0a"},
     &both,
     REASON_CLIENT_NO_COMMON_SIGNATURE,
     KEY_NONE,
     false},
    {"EdDSA and rsa_pss_pss only",
     {.schemes = "0807 0808 0809"},
     &both,
     REASON_CLIENT_NO_COMMON_SIGNATURE,
     KEY_NONE,
     false},
    {"scheme and suite of different key types",
     {.suites = "c02b", .schemes = "0401"},
     &both,
     REASON_CLIENT_NO_COMMON_SIGNATURE,
     KEY_NONE,
     false},
    {"ECDSA suites, RSA certificate",
     {.suites = "c02b c024", .schemes = BOTH_SCHEMES},
     &rsa,
     REASON_CLIENT_NO_USABLE_CERTIFICATE,
     KEY_NONE,
     false},
    {"RSA suites, ECDSA certificate",
     {.suites = "c02f", .schemes = BOTH_SCHEMES},
     &ecdsa,
     REASON_CLIENT_NO_USABLE_CERTIFICATE,
     KEY_NONE,
     false},
    {"ECDSA scheme only, RSA certificate",
     {.schemes = "0403"},
     &rsa,
     REASON_CLIENT_NO_USABLE_CERTIFICATE,
     KEY_NONE,
     false},
    {"curve of the only key not offered",
     {.groups = "001d 0017"},
     &ecdsa_384,
     REASON_CLIENT_NO_USABLE_CERTIFICATE,
     KEY_NONE,
     false},
    {"no certificate",
     {.groups = "001d"},
     &none,
     REASON_CLIENT_NO_USABLE_CERTIFICATE,
     KEY_NONE,
     false},
    {"renegotiation",
     {.renegotiation = "0102"},
     &both,
     REASON_CLIENT_RENEGOTIATION,
     KEY_ECDSA,
     true},
};

static void every_row(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct hello_spec s = with_defaults(rows[i].spec);
        struct verdict v = judge(&s, rows[i].keys);
        if (v.reason == rows[i].reason &&
            (v.reason || (v.key == rows[i].key && (v.suite->mode == SUITE_GCM) == rows[i].gcm)))
            continue;
        print_error("%s: reason %s, key %s, gcm %d\n", rows[i].name,
                    v.reason ? reason_row(v.reason)->code : "ok", key_type_name(v.key),
                    v.suite && v.suite->mode == SUITE_GCM);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* One fault each, in policy.md's order. */
enum fault { FALLBACK, TOO_OLD, TLS13_ONLY, COMPRESSION, SUITE, GROUP, POINTS, SIGNATURE, CERT };
static const enum reason fault_reasons[] = {
    REASON_CLIENT_FALLBACK,
    REASON_CLIENT_PROTOCOL_TOO_OLD,
    REASON_CLIENT_TLS13_ONLY,
    REASON_CLIENT_COMPRESSION_ONLY,
    REASON_CLIENT_NO_APPROVED_SUITE,
    REASON_CLIENT_NO_COMMON_GROUP,
    REASON_CLIENT_BAD_POINT_FORMAT,
    REASON_CLIENT_NO_COMMON_SIGNATURE,
    REASON_CLIENT_NO_USABLE_CERTIFICATE,
};

/* The reason for a hello that has every fault in the set. */
static enum reason with_faults(unsigned set)
{
    struct hello_spec s = {
        .version = 0x0303, .groups = "0017", .schemes = BOTH_SCHEMES, .points = "00"};
    bool scsv = set & 1u << FALLBACK;
    s.suites = set & 1u << SUITE ? (scsv ? "002f 5600" : "002f") : (scsv ? "c02b 5600" : "c02b");
    if (set & (1u << FALLBACK | 1u << TOO_OLD)) s.version = 0x0301;
    if (set & 1u << TLS13_ONLY) s.versions = "0304";
    if (set & 1u << COMPRESSION) s.compression = "01";
    if (set & 1u << GROUP) s.groups = "001e";
    if (set & 1u << POINTS) s.points = "01";
    if (set & 1u << SIGNATURE) s.schemes = "0201";
    return judge(&s, set & 1u << CERT ? &rsa : &both).reason;
}

static void precedence(void **state)
{
    (void)state;
    unsigned checked = 0;
    assert_int_equal(with_faults(0), REASON_OK);
    for (unsigned set = 1; set < 1u << N_OF(fault_reasons); set++) {
        /* A hello is either below TLS 1.2 or above it. */
        if (set & 1u << TLS13_ONLY && set & (1u << FALLBACK | 1u << TOO_OLD)) continue;
        unsigned first = 0;
        while (!(set & 1u << first)) first++;
        enum reason reason = with_faults(set);
        if (reason != fault_reasons[first])
            fail_msg("faults %x: reason %s, not %s", set, reason ? reason_row(reason)->code : "ok",
                     reason_row(fault_reasons[first])->code);
        checked++;
    }
    assert_int_equal(checked, 319); /* 7 combinations in 3 bits less one for no fault, of 2^6 */
}

/* Profile and narrowing decide which suites are approved; each suite alone is checked. */
static void narrowed(void **state)
{
    (void)state;
    static const uint16_t ids[] = {0xc02b, 0xc02c, 0xc02f, 0xc030, 0xc023, 0xc024, 0xc027, 0xc028};
    struct policy whole = policy;
    for (unsigned allowed = 0; allowed < 256; allowed++) {
        policy.allowed = (suite_set)allowed;
        for (size_t i = 0; i < N_OF(ids); i++) {
            char list[5];
            snprintf(list, sizeof list, "%04x", ids[i]);
            struct hello_spec s = {.version = 0x0303, .suites = list, .schemes = BOTH_SCHEMES};
            struct verdict v = judge(&s, &both);
            bool ok = allowed & 1u << i;
            assert_int_equal(v.reason, ok ? REASON_OK : REASON_CLIENT_NO_APPROVED_SUITE);
            assert_int_equal(v.offered, ok ? 1u << i : 0);
        }
    }
    policy = whole;
    policy.allowed = policy_profile_suites(PROFILE_2020);
    struct hello_spec s = {.version = 0x0303, .suites = "c02b c024", .schemes = BOTH_SCHEMES};
    assert_int_equal(judge(&s, &both).reason, REASON_CLIENT_NO_APPROVED_SUITE);
    policy = whole;
}

static void statuses(void **state)
{
    (void)state;
    static const struct {
        enum hello_status status;
        enum reason reason;
    } table[] = {
        {HELLO_MORE, REASON_OK},
        {HELLO_COMPLETE, REASON_OK},
        {HELLO_HTTP, REASON_CLIENT_PLAINTEXT_HTTP},
        {HELLO_NOT_TLS, REASON_CLIENT_NOT_TLS},
        {HELLO_SSLV2, REASON_CLIENT_SSLV2_HELLO},
        {HELLO_MALFORMED, REASON_CLIENT_MALFORMED_HELLO},
        {HELLO_TOO_LARGE, REASON_CLIENT_HELLO_TOO_LARGE},
        {HELLO_TOO_MANY_SUITES, REASON_CLIENT_HELLO_TOO_LARGE},
        {HELLO_TOO_MANY_EXTENSIONS, REASON_CLIENT_HELLO_TOO_LARGE},
        {HELLO_NO_MEMORY, REASON_INTERNAL_ERROR},
    };
    for (size_t i = 0; i < N_OF(table); i++)
        assert_int_equal(verdict_of_status(table[i].status), table[i].reason);
}

static int set_policy(void **state)
{
    (void)state;
    policy = (struct policy){.profile = PROFILE_2021,
                             .allowed = policy_profile_suites(PROFILE_2021),
                             .minimum_rsa_bits = POLICY_RSA_BITS_FLOOR};
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(precedence),
        cmocka_unit_test(narrowed),
        cmocka_unit_test(statuses),
    };
    return cmocka_run_group_tests_name("verdict", tests, set_policy, NULL);
}
