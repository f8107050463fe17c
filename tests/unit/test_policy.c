/* Snapshot of what is allowed. A change here changes the policy: compare policy.md. */
#include "helper.h"

#include "policy/policy.h"

/* policy.md, "What is allowed", row by row. */
static const struct {
    uint16_t id;
    const char *iana, *openssl, *source;
    enum key_type key;
    enum suite_mode mode;
} eight[] = {
    {0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
     "RFC 5289 section 3.2", KEY_ECDSA, SUITE_GCM},
    {0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384",
     "RFC 5289 section 3.2", KEY_ECDSA, SUITE_GCM},
    {0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
     "RFC 5289 section 3.2", KEY_RSA, SUITE_GCM},
    {0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
     "RFC 5289 section 3.2", KEY_RSA, SUITE_GCM},
    {0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256",
     "RFC 5289 section 3.1", KEY_ECDSA, SUITE_CBC},
    {0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384",
     "RFC 5289 section 3.1", KEY_ECDSA, SUITE_CBC},
    {0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256",
     "RFC 5289 section 3.1", KEY_RSA, SUITE_CBC},
    {0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384",
     "RFC 5289 section 3.1", KEY_RSA, SUITE_CBC},
};

static void exactly_eight(void **state)
{
    (void)state;
    assert_int_equal(SUITE_COUNT, 8);
    for (size_t i = 0; i < N_OF(eight); i++) {
        const struct suite *s = &suites[i];
        assert_int_equal(s->id, eight[i].id);
        assert_string_equal(s->iana, eight[i].iana);
        assert_string_equal(s->openssl, eight[i].openssl);
        assert_string_equal(s->source, eight[i].source);
        assert_int_equal(s->key, eight[i].key);
        assert_int_equal(s->mode, eight[i].mode);
        assert_int_equal(suite_bit(s), 1u << i);
        assert_ptr_equal(suite_by_id(s->id), s);
        assert_ptr_equal(suite_by_name(s->iana), s);
        assert_ptr_equal(suite_by_name(s->openssl), s);
    }
    unsigned found = 0;
    for (unsigned id = 0; id <= 0xffff; id++) found += suite_by_id((uint16_t)id) != NULL;
    assert_int_equal(found, 8);
    static const char *const others[] = {"",
                                         "ECDHE-RSA-AES128-SHA",
                                         "AES128-GCM-SHA256",
                                         "TLS_AES_128_GCM_SHA256",
                                         "ECDHE-RSA-CHACHA20-POLY1305",
                                         "DHE-RSA-AES128-GCM-SHA256",
                                         "ECDHE-RSA-AES128-GCM-SHA256 ",
                                         "ECDHE",
                                         "ALL"};
    for (size_t i = 0; i < N_OF(others); i++) assert_null(suite_by_name(others[i]));
}

static void profile_snapshot(void **state)
{
    (void)state;
    static const char describe_2021[] = "profile 2021\n"
                                        "version TLS 1.2\n"
                                        "suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n"
                                        "suite TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n"
                                        "suite TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n"
                                        "suite TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n"
                                        "suite TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256\n"
                                        "suite TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384\n"
                                        "suite TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256\n"
                                        "suite TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384\n";
    static const char describe_2020[] = "profile 2020\n"
                                        "version TLS 1.2\n"
                                        "suite TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n"
                                        "suite TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n"
                                        "suite TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256\n"
                                        "suite TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384\n";
    static const char rest[] = "group x25519\n"
                               "group secp256r1\n"
                               "group secp384r1\n"
                               "group secp521r1\n"
                               "scheme ecdsa_secp256r1_sha256\n"
                               "scheme ecdsa_secp384r1_sha384\n"
                               "scheme ecdsa_secp521r1_sha512\n"
                               "scheme rsa_pss_rsae_sha256\n"
                               "scheme rsa_pss_rsae_sha384\n"
                               "scheme rsa_pss_rsae_sha512\n"
                               "scheme rsa_pkcs1_sha256\n"
                               "scheme rsa_pkcs1_sha384\n"
                               "scheme rsa_pkcs1_sha512\n"
                               "minimum_rsa_bits %u\n"
                               "minimum_ecdsa_bits 256\n"
                               "server_name_mismatch %s\n";
    for (unsigned i = 0; i < 4; i++) {
        struct policy p = {.profile = i & 1 ? PROFILE_2020 : PROFILE_2021,
                           .minimum_rsa_bits = i & 2 ? 3072 : POLICY_RSA_BITS_FLOOR,
                           .allow_server_name_mismatch = i & 2};
        p.allowed = policy_profile_suites(p.profile);
        struct text said = {0}, wanted = {0};
        policy_describe(&p, &said);
        text_add(&wanted, i & 1 ? describe_2020 : describe_2021);
        text_printf(&wanted, rest, i & 2 ? 3072 : 2048, i & 2 ? "allow" : "refuse");
        assert_string_equal(text_string(&said), text_string(&wanted));
        text_fini(&said);
        text_fini(&wanted);
    }
}

/* Everything that decides a verdict changes the description, and with it the digest. */
static void description_tells_differences(void **state)
{
    (void)state;
    struct policy p = {.allowed = 0xff, .minimum_rsa_bits = 2048};
    struct text first = {0};
    policy_describe(&p, &first);
    for (unsigned i = 0; i < 11; i++) {
        struct policy q = p;
        struct text other = {0};
        if (i < 8) q.allowed = (suite_set)(0xff & ~(1u << i));
        if (i == 8) q.minimum_rsa_bits = 2049;
        if (i == 9) q.allow_server_name_mismatch = true;
        if (i == 10) q.profile = PROFILE_2020;
        policy_describe(&q, &other);
        assert_string_not_equal(text_string(&first), text_string(&other));
        text_fini(&other);
    }
    text_fini(&first);
}

static void sets(void **state)
{
    (void)state;
    assert_int_equal(policy_profile_suites(PROFILE_2021), 0xff);
    assert_int_equal(policy_profile_suites(PROFILE_2020), 0xcc);
    assert_int_equal(suite_set_of_key(KEY_ECDSA), 0x33);
    assert_int_equal(suite_set_of_key(KEY_RSA), 0xcc);
    assert_string_equal(policy_profile_name(PROFILE_2021), "2021");
    assert_string_equal(policy_profile_name(PROFILE_2020), "2020");
    struct text names = {0};
    suite_set_names(0xff, &names);
    assert_string_equal(text_string(&names),
                        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
                        "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:"
                        "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:"
                        "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384");
    text_fini(&names);
    suite_set_names(0x81, &names);
    assert_string_equal(text_string(&names),
                        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-SHA384");
    text_fini(&names);
    suite_set_names(0, &names);
    assert_string_equal(text_string(&names), "");
    text_fini(&names);
}

/* As the IANA registry "TLS Supported Groups" names them. */
static void names_of_groups(void **state)
{
    (void)state;
    static const struct {
        uint16_t id;
        const char *name;
    } table[] = {
        {0x0001, "sect163k1"},
        {0x0002, "sect163r1"},
        {0x0003, "sect163r2"},
        {0x0004, "sect193r1"},
        {0x0005, "sect193r2"},
        {0x0006, "sect233k1"},
        {0x0007, "sect233r1"},
        {0x0008, "sect239k1"},
        {0x0009, "sect283k1"},
        {0x000a, "sect283r1"},
        {0x000b, "sect409k1"},
        {0x000c, "sect409r1"},
        {0x000d, "sect571k1"},
        {0x000e, "sect571r1"},
        {0x000f, "secp160k1"},
        {0x0010, "secp160r1"},
        {0x0011, "secp160r2"},
        {0x0012, "secp192k1"},
        {0x0013, "secp192r1"},
        {0x0014, "secp224k1"},
        {0x0015, "secp224r1"},
        {0x0016, "secp256k1"},
        {0x001a, "brainpoolP256r1"},
        {0x001b, "brainpoolP384r1"},
        {0x001c, "brainpoolP512r1"},
        {0x001e, "x448"},
        {0x0100, "ffdhe2048"},
        {0x0101, "ffdhe3072"},
        {0x0102, "ffdhe4096"},
        {0x0103, "ffdhe6144"},
        {0x0104, "ffdhe8192"},
        {0x0200, "MLKEM512"},
        {0x0201, "MLKEM768"},
        {0x0202, "MLKEM1024"},
        {0x11eb, "SecP256r1MLKEM768"},
        {0x11ec, "X25519MLKEM768"},
        {0x6399, "X25519Kyber768Draft00"},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        assert_non_null(group_name(table[i].id));
        assert_string_equal(group_name(table[i].id), table[i].name);
    }
}

static void groups(void **state)
{
    (void)state;
    static const uint16_t wanted[] = {0x001d, 0x0017, 0x0018, 0x0019};
    assert_int_equal(GROUP_COUNT, N_OF(wanted));
    unsigned allowed = 0;
    for (unsigned id = 0; id <= 0xffff; id++) allowed += group_allowed((uint16_t)id);
    assert_int_equal(allowed, N_OF(wanted));
    for (size_t i = 0; i < N_OF(wanted); i++) {
        assert_int_equal(group_at(i), wanted[i]);
        assert_true(group_allowed(wanted[i]));
    }
    assert_string_equal(group_name(0x001d), "x25519");
    assert_string_equal(group_name(0x11ec), "X25519MLKEM768");
    assert_string_equal(group_name(0x0100), "ffdhe2048");
    assert_null(group_name(0x7a7a));
}

static void schemes(void **state)
{
    (void)state;
    static const struct {
        uint16_t id;
        enum key_type key;
        enum scheme_verdict verdict;
    } rows[] = {
        {0x0403, KEY_ECDSA, SCHEME_ALLOWED}, {0x0503, KEY_ECDSA, SCHEME_ALLOWED},
        {0x0603, KEY_ECDSA, SCHEME_ALLOWED}, {0x0804, KEY_RSA, SCHEME_ALLOWED},
        {0x0805, KEY_RSA, SCHEME_ALLOWED},   {0x0806, KEY_RSA, SCHEME_ALLOWED},
        {0x0401, KEY_RSA, SCHEME_ALLOWED},   {0x0501, KEY_RSA, SCHEME_ALLOWED},
        {0x0601, KEY_RSA, SCHEME_ALLOWED},   {0x0101, KEY_RSA, SCHEME_WEAK},
        {0x0201, KEY_RSA, SCHEME_WEAK},      {0x0203, KEY_ECDSA, SCHEME_WEAK},
        {0x0202, KEY_NONE, SCHEME_WEAK},     {0x0807, KEY_NONE, SCHEME_OTHER},
        {0x0809, KEY_NONE, SCHEME_OTHER},
    };
    unsigned allowed = 0;
    for (unsigned id = 0; id <= 0xffff; id++) {
        const struct scheme *s = scheme_by_id((uint16_t)id);
        allowed += s && s->verdict == SCHEME_ALLOWED;
        /* SHA-1, MD5 and SHA-224 are never allowed (RFC 5246 section 7.4.1.4.1's hash byte). */
        if (s && id >> 8 <= 3) assert_int_equal(s->verdict, SCHEME_WEAK);
    }
    assert_int_equal(allowed, 9);
    for (size_t i = 0; i < N_OF(rows); i++) {
        const struct scheme *s = scheme_by_id(rows[i].id);
        assert_non_null(s);
        assert_int_equal(s->key, rows[i].key);
        assert_int_equal(s->verdict, rows[i].verdict);
    }
    assert_null(scheme_by_id(0x0a0a));
}

static const struct {
    uint16_t id;
    const char *name;
} cipher_rows[] = {
#define CIPHER_NAME(id, name) {id, name},
#include "policy/cipher_names.def"
#undef CIPHER_NAME
};

static void cipher_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(cipher_rows); i++) {
        if (i) assert_true(cipher_rows[i - 1].id < cipher_rows[i].id);
        assert_string_equal(cipher_name(cipher_rows[i].id), cipher_rows[i].name);
        bool prefix = strncmp(cipher_rows[i].name, "TLS_", 4) == 0 ||
                      strncmp(cipher_rows[i].name, "OLD_TLS_", 8) == 0 ||
                      strncmp(cipher_rows[i].name, "SSL_RSA_FIPS_", 13) == 0;
        assert_true(prefix);
        assert_false(is_grease(cipher_rows[i].id));
    }
    assert_string_equal(cipher_name(0xc02b), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    assert_string_equal(cipher_name(0x000a), "TLS_RSA_WITH_3DES_EDE_CBC_SHA");
    assert_string_equal(cipher_name(0x1301), "TLS_AES_128_GCM_SHA256");
    assert_string_equal(cipher_name(SCSV_FALLBACK), "TLS_FALLBACK_SCSV");
    assert_null(cipher_name(0x0a0a));
}

static void grease(void **state)
{
    (void)state;
    unsigned found = 0;
    for (unsigned v = 0; v <= 0xffff; v++) {
        if (!is_grease((uint16_t)v)) continue;
        assert_int_equal(v, 0x0a0a + 0x1010 * found); /* RFC 8701 section 2 */
        found++;
    }
    assert_int_equal(found, 16);
}

static void other_names(void **state)
{
    (void)state;
    char scratch[VERSION_TEXT_SIZE];
    assert_string_equal(version_name(0x0002, scratch), "SSL 2.0");
    assert_string_equal(version_name(0x0300, scratch), "SSL 3.0");
    assert_string_equal(version_name(0x0301, scratch), "TLS 1.0");
    assert_string_equal(version_name(0x0302, scratch), "TLS 1.1");
    assert_string_equal(version_name(0x0303, scratch), "TLS 1.2");
    assert_string_equal(version_name(0x0304, scratch), "TLS 1.3");
    assert_string_equal(version_name(0x7f1c, scratch), "0x7f1c");
    assert_string_equal(key_type_name(KEY_ECDSA), "ecdsa");
    assert_string_equal(key_type_name(KEY_RSA), "rsa");
    assert_string_equal(key_type_name(KEY_NONE), "none");
}

static bool contains(const uint16_t *list, size_t n, uint16_t id)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == id) return true;
    return false;
}

/* What check asks about besides the policy: nothing of the policy, nothing twice, all named. */
static void others(void **state)
{
    (void)state;
    uint16_t ciphers[OTHER_CIPHERS], curves[OTHER_CURVES], weak[WEAK_SCHEMES];
    size_t n = other_ciphers(ciphers, N_OF(ciphers));
    assert_in_range(n, 300, OTHER_CIPHERS - 1); /* all fit */
    for (size_t i = 0; i < n; i++) {
        assert_null(suite_by_id(ciphers[i]));
        assert_non_null(cipher_name(ciphers[i]));
        assert_false(cipher_is_tls13(ciphers[i]) || cipher_is_signal(ciphers[i]));
        assert_false(contains(ciphers, i, ciphers[i]));
    }
    for (size_t i = 0; i < N_OF(cipher_rows); i++) {
        uint16_t id = cipher_rows[i].id;
        bool left_out = cipher_is_tls13(id) || cipher_is_signal(id);
        assert_int_equal(contains(ciphers, n, id), !left_out);
    }
    static const uint16_t wanted[] = {0x0000, 0x0004, 0x000a, 0x002f, 0x009c, 0xc013, 0xcca8};
    for (size_t i = 0; i < N_OF(wanted); i++) assert_true(contains(ciphers, n, wanted[i]));

    n = other_curves(curves, N_OF(curves));
    assert_in_range(n, 20, OTHER_CURVES - GROUP_COUNT);
    for (size_t i = 0; i < n; i++) {
        assert_false(group_allowed(curves[i]));
        assert_non_null(group_name(curves[i]));
        assert_false(contains(curves, i, curves[i]));
    }
    assert_true(contains(curves, n, 0x0013) && contains(curves, n, 0x001a));
    assert_true(contains(curves, n, 0x001e));
    assert_false(contains(curves, n, 0x0100) || contains(curves, n, 0x11ec)); /* no curves */

    n = weak_schemes(weak, N_OF(weak));
    for (size_t i = 0; i < n; i++) assert_int_equal(scheme_by_id(weak[i])->verdict, SCHEME_WEAK);
    size_t all = 0;
    for (unsigned id = 0; id <= 0xffff; id++) {
        const struct scheme *s = scheme_by_id((uint16_t)id);
        all += s && s->verdict == SCHEME_WEAK;
    }
    assert_int_equal(n, all);
}

/* No more than there is room for. */
static void others_bounded(void **state)
{
    (void)state;
    uint16_t list[4] = {1, 1, 1, 0xabcd};
    assert_int_equal(other_ciphers(list, 3), 3);
    assert_int_equal(other_curves(list, 3), 3);
    assert_int_equal(weak_schemes(list, 3), 3);
    assert_int_equal(list[3], 0xabcd);
    assert_int_equal(other_ciphers(list, 0), 0);
    assert_int_equal(other_curves(list, 0), 0);
    assert_int_equal(weak_schemes(list, 0), 0);
}

static void cipher_kinds(void **state)
{
    (void)state;
    static const struct {
        uint16_t id;
        bool curve, cbc;
    } rows[] = {
        {0xc02b, true, false},  {0xc02f, true, false},  {0xc023, true, true},
        {0xc028, true, true},   {0xc013, true, true},   {0xcca9, true, false},
        {0xc018, true, true},                          /* ECDH_anon */
        {0xc003, false, true},                         /* ECDH: no ServerKeyExchange */
        {0xc035, false, true},                         /* ECDHE_PSK: a hint comes first */
        {0x009e, false, false}, {0x0033, false, true}, /* DHE */
        {0x002f, false, true},  {0x009c, false, false}, {0x000a, false, true},
        {0x0005, false, false}, /* RC4 */
        {0x1301, false, false}, {0xabcd, false, false}, {SCSV_FALLBACK, false, false},
    };
    for (size_t i = 0; i < N_OF(rows); i++)
        if (cipher_has_curve(rows[i].id) != rows[i].curve ||
            cipher_has_cbc(rows[i].id) != rows[i].cbc)
            fail_msg("%04x", rows[i].id);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        assert_true(cipher_has_curve(suites[i].id));
        assert_int_equal(cipher_has_cbc(suites[i].id), suites[i].mode == SUITE_CBC);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_eight),
        cmocka_unit_test(profile_snapshot),
        cmocka_unit_test(description_tells_differences),
        cmocka_unit_test(sets),
        cmocka_unit_test(groups),
        cmocka_unit_test(names_of_groups),
        cmocka_unit_test(schemes),
        cmocka_unit_test(cipher_names),
        cmocka_unit_test(grease),
        cmocka_unit_test(other_names),
        cmocka_unit_test(others),
        cmocka_unit_test(others_bounded),
        cmocka_unit_test(cipher_kinds),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
