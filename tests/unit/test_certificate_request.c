/* A server's CertificateRequest: RFC 5246 section 7.4.4, RFC 8422 section 5.5. */
#include "helper.h"

#include "policy/certificate_request.h"

/* Names as DER; the request does not look into them. */
#define NAME_A "3003 020101"
#define NAME_B "3004 02020203"

static struct blob body;

/* The message's body from its three lists. */
static struct span body_of(const char *types, const char *schemes, const char *authorities)
{
    body.n = 0;
    size_t list = blob_open(&body, 1);
    blob_hex(&body, types);
    blob_close(&body, list, 1);
    list = blob_open(&body, 2);
    blob_hex(&body, schemes);
    blob_close(&body, list, 2);
    list = blob_open(&body, 2);
    blob_hex(&body, authorities);
    blob_close(&body, list, 2);
    return (struct span){body.p, body.n};
}

/* From exactly these bytes on the heap, which are gone afterwards. */
static bool readable(struct span s)
{
    struct certificate_request r;
    uint8_t *copy = exact(s.p, s.n);
    bool ok = certificate_request_read((struct span){copy, s.n}, &r);
    if (ok) {
        struct reader names = reader_of(r.authorities);
        while (certificate_request_next(&names).n > 0) continue;
        assert_true(reader_done(&names));
        certificate_request_takes(&r, KEY_RSA);
    }
    free(copy);
    return ok;
}

static bool readable_hex(const char *hex)
{
    body.n = 0;
    blob_hex(&body, hex);
    return readable((struct span){body.p, body.n});
}

static void well_formed(void **state)
{
    (void)state;
    assert_true(readable_hex("02 0140 0004 04030401 0000"));
    assert_true(readable_hex("02 0140 0004 04030401 0007 0005" NAME_A));
    assert_true(readable_hex("02 0140 0004 04030401 000f 0005" NAME_A "0006" NAME_B));
    /* Lists that may not be empty: such a request takes no certificate. */
    assert_true(readable_hex("00 0000 0000"));
    assert_true(readable_hex("00 0002 0403 0000"));
    assert_true(readable_hex("01 40 0000 0000"));
    /* A name of one byte is no DER, and is not read here. */
    assert_true(readable_hex("01 40 0002 0403 0003 0001 ff"));
}

static void malformed(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "01",
        "02 01",
        "01 40",
        "01 40 00",
        "01 40 0002",
        "01 40 0002 04",
        "01 40 0002 0403",
        "01 40 0002 0403 00",
        "01 40 0002 0403 0000 00",                 /* a byte behind */
        "01 40 0001 04 0000",                      /* half a scheme */
        "01 40 0003 040304 0000",                  /* one and a half */
        "01 40 0002 0403 0001 00",                 /* half a length */
        "01 40 0002 0403 0002 0000",               /* a name of none */
        "01 40 0002 0403 0009 0005" NAME_A "0000", /* one behind a name */
        "01 40 0002 0403 0009 0000 0005" NAME_A,   /* one before it */
        "01 40 0002 0403 0007 0006" NAME_A,        /* a name longer than the list */
        "01 40 0002 0403 0008 0005" NAME_A "00",   /* half a length behind a name */
        "01 40 0002 0403 0008 0005" NAME_A,        /* a list longer than the message */
        "01 40 0002 0403 0006 0005" NAME_A,        /* shorter */
        "01 40 0002 0403 000e 0005" NAME_A "0006" NAME_B,
        "01 40 0002 0403 0010 0005" NAME_A "0006" NAME_B,
        "01 40 0002 0403 0007 ffff" NAME_A,
    };
    for (size_t i = 0; i < N_OF(rows); i++)
        if (readable_hex(rows[i])) fail_msg("%s", rows[i]);
}

/* A valid message without its last bytes is none. */
static void every_end(void **state)
{
    (void)state;
    struct span whole = body_of("0140", "04030401", "0005" NAME_A "0006" NAME_B);
    for (size_t n = 0; n <= whole.n; n++)
        assert_int_equal(readable((struct span){whole.p, n}), n == whole.n);
}

static void takes(void **state)
{
    (void)state;
    static const struct {
        const char *types, *schemes;
        bool rsa, ecdsa;
    } rows[] = {
        {"01", "0401", true, false},
        {"01", "0403", false, false},
        {"40", "0403", false, true},
        {"40", "0401", false, false},
        {"0140", "04010403", true, true},
        {"4001", "04030401", true, true},
        {"0140", "0401", true, false},
        {"0140", "0403", false, true},
        {"01", "04010403", true, false},
        {"40", "04010403", false, true},
        /* Each scheme that is allowed. */
        {"0140", "0501", true, false},
        {"0140", "0601", true, false},
        {"0140", "0804", true, false},
        {"0140", "0805", true, false},
        {"0140", "0806", true, false},
        {"0140", "0503", false, true},
        {"0140", "0603", false, true},
        /* Only weak ones, unknown ones, others. */
        {"0140", "02010203", false, false},
        {"0140", "03010303", false, false},
        {"0140", "01010103", false, false},
        {"0140", "080708080402", false, false},
        {"0140", "0809080a080b", false, false},
        {"0140", "7a7aabcd", false, false},
        {"0140", "02010203 0401", true, false},
        {"0140", "7a7a 0303 0603", false, true},
        {"0140", "", false, false},
        /* Other types: DSA, fixed Diffie-Hellman, rsa_fixed_ecdh, ecdsa_fixed_ecdh. */
        {"", "04010403", false, false},
        {"02", "04010403", false, false},
        {"020304414200ff", "04010403", false, false},
        {"02034101", "04010403", true, false},
        {"02034240", "04010403", false, true},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct certificate_request r;
        assert_true(certificate_request_read(body_of(rows[i].types, rows[i].schemes, ""), &r));
        if (certificate_request_takes(&r, KEY_RSA) != rows[i].rsa ||
            certificate_request_takes(&r, KEY_ECDSA) != rows[i].ecdsa)
            fail_msg("types %s, schemes %s", rows[i].types, rows[i].schemes);
    }
}

/* Each type with each scheme: only the policy's for that key. */
static void takes_by_the_policy(void **state)
{
    (void)state;
    static const uint8_t types[] = {0, 1, 2, 64, 65, 255};
    for (size_t t = 0; t < sizeof types; t++)
        for (unsigned id = 0; id < 0x10000; id++) {
            uint8_t scheme[] = {(uint8_t)(id >> 8), (uint8_t)id};
            struct certificate_request r = {.types = {&types[t], 1}, .schemes = {scheme, 2}};
            const struct scheme *s = scheme_by_id((uint16_t)id);
            for (int key = 0; key < KEY_TYPES; key++) {
                bool fits = s && s->verdict == SCHEME_ALLOWED && (int)s->key == key &&
                            types[t] == (key == KEY_RSA ? 1 : 64);
                assert_int_equal(certificate_request_takes(&r, (enum key_type)key), fits);
            }
        }
}

static void authorities(void **state)
{
    (void)state;
    struct certificate_request r;
    assert_true(certificate_request_read(
        body_of("40", "0403", "0005" NAME_A "0006" NAME_B "0005" NAME_A), &r));
    static const size_t sizes[] = {5, 6, 5};
    struct reader names = reader_of(r.authorities);
    for (size_t i = 0; i < N_OF(sizes); i++) {
        struct span name = certificate_request_next(&names);
        assert_int_equal(name.n, sizes[i]);
        assert_int_equal(name.p[0], 0x30);
        assert_int_equal(name.p[1], sizes[i] - 2);
    }
    for (size_t i = 0; i < 3; i++) assert_int_equal(certificate_request_next(&names).n, 0);
    assert_true(reader_done(&names));

    assert_true(certificate_request_read(body_of("40", "0403", ""), &r));
    assert_int_equal(r.authorities.n, 0);
    names = reader_of(r.authorities);
    assert_int_equal(certificate_request_next(&names).n, 0);
    names = (struct reader){0};
    assert_int_equal(certificate_request_next(&names).n, 0);
}

/* The lists as long as their lengths allow. */
static void longest(void **state)
{
    (void)state;
    static const uint8_t zeros[0xffff];
    body.n = 0;
    blob_number(&body, 0xff, 1);
    blob_bytes(&body, zeros, 0xff);
    blob_number(&body, 0xfffe, 2);
    blob_bytes(&body, zeros, 0xfffe);
    blob_number(&body, 0xffff, 2);
    blob_number(&body, 0xfffd, 2);
    blob_bytes(&body, zeros, 0xfffd);
    assert_true(readable((struct span){body.p, body.n}));
    assert_false(readable((struct span){body.p, body.n - 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed),
        cmocka_unit_test(malformed),
        cmocka_unit_test(every_end),
        cmocka_unit_test(takes),
        cmocka_unit_test(takes_by_the_policy),
        cmocka_unit_test(authorities),
        cmocka_unit_test(longest),
    };
    return cmocka_run_group_tests_name("certificate_request", tests, NULL, NULL);
}
