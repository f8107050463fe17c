/* Hellos of real clients, and constructed ones of clients that do not run here, from data/: what
 * the parser reads in them, the verdict and the JA4. Another reader gave the expected facts. */
#include "helper.h"
#include "sha256.h"

#include "policy/hello.h"
#include "policy/ja4.h"
#include "policy/verdict.h"

static const struct {
    const char *file;
    uint16_t legacy, highest;
    unsigned suites_n;
    suite_set offered; /* in the order of suites.def */
    unsigned groups_n, schemes_n;
    bool name, alpn, scsv, grease;
    enum reason reason;
    enum key_type key; /* with certificates of both types */
    const char *ja4;
} rows[] = {
#define OK REASON_OK
    {"chromium", 0x0303, 0x0304, 16, 0x0f, 5, 12, true, true, false, true, OK, KEY_ECDSA,
     "t13d1517h2_8daaf6152771_cb7bf5808d99"},
    {"curl", 0x0303, 0x0304, 31, 0xff, 10, 20, true, true, false, false, OK, KEY_ECDSA,
     "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"},
    {"curl-tls12", 0x0303, 0x0303, 28, 0xff, 5, 20, true, true, false, false, OK, KEY_ECDSA,
     "t12d2807h2_d943125447b4_a44c6288192a"},
    {"curl-tls13-only", 0x0303, 0x0304, 4, 0, 10, 14, true, true, false, false,
     REASON_CLIENT_TLS13_ONLY, KEY_NONE, "t13d0412h2_16476d049b0b_85302d7e289e"},
    {"gnutls-cli", 0x0303, 0x0304, 29, 0x0f, 10, 16, true, false, false, false, OK, KEY_ECDSA,
     "t13d291300_723694b0fccc_2cc26d266019"},
    {"java", 0x0303, 0x0304, 37, 0xff, 10, 21, true, true, false, false, OK, KEY_ECDSA,
     "t13d3713h2_db35923f8641_7c76daad20ec"},
    {"nmap", 0x0303, 0x0303, 64, 0, 5, 13, false, false, false, false,
     REASON_CLIENT_NO_APPROVED_SUITE, KEY_NONE, "t12i640300_e7b476f9520b_c54f48fd7c65"},
    {"node", 0x0303, 0x0304, 59, 0xff, 10, 20, true, true, false, false, OK, KEY_ECDSA,
     "t13d5911h2_a33745022dd6_1f22a2ca17c4"},
    {"openssl", 0x0303, 0x0304, 31, 0xff, 10, 20, true, false, false, false, OK, KEY_ECDSA,
     "t13d311000_e8f1e7e78f70_1f22a2ca17c4"},
    {"openssl-many", 0x0303, 0x0304, 87, 0xff, 6, 23, true, true, false, false, OK, KEY_ECDSA,
     "t13d8714h2_c66346c74e42_e53b2ac658b2"},
    {"openssl-sha1-only", 0x0303, 0x0303, 28, 0xff, 5, 2, true, false, false, false,
     REASON_CLIENT_NO_COMMON_SIGNATURE, KEY_NONE, "t12d280700_d943125447b4_5ccef8d878ed"},
    {"openssl-static-rsa", 0x0303, 0x0303, 3, 0, 0, 20, true, false, false, false,
     REASON_CLIENT_NO_APPROVED_SUITE, KEY_NONE, "t12d030500_4273c3e448df_847bbcdea70d"},
    {"openssl-tls10", 0x0301, 0x0301, 23, 0, 5, 0, true, false, false, false,
     REASON_CLIENT_PROTOCOL_TOO_OLD, KEY_NONE, "t10d230600_44099cda8a52_195413a0cc0f"},
    {"openssl-tls11-fallback", 0x0302, 0x0302, 24, 0, 5, 0, true, false, true, false,
     REASON_CLIENT_FALLBACK, KEY_NONE, "t11d240600_28adaca67414_195413a0cc0f"},
    {"openssl-tls12-fallback", 0x0303, 0x0303, 29, 0xff, 5, 20, true, false, true, false, OK,
     KEY_ECDSA, "t12d290700_e8896cf58dc3_e7e480e5a997"},
    {"openssl-tls13-only", 0x0303, 0x0304, 4, 0, 10, 14, true, false, false, false,
     REASON_CLIENT_TLS13_ONLY, KEY_NONE, "t13d041000_16476d049b0b_78f1d400d464"},
    {"openssl-x448-only", 0x0303, 0x0303, 28, 0xff, 1, 20, true, false, false, false,
     REASON_CLIENT_NO_COMMON_GROUP, KEY_NONE, "t12d280700_d943125447b4_e7e480e5a997"},
    {"sslscan", 0x0301, 0x0301, 344, 0xff, 13, 23, true, false, false, false,
     REASON_CLIENT_PROTOCOL_TOO_OLD, KEY_NONE, "t10d990500_87ce778b49c2_f5b46616e359"},
    {"schannel-2008r2-tls10", 0x0301, 0x0301, 12, 0, 2, 0, true, false, false, false,
     REASON_CLIENT_PROTOCOL_TOO_OLD, KEY_NONE, "t10d120500_d94e65cdb899_c35b4a14be45"},
    {"schannel-2008r2-tls12", 0x0303, 0x0303, 21, 0x73, 2, 7, true, false, false, false, OK,
     KEY_ECDSA, "t12d210600_b973bfd88a0e_70e03d5e837c"},
    {"schannel-2012r2-tls12", 0x0303, 0x0303, 24, 0xf3, 2, 9, true, false, false, false, OK,
     KEY_ECDSA, "t12d240800_9295eb73ea51_16bbda4055b2"},
    {"schannel-xp-ssl30", 0x0300, 0x0300, 11, 0, 0, 0, false, false, false, false,
     REASON_CLIENT_PROTOCOL_TOO_OLD, KEY_NONE, "ts3i110000_3609b414f052_000000000000"},
};

static const struct verdict_keys both = {{true, true}, 0x0017};
static struct policy policy;
static struct blob wire;

static struct hello_reader read_file(const char *name, size_t piece)
{
    struct hello_reader r = {.limit = 80 * 1024};
    enum hello_status status = HELLO_MORE;
    wire.n = 0;
    blob_file(&wire, name);
    for (size_t i = 0; i < wire.n; i += piece) {
        size_t n = wire.n - i < piece ? wire.n - i : piece, used;
        assert_int_equal(status, HELLO_MORE);
        status = hello_reader_feed(&r, wire.p + i, n, &used);
        assert_int_equal(used, n);
    }
    assert_int_equal(status, HELLO_COMPLETE);
    return r;
}

static void check(size_t i, size_t piece)
{
    struct hello_reader r = read_file(rows[i].file, piece);
    struct hello h;
    uint8_t alert;
    char ja4[JA4_SIZE];
    assert_int_equal(
        hello_parse((struct span){buf_head(&r.message), buf_size(&r.message)}, &h, &alert),
        HELLO_COMPLETE);
    assert_int_equal(h.legacy_version, rows[i].legacy);
    assert_int_equal(h.highest_version, rows[i].highest);
    assert_int_equal(h.cipher_suites.n / 2, rows[i].suites_n);
    assert_int_equal(h.groups.n / 2, rows[i].groups_n);
    assert_int_equal(h.schemes.n / 2, rows[i].schemes_n);
    assert_string_equal(h.server_name, rows[i].name ? "gate.example" : "");
    assert_int_equal(h.alpn.n > 0, rows[i].alpn);
    assert_int_equal(h.fallback_scsv, rows[i].scsv);
    assert_int_equal(h.grease, rows[i].grease);
    assert_int_equal(verdict_offered(&h, 0xff), rows[i].offered);
    struct verdict v = verdict_judge(&h, &policy, &both);
    assert_int_equal(v.reason, rows[i].reason);
    assert_int_equal(v.key, rows[i].key);
    ja4_format(&h, sha256, ja4);
    assert_string_equal(ja4, rows[i].ja4);
    hello_reader_fini(&r);
}

static void all_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(rows); i++) {
        print_message("%s\n", rows[i].file);
        check(i, sizeof wire.p);
        check(i, 1);
    }
}

/* Chromium's key shares include a post-quantum one, which makes the hello large. */
static void post_quantum(void **state)
{
    (void)state;
    struct hello_reader r = read_file("chromium", 1460);
    struct hello h;
    uint8_t alert;
    assert_true(buf_size(&r.message) > 1600);
    assert_int_equal(
        hello_parse((struct span){buf_head(&r.message), buf_size(&r.message)}, &h, &alert),
        HELLO_COMPLETE);
    assert_string_equal(group_name(span_u16(h.groups, 1)), "X25519MLKEM768");
    hello_reader_fini(&r);
}

/* Windows Server 2012 R2 has GCM with ECDSA only: with an RSA certificate it gets CBC. */
static void schannel_2012r2_with_rsa(void **state)
{
    (void)state;
    static const struct verdict_keys rsa = {{false, true}, 0};
    struct hello_reader r = read_file("schannel-2012r2-tls12", 9);
    struct hello h;
    uint8_t alert;
    assert_int_equal(
        hello_parse((struct span){buf_head(&r.message), buf_size(&r.message)}, &h, &alert),
        HELLO_COMPLETE);
    struct verdict v = verdict_judge(&h, &policy, &rsa);
    assert_int_equal(v.reason, REASON_OK);
    assert_int_equal(v.key, KEY_RSA);
    assert_int_equal(v.suite->mode, SUITE_CBC);
    assert_int_equal(verdict_judge(&h, &policy, &both).suite->mode, SUITE_GCM);
    hello_reader_fini(&r);
}

static void ssl2(void **state)
{
    (void)state;
    static const char *const files[] = {"sslv2", "sslv2-compatible-tls10"};
    for (size_t i = 0; i < N_OF(files); i++) {
        struct hello_reader r = {.limit = 80 * 1024};
        size_t used;
        wire.n = 0;
        blob_file(&wire, files[i]);
        assert_int_equal(hello_reader_feed(&r, wire.p, wire.n, &used), HELLO_SSLV2);
        hello_reader_fini(&r);
    }
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
        cmocka_unit_test(all_rows),
        cmocka_unit_test(post_quantum),
        cmocka_unit_test(schannel_2012r2_with_rsa),
        cmocka_unit_test(ssl2),
    };
    return cmocka_run_group_tests_name("captured hellos", tests, set_policy, NULL);
}
