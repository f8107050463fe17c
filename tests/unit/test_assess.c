/* What a hello means under the policy, item by item, and what of it is weaker. */
#include "helper.h"

#include "policy/assess.h"

static struct blob message;
static suite_set allowed;

#define STRONG_SUITES "c02b c02c c02f c030 c023 c024 c027 c028"

static struct hello parse(struct hello_spec s)
{
    struct hello h;
    uint8_t alert;
    if (!s.version) s.version = TLS_1_2;
    if (!s.suites) s.suites = STRONG_SUITES;
    blob_hello(&message, &s);
    assert_int_equal(hello_parse((struct span){message.p, message.n}, &h, &alert), HELLO_COMPLETE);
    return h;
}

static const struct assess_item *find(const struct assessment *a, const char *name)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i].name, name) == 0) return &a->items[i];
    fail_msg("no item %s", name);
    return NULL;
}

/* What one item says about one hello. */
static const struct {
    const char *about;
    struct hello_spec spec;
    const char *item;
    enum assess_mark mark;
    const char *offered, *words; /* words: a part of them */
    size_t weak;
} rows[] = {
    {"no extension for it",
     {0},
     "protocol versions",
     ASSESS_MEETS,
     "up to TLS 1.2",
     "cannot say whether older",
     0},
    {"TLS 1.3 and 1.2",
     {.versions = "0304 0303"},
     "protocol versions",
     ASSESS_MEETS,
     "TLS 1.3, TLS 1.2",
     "nothing older",
     0},
    {"older ones too",
     {.versions = "0304 0303 0302 0301 0300"},
     "protocol versions",
     ASSESS_WEAK,
     "TLS 1.3, TLS 1.2, TLS 1.1, TLS 1.0, SSL 3.0",
     "older versions as well",
     3},
    {"GREASE and a draft",
     {.versions = "5a5a 0303 7f1c"},
     "protocol versions",
     ASSESS_MEETS,
     "TLS 1.2, 0x7f1c",
     "nothing older",
     0},
    {"in the server's order",
     {.suites = "c030 c02b"},
     "approved cipher suites",
     ASSESS_MEETS,
     "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
     "compliant",
     0},
    {"none weaker",
     {.suites = "c02b 1301 1303 00ff 5600 cca8 c0ac 3a3a"},
     "weaker cipher suites",
     ASSESS_MEETS,
     "",
     "None is offered",
     0},
    {"static RSA, DHE and SHA-1",
     {.suites = "c02b 009c 009e c013 0005"},
     "weaker cipher suites",
     ASSESS_WEAK,
     "TLS_RSA_WITH_AES_128_GCM_SHA256, TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, "
     "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_RSA_WITH_RC4_128_SHA",
     "Turn them off",
     4},
    {"one without a name",
     {.suites = "c02b fedc"},
     "weaker cipher suites",
     ASSESS_WEAK,
     "0xfedc",
     "Turn them off",
     1},
    {"groups",
     {.groups = "1a1a 001d 0017 fe01"},
     "groups",
     ASSESS_MEETS,
     "x25519, secp256r1, 0xfe01",
     "is needed",
     0},
    {"no groups", {0}, "groups", ASSESS_MEETS, "", "leaves the choice", 0},
    {"schemes",
     {.schemes = "0403 0804 0a0a 0401"},
     "signature schemes",
     ASSESS_MEETS,
     "ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, rsa_pkcs1_sha256",
     "nothing weaker",
     0},
    {"SHA-1",
     {.schemes = "0403 0203 0201"},
     "signature schemes",
     ASSESS_WEAK,
     "ecdsa_secp256r1_sha256, ecdsa_sha1, rsa_pkcs1_sha1",
     "weaker hashes",
     2},
    {"no master secret", {0}, "extended master secret", ASSESS_NOTE, "no", "Not offered", 0},
    {"master secret",
     {.more = "0017 0000"},
     "extended master secret",
     ASSESS_MEETS,
     "yes",
     "RFC 7627",
     0},
    {"no renegotiation", {0}, "secure renegotiation", ASSESS_NOTE, "no", "Not offered", 0},
    {"by extension",
     {.renegotiation = ""},
     "secure renegotiation",
     ASSESS_MEETS,
     "yes",
     "Offered",
     0},
    {"by signal",
     {.suites = "c02b 00ff"},
     "secure renegotiation",
     ASSESS_MEETS,
     "yes",
     "Offered",
     0},
    {"no compression", {0}, "compression", ASSESS_MEETS, "none", "None is offered", 0},
    {"DEFLATE", {.compression = "01 00"}, "compression", ASSESS_WEAK, "DEFLATE", "CRIME", 1},
    {"no name", {0}, "server name", ASSESS_NOTE, "none", "No name was sent", 0},
    {"a name",
     {.name = "CRM.example.com."},
     "server name",
     ASSESS_NOTE,
     "crm.example.com",
     "SNI",
     0},
    {"no protocols", {0}, "application protocols", ASSESS_NOTE, "none", "HTTP/1.1", 0},
    {"protocols",
     {.alpn = "02 6832 08 687474702f312e31"},
     "application protocols",
     ASSESS_NOTE,
     "h2, http/1.1",
     "HTTP/1.1",
     0},
};

static void every_item(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct assessment a;
        struct hello h = parse(rows[i].spec);
        assess_hello(&h, allowed, &a);
        const struct assess_item *item = find(&a, rows[i].item);
        bool right = item->mark == rows[i].mark && a.weak == rows[i].weak &&
                     strcmp(text_string(&item->offered), rows[i].offered) == 0 &&
                     strstr(item->words, rows[i].words);
        if (!right) {
            print_error("%s, %s: %s, %zu weaker, \"%s\": %s\n", rows[i].item, rows[i].about,
                        assess_mark_name(item->mark), a.weak, text_string(&item->offered),
                        item->words);
            wrong++;
        }
        assess_fini(&a);
    }
    assert_int_equal(wrong, 0);
}

/* For any hello: the same items in the same order, one sentence each. */
static void same_items(void **state)
{
    (void)state;
    struct assessment first;
    struct hello h = parse((struct hello_spec){0});
    assess_hello(&h, allowed, &first);
    assert_in_range(first.n, 1, ASSESS_ITEMS);
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct assessment a;
        h = parse(rows[i].spec);
        assess_hello(&h, allowed, &a);
        assert_int_equal(a.n, first.n);
        for (size_t k = 0; k < a.n; k++) {
            assert_string_equal(a.items[k].name, first.items[k].name);
            size_t n = strlen(a.items[k].words);
            assert_true(n > 10 && a.items[k].words[n - 1] == '.');
        }
        assess_fini(&a);
    }
    assess_fini(&first);
}

/* Approved are only the suites that this policy allows; the others of the eight are not worse. */
static void narrowed(void **state)
{
    (void)state;
    struct assessment a;
    struct hello h = parse((struct hello_spec){0});
    assess_hello(&h, suite_bit(suite_by_id(0xc030)), &a);
    assert_string_equal(text_string(&find(&a, "approved cipher suites")->offered),
                        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
    assert_int_equal(find(&a, "weaker cipher suites")->mark, ASSESS_MEETS);
    assert_int_equal(a.weak, 0);
    assess_fini(&a);
}

struct seen {
    size_t n[WEAK_COMPRESSION + 1];
};

static void count(void *arg, enum weak_kind kind, uint16_t id, const char *name)
{
    struct seen *s = arg;
    (void)id;
    s->n[kind]++;
    if (kind != WEAK_SUITE) assert_non_null(name);
}

static void each_weak(void **state)
{
    (void)state;
    struct seen seen = {{0}};
    struct hello h = parse((struct hello_spec){.suites = "c02b 002f 0a0a 00ff 0035 ffff",
                                               .versions = "2a2a 0303 0302",
                                               .schemes = "0403 0201 0101 fe00",
                                               .compression = "01 40 00"});
    assess_each_weak(&h, count, &seen);
    assert_int_equal(seen.n[WEAK_VERSION], 1);
    assert_int_equal(seen.n[WEAK_SUITE], 3);
    assert_int_equal(seen.n[WEAK_SCHEME], 2);
    assert_int_equal(seen.n[WEAK_COMPRESSION], 1);
}

/* The largest possible hello: not all suites are named, but all are counted. */
static void bounded(void **state)
{
    (void)state;
    static char suites_hex[2048 * 4 + 1], groups_hex[20000 * 4 + 1];
    for (unsigned i = 0; i < 2048; i++)
        snprintf(suites_hex + i * 4, 5, "%04x", i ? 0xe000 + i : 0xc02bu);
    for (unsigned i = 0; i < 20000; i++) snprintf(groups_hex + i * 4, 5, "fe01");
    struct assessment a;
    struct hello h =
        parse((struct hello_spec){.suites = suites_hex, .groups = groups_hex, .schemes = "0403"});
    assess_hello(&h, allowed, &a);
    assert_int_equal(a.weak, 2047);
    for (size_t i = 0; i < a.n; i++) assert_true(a.items[i].offered.size < ASSESS_LISTED * 50);
    assert_int_equal(find(&a, "groups")->offered.size, ASSESS_LISTED * 8 - 2);
    assert_int_equal(find(&a, "weaker cipher suites")->offered.size, ASSESS_LISTED * 8 - 2);
    assess_fini(&a);
}

static const struct {
    struct hello_spec spec;
    const char *summary;
} summaries[] = {
    {{0}, "up to TLS 1.2, 8 of the policy's suites; signature schemes: none"},
    {{.suites = "c02b 002f"}, "up to TLS 1.2, 1 of the policy's suites; signature schemes: none"},
    {{.version = TLS_1_0, .suites = "002f 0a0a 00ff 5600 fedc"},
     "up to TLS 1.0, 0 of the policy's suites: TLS_RSA_WITH_AES_128_CBC_SHA, 0xfedc"},
    {{.version = SSL_3_0, .suites = "00ff"}, "up to SSL 3.0, 0 of the policy's suites"},
    {{.versions = "0304", .suites = "1301"},
     "up to TLS 1.3, 0 of the policy's suites: TLS_AES_128_GCM_SHA256; signature schemes: none"},
    {{.suites = "fe00 fe01 fe02 fe03 fe04 fe05 fe06 fe07 fe08 fe09 fe0a fe0b fe0c fe0d"},
     "up to TLS 1.2, 0 of the policy's suites: 0xfe00, 0xfe01, 0xfe02, 0xfe03, 0xfe04, 0xfe05, "
     "0xfe06, 0xfe07, 0xfe08, 0xfe09, 0xfe0a, 0xfe0b and 2 more; signature schemes: none"},
};

static void in_one_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(summaries); i++) {
        struct text out = {0};
        struct hello h = parse(summaries[i].spec);
        assess_summary(&h, allowed, &out);
        assert_string_equal(text_string(&out), summaries[i].summary);
        text_fini(&out);
    }
}

static void mark_names(void **state)
{
    (void)state;
    assert_string_equal(assess_mark_name(ASSESS_MEETS), "meets the policy");
    assert_string_equal(assess_mark_name(ASSESS_WEAK), "weaker than the policy");
    assert_string_equal(assess_mark_name(ASSESS_NOTE), "note");
}

static int set_policy(void **state)
{
    (void)state;
    allowed = policy_profile_suites(PROFILE_2021);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item), cmocka_unit_test(same_items), cmocka_unit_test(narrowed),
        cmocka_unit_test(each_weak),  cmocka_unit_test(bounded),    cmocka_unit_test(in_one_line),
        cmocka_unit_test(mark_names),
    };
    return cmocka_run_group_tests_name("assess", tests, set_policy, NULL);
}
