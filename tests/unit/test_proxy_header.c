/* Headers of the PROXY protocol, each whole and byte by byte; what is written reads back. */
#include "helper.h"

#include "policy/proxy_header.h"

#define SIGNATURE "0d0a0d0a000d0a515549540a "

static struct blob text_blob(const char *text)
{
    struct blob b = {.n = strlen(text)};
    memcpy(b.p, text, b.n);
    return b;
}

/* The status of the first n bytes, in a block of just that size. */
static enum proxy_header_status parse(const struct blob *b, size_t n, size_t *used,
                                      struct proxy_header *out, const char **why)
{
    uint8_t *part = exact(b->p, n);
    *used = 0;
    *why = NULL;
    enum proxy_header_status status = proxy_header_parse(part, n, used, out, why);
    assert_int_equal(status == PROXY_HEADER_BAD, *why != NULL);
    free(part);
    return status;
}

static void check_good(struct blob *b, const char *source, const char *destination)
{
    struct proxy_header h;
    char text[ADDR_TEXT_SIZE];
    const char *why;
    size_t used, size = b->n;
    for (size_t n = 0; n < size; n++)
        assert_int_equal(parse(b, n, &used, &h, &why), PROXY_HEADER_MORE);
    blob_hex(b, "160301"); /* what follows is not read */
    assert_int_equal(parse(b, b->n, &used, &h, &why), PROXY_HEADER_OK);
    assert_int_equal(used, size);
    assert_int_equal(h.source.length != 0, source != NULL);
    if (!source) return;
    addr_format(&h.source, text);
    assert_string_equal(text, source);
    addr_format(&h.destination, text);
    assert_string_equal(text, destination);
}

static const struct {
    const char *text, *source, *destination;
} good_lines[] = {
    {"PROXY TCP4 192.0.2.1 203.0.113.7 4711 443\r\n", "192.0.2.1:4711", "203.0.113.7:443"},
    {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
     "255.255.255.255:65535"},
    {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0"},
    {"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2"},
    {"PROXY TCP6 ffff:f:f:f:f:f:f:ffff ffff:f:f:f:f:f:f:ffff 65535 65535\r\n",
     "[ffff:f:f:f:f:f:f:ffff]:65535", "[ffff:f:f:f:f:f:f:ffff]:65535"},
    {"PROXY UNKNOWN\r\n", NULL, NULL},
    {"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", NULL, NULL},
    {"PROXY UNKNOWN anything at all\r\n", NULL, NULL},
};

static void lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(good_lines); i++) {
        struct blob b = text_blob(good_lines[i].text);
        check_good(&b, good_lines[i].source, good_lines[i].destination);
    }
}

static const struct {
    const char *hex, *source, *destination;
} good_binaries[] = {
    {SIGNATURE "21 11 000c c0000201 cb007107 1267 01bb", "192.0.2.1:4711", "203.0.113.7:443"},
    {SIGNATURE "21 21 0024 20010db8000000000000000000000001 00000000000000000000000000000001"
               "0001 0002",
     "[2001:db8::1]:1", "[::1]:2"},
    /* TLVs: an unknown one, an empty one, padding */
    {SIGNATURE "21 11 0018 c0000201 cb007107 1267 01bb e0 0003 010203 04 0000 05 0000",
     "192.0.2.1:4711", "203.0.113.7:443"},
    {SIGNATURE "20 00 0000", NULL, NULL},
    {SIGNATURE "20 11 000c c0000201 cb007107 1267 01bb", NULL, NULL},
    {SIGNATURE "20 11 0001 ff", NULL, NULL},
    {SIGNATURE "21 00 0000", NULL, NULL},
    {SIGNATURE "21 31 0002 2f61", NULL, NULL},
    {SIGNATURE "21 12 000c c0000201 cb007107 1267 01bb", NULL, NULL},
};

static void binaries(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(good_binaries); i++) {
        struct blob b = {.n = 0};
        blob_hex(&b, good_binaries[i].hex);
        check_good(&b, good_binaries[i].source, good_binaries[i].destination);
    }
}

/* The polynomial's remainder over the header with zeros in place of the checksum. */
static uint32_t remainder_of(const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < 8 * n; i++) {
        uint32_t bit = (uint32_t)(p[i / 8] >> (i % 8)) & 1u;
        crc = ((crc ^ bit) & 1) ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static void checksums(void **state)
{
    (void)state;
    /* RFC 3720 appendix B.4: 32 bytes of zeros. */
    uint8_t zeros[32] = {0};
    assert_int_equal(remainder_of(zeros, sizeof zeros), 0x8a9136aa);
    for (int wrong = -1; wrong < 35; wrong++) {
        struct blob b = {.n = 0};
        struct proxy_header h;
        size_t used;
        const char *why;
        blob_hex(&b, SIGNATURE "21 11 0016 c0000201 cb007107 1267 01bb 03 0004 00000000 04 0000");
        uint32_t crc = remainder_of(b.p, b.n);
        for (int i = 0; i < 4; i++) b.p[31 + i] = (uint8_t)(crc >> (24 - 8 * i));
        if (wrong >= 16) b.p[wrong] ^= 1;
        bool in_tlv_header = wrong >= 28 && wrong < 31;
        if (wrong >= 0 && (wrong < 16 || in_tlv_header)) continue;
        assert_int_equal(parse(&b, b.n, &used, &h, &why),
                         wrong < 0 ? PROXY_HEADER_OK : PROXY_HEADER_BAD);
    }
}

static const char *const bad_lines[] = {
    "PROXY TCP4 192.0.2.1 203.0.113.7 4711 443\n",
    "PROXY TCP4 192.0.2.1 203.0.113.7 4711\r\n",
    "PROXY TCP4 192.0.2.1 203.0.113.7 4711 443 1\r\n",
    "PROXY TCP4 192.0.2.1 203.0.113.7 4711 443 \r\n",
    "PROXY TCP4  192.0.2.1 203.0.113.7 4711 443\r\n",
    "PROXY TCP4 192.0.2.1 203.0.113.7 04711 443\r\n",
    "PROXY TCP4 192.0.2.1 203.0.113.7 65536 443\r\n",
    "PROXY TCP4 192.0.2.1 203.0.113.7 -1 443\r\n",
    "PROXY TCP4 192.0.2.1 203.0.113.7 +1 443\r\n",
    "PROXY TCP4 192.0.2.1 203.0.113.7 4711 44a\r\n",
    "PROXY TCP4 192.0.2.256 203.0.113.7 4711 443\r\n",
    "PROXY TCP4 192.0.2 203.0.113.7 4711 443\r\n",
    "PROXY TCP4 2001:db8::1 203.0.113.7 4711 443\r\n",
    "PROXY TCP6 192.0.2.1 ::1 4711 443\r\n",
    "PROXY TCP6 2001:db8::1%eth0 ::1 4711 443\r\n",
    "PROXY TCP5 192.0.2.1 203.0.113.7 4711 443\r\n",
    "PROXY UDP4 192.0.2.1 203.0.113.7 4711 443\r\n",
    "PROXY UNKNOWNX\r\n",
    "PROXY \r\n",
    "PROXY\r\n",
    "proxy TCP4 192.0.2.1 203.0.113.7 4711 443\r\n",
    "CONNECT gate.example:443 HTTP/1.1\r\n\r\n",
    "\x16\x03\x01",
    "\r\n\r\nGET",
};

static const char *const bad_binaries[] = {
    SIGNATURE "11 11 000c c0000201 cb007107 1267 01bb", /* version 1 */
    SIGNATURE "31 11 000c c0000201 cb007107 1267 01bb",
    SIGNATURE "22 11 000c c0000201 cb007107 1267 01bb", /* command 2 */
    SIGNATURE "21 11 000b c0000201 cb007107 1267 01",
    SIGNATURE "21 21 000c c0000201 cb007107 1267 01bb",
    SIGNATURE "21 11 000d c0000201 cb007107 1267 01bb 04",
    SIGNATURE "21 11 000f c0000201 cb007107 1267 01bb 04 0001",
    SIGNATURE "21 11 0012 c0000201 cb007107 1267 01bb 03 0003 000000",
    SIGNATURE "21 11 ffff",
};

static void check_bad(const struct blob *b)
{
    struct proxy_header h;
    const char *why;
    size_t used;
    assert_int_equal(parse(b, b->n, &used, &h, &why), PROXY_HEADER_BAD);
    for (size_t n = 0; n < b->n; n++)
        assert_int_not_equal(parse(b, n, &used, &h, &why), PROXY_HEADER_OK);
}

static void malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(bad_lines); i++) {
        struct blob b = text_blob(bad_lines[i]);
        check_bad(&b);
    }
    for (size_t i = 0; i < N_OF(bad_binaries); i++) {
        struct blob b = {.n = 0};
        blob_hex(&b, bad_binaries[i]);
        check_bad(&b);
    }
    struct blob endless = text_blob("PROXY UNKNOWN ");
    while (endless.n < 106) endless.p[endless.n++] = 'x';
    struct proxy_header h;
    const char *why;
    size_t used;
    assert_int_equal(parse(&endless, endless.n, &used, &h, &why), PROXY_HEADER_MORE);
    endless.p[endless.n++] = 'x';
    check_bad(&endless);
    struct blob nul = text_blob("PROXY UNKNOWN x\r\n");
    nul.p[14] = '\0';
    check_bad(&nul);
}

static void the_longest(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct blob b = {.n = 0};
        struct proxy_header h;
        const char *why;
        size_t used;
        blob_hex(&b, SIGNATURE "20 00");
        blob_number(&b, (uint32_t)(PROXY_HEADER_LIMIT - 16 + more), 2);
        b.n = PROXY_HEADER_LIMIT + more;
        assert_int_equal(parse(&b, b.n, &used, &h, &why),
                         more ? PROXY_HEADER_BAD : PROXY_HEADER_OK);
    }
}

static void how_one_is_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        bool begins;
    } rows[] = {{"PROXY TCP4", 10, true},
                {"PROXY", 5, true},
                {"PROX", 4, false},
                {"PROPFIND /", 10, false},
                {"\r\n\r\n\0\r\n", 7, true},
                {"\r\n\r\nG", 5, false},
                {"\r\n\r\n", 4, false},
                {"\n", 1, false},
                {"", 0, false}};
    for (size_t i = 0; i < N_OF(rows); i++) {
        const uint8_t *p = (const uint8_t *)rows[i].text;
        assert_int_equal(proxy_header_begins(p, rows[i].n), rows[i].begins);
        bool may = rows[i].n < 5 && (rows[i].n == 0 || p[0] == 'P' || p[0] == '\r');
        assert_int_equal(proxy_header_may_begin(p, rows[i].n), may);
    }
}

static const struct {
    const char *source, *destination, *line;
} written[] = {
    {"192.0.2.1:4711", "203.0.113.7:443", "PROXY TCP4 192.0.2.1 203.0.113.7 4711 443\r\n"},
    {"[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"},
    {"[::ffff:192.0.2.1]:1", "203.0.113.7:2", "PROXY TCP4 192.0.2.1 203.0.113.7 1 2\r\n"},
    {"192.0.2.1:1", "[2001:db8::1]:2", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n"},
    {"[ffff:f:f:f:f:f:f:ffff]:65535", "[ffff:f:f:f:f:f:f:ffff]:65535",
     "PROXY TCP6 ffff:f:f:f:f:f:f:ffff ffff:f:f:f:f:f:f:ffff 65535 65535\r\n"},
};

static void reads_back(void **state)
{
    (void)state;
    static char longest[256];
    memset(longest, 'a', 255);
    for (size_t i = 0; i < N_OF(written); i++) {
        struct proxy_header h, again;
        char line[PROXY_HEADER_V1_SIZE];
        uint8_t binary[PROXY_HEADER_V2_SIZE];
        size_t used;
        const char *why;
        assert_true(addr_from_text(written[i].source, &h.source));
        assert_true(addr_from_text(written[i].destination, &h.destination));
        assert_int_equal(proxy_header_write_v1(&h, line), strlen(written[i].line));
        assert_string_equal(line, written[i].line);
        for (int how = 0; how < 4; how++) {
            size_t n =
                proxy_header_write_v2(&h, how & 1 ? longest : "", "TLSv1.2",
                                      how & 2 ? "ECDHE-ECDSA-AES256-GCM-SHA384" : NULL, binary);
            assert_true(n <= sizeof binary);
            assert_int_equal(proxy_header_parse(binary, n, &used, &again, &why), PROXY_HEADER_OK);
            assert_int_equal(used, n);
            assert_true(addr_same_ip(&again.source, &h.source));
            assert_true(addr_same_ip(&again.destination, &h.destination));
            assert_int_equal(addr_port(&again.source), addr_port(&h.source));
            assert_int_equal(addr_port(&again.destination), addr_port(&h.destination));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),       cmocka_unit_test(binaries),
        cmocka_unit_test(checksums),   cmocka_unit_test(malformed),
        cmocka_unit_test(the_longest), cmocka_unit_test(how_one_is_recognised),
        cmocka_unit_test(reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
