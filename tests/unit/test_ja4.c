/* JA4 compared with its published examples: FoxIO's repository, pcap/ with python/test/testdata/
 * (the raw form JA4_r gives the lists from which the hellos are rebuilt here), and the examples of
 * technical_details/JA4.md. */
#include "helper.h"
#include "sha256.h"

#include "policy/ja4.h"

static struct blob message;

#define CHROME_SUITES "1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 009c 009d 002f 0035"
#define CHROME_SCHEMES "0403 0804 0401 0503 0805 0501 0806 0601"
/* All except the builder's own server_name, versions, groups, schemes, points and ALPN. */
#define CHROME_MORE                                                                              \
    "0005 0000 0012 0000 0015 0000 0017 0000 001b 0000 0023 0000 002d 0000 0033 0000 4469 0000 " \
    "ff01 0001 00"
#define ALPN_H2 "02 6832 08 687474702f312e31"
#define ALPN_H1 "08 687474702f312e31"

static const struct {
    const char *source, *ja4;
    struct hello_spec spec;
} published[] = {
    {"tls-sni.pcapng, stream 0: Chrome",
     "t13d1516h2_8daaf6152771_e5627efa2ab1",
     {.version = 0x0303,
      .suites = CHROME_SUITES,
      .versions = "0304 0303",
      .groups = "001d 0017 0018",
      .schemes = CHROME_SCHEMES,
      .points = "00",
      .alpn = ALPN_H2,
      .name = "clientservices.googleapis.com",
      .more = CHROME_MORE}},
    {"the same with GREASE wherever Chrome has it",
     "t13d1516h2_8daaf6152771_e5627efa2ab1",
     {.version = 0x0303,
      .suites = "8a8a " CHROME_SUITES,
      .versions = "eaea 0304 0303",
      .groups = "3a3a 001d 0017 0018",
      .schemes = CHROME_SCHEMES,
      .points = "00",
      .alpn = ALPN_H2,
      .name = "clientservices.googleapis.com",
      .more = "5a5a 0000 " CHROME_MORE "caca 0001 00"}},
    {"tls-sni.pcapng, stream 5: http/1.1",
     "t13d1516h1_8daaf6152771_e5627efa2ab1",
     {.version = 0x0303,
      .suites = CHROME_SUITES,
      .versions = "0304 0303",
      .groups = "001d 0017 0018",
      .schemes = CHROME_SCHEMES,
      .points = "00",
      .alpn = ALPN_H1,
      .name = "lp-push-server-452.lastpass.com",
      .more = CHROME_MORE}},
    {"tls-sni.pcapng, stream 6: no ALPN",
     "t13d151400_8daaf6152771_de4a06bb82e3",
     {.version = 0x0303,
      .suites = CHROME_SUITES,
      .versions = "0304 0303",
      .groups = "001d 0017 0018",
      .schemes = CHROME_SCHEMES,
      .points = "00",
      .name = "mtalk.google.com",
      .more = "0005 0000 0012 0000 0015 0000 0017 0000 001b 0000 0023 0000 002d 0000 0033 0000 "
              "ff01 0001 00"}},
    {"tls12.pcap: Firefox, the order of the schemes kept",
     "t13d1715h2_5b57614c22b0_3d5424432f57",
     {.version = 0x0303,
      .suites = "1301 1303 1302 c02b c02f cca9 cca8 c02c c030 c00a c009 c013 c014 009c 009d 002f "
                "0035",
      .versions = "0304 0303",
      .groups = "001d 0017 0018 0019",
      .schemes = "0403 0503 0603 0804 0805 0806 0401 0501 0601 0203 0201",
      .points = "00",
      .alpn = ALPN_H2,
      .name = "contile.services.mozilla.com",
      .more = "0017 0000 ff01 0001 00 0023 0000 0005 0000 0022 0000 0033 0000 002d 0000 001c 0000 "
              "0015 0000"}},
    {"sigalg-grease.pcapng: a GREASE value among the schemes is left out",
     "t13d1517h2_8daaf6152771_cb7bf5808d99",
     {.version = 0x0303,
      .suites = "4a4a " CHROME_SUITES,
      .versions = "0304 0303",
      .groups = "001d 0017 0018",
      .schemes = "8a8a 0904 0905 0906 " CHROME_SCHEMES,
      .points = "00",
      .alpn = ALPN_H2,
      .name = "optimizationguide-pa.googleapis.com",
      .more = "fe0d 0000 0017 0000 0033 0000 44cd 0000 ff01 0001 00 0023 0000 ca34 0000 002d 0000 "
              "0005 0000 001b 0000 0012 0000"}},
};

static void format(const struct hello_spec *s, char out[JA4_SIZE])
{
    struct hello h;
    uint8_t alert;
    blob_hello(&message, s);
    assert_int_equal(hello_parse((struct span){message.p, message.n}, &h, &alert), HELLO_COMPLETE);
    ja4_format(&h, sha256, out);
}

static void published_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(published); i++) {
        char out[JA4_SIZE];
        format(&published[i].spec, out);
        if (strcmp(out, published[i].ja4) != 0)
            fail_msg("%s: %s, not %s", published[i].source, out, published[i].ja4);
    }
}

/* JA4.md, "ALPN extension value": the first and last byte where both are alphanumeric, else
 * the first and last digit of the whole in hexadecimal. */
static void alpn_values(void **state)
{
    (void)state;
    static const struct {
        const char *list, *code;
    } rows[] = {
        {"02 6832", "h2"},
        {"08 687474702f312e31", "h1"},
        {"01 68", "hh"},
        {"01 ab", "ab"},
        {"02 abcd", "ad"},
        {"02 30ab", "3b"},
        {"04 3031abcd", "3d"},
        {"04 30abcd31", "01"},
        {"02 0a0a", "0a"},
        {"02 2020", "20"},
        {"04 68322d31 02 6832", "h1"},
        {"03 683220", "60"},
        {"03 5a2d41", "ZA"},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct hello_spec s = {.version = 0x0303, .suites = "c02b", .alpn = rows[i].list};
        char out[JA4_SIZE];
        format(&s, out);
        if (strncmp(out + 8, rows[i].code, 2) != 0)
            fail_msg("ALPN %s: %.2s, not %s", rows[i].list, out + 8, rows[i].code);
    }
}

static void first_part(void **state)
{
    (void)state;
    static const struct {
        uint16_t version;
        const char *versions, *name, *start;
    } rows[] = {
        {0x0300, NULL, NULL, "ts3i0100"},           {0x0301, NULL, NULL, "t10i0100"},
        {0x0302, NULL, NULL, "t11i0100"},           {0x0303, NULL, NULL, "t12i0100"},
        {0x0303, "0303", NULL, "t12i0101"},         {0x0303, "0302 0304", NULL, "t13i0101"},
        {0x0303, "0303", "a.test", "t12d0102"},     {0x0303, "0a0a 0303", NULL, "t12i0101"},
        {0x0303, NULL, "gate.example", "t12d0101"},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct hello_spec s = {.version = rows[i].version,
                               .suites = "c02b",
                               .versions = rows[i].versions,
                               .name = rows[i].name};
        char out[JA4_SIZE];
        format(&s, out);
        if (strncmp(out, rows[i].start, 8) != 0) fail_msg("row %zu: %s", i, out);
    }
}

/* Empty lists give zeroes; counts stop at 99; no schemes means no underscore. */
static void edges(void **state)
{
    (void)state;
    char out[JA4_SIZE], list[4 * 300 + 1];
    struct hello_spec bare = {.version = 0x0303, .suites = "0a0a", .no_extensions = true};
    format(&bare, out);
    assert_string_equal(out, "t12i000000_000000000000_000000000000");
    for (size_t i = 0; i < 300; i++) sprintf(list + 4 * i, "%04zx", 0xc000 + i);
    struct hello_spec many = {.version = 0x0303, .suites = list};
    format(&many, out);
    assert_memory_equal(out, "t12i990000_", 11);
    assert_int_equal(strlen(out), JA4_SIZE - 1);
    struct hello_spec unsigned_one = {.version = 0x0303, .suites = "c02b", .more = "0017 0000"};
    format(&unsigned_one, out);
    uint8_t digest[32];
    char hex[13];
    sha256("0017", 4, digest);
    for (size_t i = 0; i < 6; i++) sprintf(hex + 2 * i, "%02x", digest[i]);
    assert_string_equal(out + 24, hex);
}

static bool no_hash(const void *p, size_t n, uint8_t out[32])
{
    (void)p;
    (void)n;
    (void)out;
    return false;
}

static void failing_hash(void **state)
{
    (void)state;
    struct hello h;
    uint8_t alert;
    char out[JA4_SIZE] = "x";
    blob_hello(&message, &published[0].spec);
    assert_int_equal(hello_parse((struct span){message.p, message.n}, &h, &alert), HELLO_COMPLETE);
    ja4_format(&h, no_hash, out);
    assert_string_equal(out, "");
}

/* The tests' own SHA-256 against FIPS 180-4's examples. */
static void own_sha256(void **state)
{
    (void)state;
    uint8_t digest[32];
    struct blob *wanted = calloc(1, sizeof *wanted);
    assert_non_null(wanted);
    sha256("abc", 3, digest);
    blob_hex(wanted, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_memory_equal(digest, wanted->p, 32);
    wanted->n = 0;
    sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, digest);
    blob_hex(wanted, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_memory_equal(digest, wanted->p, 32);
    free(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_sha256),  cmocka_unit_test(published_values),
        cmocka_unit_test(alpn_values), cmocka_unit_test(first_part),
        cmocka_unit_test(edges),       cmocka_unit_test(failing_hash),
    };
    return cmocka_run_group_tests_name("ja4", tests, NULL, NULL);
}
