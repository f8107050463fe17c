/* Path validation over certificates built from their fields: each rule alone, at each place of a
 * path. Real certificates and other verifiers are in tests/functional/test_chains.py. */
#include "helper.h"

#include "pki/constraints.h"
#include "pki/path.h"
#include "pki/policies.h"

enum { LEAF, LOWER, UPPER, ANCHOR, PATH };

static struct cert certs[PATH];
static struct path path;
static struct path_rules rules = {.now = 1000, .minimum_rsa_bits = 2048};

#define NAME(letter)                                                                       \
    {                                                                                      \
        (const uint8_t *)"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x13\x01" letter, 14 \
    }
static const struct span names[] = {NAME("L"), NAME("M"), NAME("U"), NAME("A")};

static int fresh(void **state)
{
    (void)state;
    path.n = PATH;
    rules.purpose = PATH_SERVER;
    for (size_t i = 0; i < PATH; i++) {
        certs[i] = (struct cert){.subject = names[i],
                                 .issuer = names[i + 1 < PATH ? i + 1 : i],
                                 .not_before = 500,
                                 .not_after = 1500,
                                 .version = 3,
                                 .key = CERT_KEY_EC,
                                 .bits = 256,
                                 .group = 0x0017,
                                 .path_length = CERT_ABSENT,
                                 .require_explicit_policy = CERT_ABSENT,
                                 .inhibit_policy_mapping = CERT_ABSENT,
                                 .inhibit_any_policy = CERT_ABSENT,
                                 .is_ca = i != LEAF,
                                 .can_sign_data = true,
                                 .can_sign_certs = true,
                                 .serves_tls = true,
                                 .uses_tls = true};
        path.certs[i] = &certs[i];
    }
    return 0;
}

static enum reason verdict(void)
{
    const char *fault;
    enum reason reason = path_validate(&path, &rules, &fault);
    assert_int_equal(fault != NULL, reason == REASON_UPSTREAM_CERTIFICATE_INVALID);
    return reason;
}

static void expect(enum reason reason)
{
    assert_int_equal(verdict(), reason);
    fresh(NULL);
    assert_int_equal(verdict(), REASON_OK);
}

static void every_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < PATH; i++) {
        certs[i].not_after = 999;
        expect(REASON_UPSTREAM_CERTIFICATE_EXPIRED);
        certs[i].not_before = 1001;
        expect(REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID);
        certs[i].not_before = certs[i].not_after = 1000;
        expect(REASON_OK);
        certs[i].bits = 255;
        expect(REASON_UPSTREAM_CERTIFICATE_WEAK);
        certs[i].key = CERT_KEY_RSA;
        certs[i].bits = 2047;
        certs[i].exponent_bits = 17;
        expect(REASON_UPSTREAM_CERTIFICATE_WEAK);
        certs[i].key = CERT_KEY_RSA;
        certs[i].bits = 2048;
        certs[i].exponent_bits = 64;
        expect(REASON_OK);
        certs[i].key = CERT_KEY_RSA;
        certs[i].bits = 2048;
        certs[i].exponent_bits = 65;
        expect(REASON_UPSTREAM_CERTIFICATE_INVALID);
        certs[i].key = CERT_KEY_OTHER;
        expect(i == LEAF ? REASON_UPSTREAM_CERTIFICATE_INVALID : REASON_OK);
        certs[i].group = 0;
        expect(i == LEAF ? REASON_UPSTREAM_CERTIFICATE_INVALID : REASON_OK);
        certs[i].has_unknown_critical = true;
        expect(REASON_UPSTREAM_CERTIFICATE_INVALID);
        certs[i].serves_tls = false;
        expect(REASON_UPSTREAM_CERTIFICATE_INVALID);
        certs[i].signature = CERT_SIGNATURE_WEAK;
        expect(i == ANCHOR ? REASON_OK : REASON_UPSTREAM_CERTIFICATE_WEAK);
        certs[i].is_ca = false;
        expect(i == LEAF ? REASON_OK : REASON_UPSTREAM_CERTIFICATE_INVALID);
        certs[i].can_sign_certs = false;
        expect(i == LEAF ? REASON_OK : REASON_UPSTREAM_CERTIFICATE_INVALID);
        certs[i].can_sign_data = false;
        expect(i == LEAF ? REASON_UPSTREAM_CERTIFICATE_INVALID : REASON_OK);
        /* A version without extensions cannot mark a CA; an anchor needs no mark. */
        certs[i].version = 1;
        certs[i].is_ca = false;
        expect(i == LEAF || i == ANCHOR ? REASON_OK : REASON_UPSTREAM_CERTIFICATE_INVALID);
        certs[i].subject = names[(i + 2) % PATH];
        expect(i == LEAF ? REASON_OK : REASON_UPSTREAM_CERTIFICATE_INVALID);
    }
}

/* A server's or a client's, at each place: the other purpose does not matter. */
static void purposes(void **state)
{
    (void)state;
    enum reason refused = REASON_UPSTREAM_CERTIFICATE_INVALID;
    for (size_t i = 0; i < PATH; i++) {
        certs[i].serves_tls = false;
        expect(refused);
        certs[i].uses_tls = false;
        expect(REASON_OK);
        rules.purpose = PATH_CLIENT;
        certs[i].serves_tls = false;
        expect(REASON_OK);
        rules.purpose = PATH_CLIENT;
        certs[i].uses_tls = false;
        expect(refused);
    }
    rules.purpose = PATH_CLIENT;
    for (size_t i = 0; i < PATH; i++) certs[i].serves_tls = false;
    expect(REASON_OK);
    for (size_t i = 0; i < PATH; i++) certs[i].uses_tls = false;
    expect(REASON_OK);
}

static void purpose_fault(enum path_purpose purpose, size_t at, const char *part)
{
    const char *fault;
    rules.purpose = purpose;
    certs[at].serves_tls = certs[at].uses_tls = false;
    assert_int_equal(path_validate(&path, &rules, &fault), REASON_UPSTREAM_CERTIFICATE_INVALID);
    assert_non_null(strstr(fault, part));
    fresh(NULL);
}

static void purpose_faults(void **state)
{
    (void)state;
    purpose_fault(PATH_SERVER, LEAF, "serverAuth");
    purpose_fault(PATH_CLIENT, LEAF, "clientAuth");
    for (size_t i = LOWER; i < PATH; i++) {
        purpose_fault(PATH_SERVER, i, "other purposes");
        purpose_fault(PATH_CLIENT, i, "other purposes");
    }
}

/* All the other rules are a client's, too. */
static void a_clients_other_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < PATH; i++)
        for (int fault = 0; fault < 4; fault++) {
            rules.purpose = PATH_CLIENT;
            if (fault == 0) certs[i].not_after = 999;
            if (fault == 1) certs[i].bits = 255;
            if (fault == 2) certs[i].has_unknown_critical = true;
            if (fault == 3) certs[i].can_sign_certs = certs[i].can_sign_data = false;
            expect(fault == 0   ? REASON_UPSTREAM_CERTIFICATE_EXPIRED
                   : fault == 1 ? REASON_UPSTREAM_CERTIFICATE_WEAK
                                : REASON_UPSTREAM_CERTIFICATE_INVALID);
        }
}

static void path_lengths(void **state)
{
    (void)state;
    certs[ANCHOR].path_length = 1;
    expect(REASON_UPSTREAM_CERTIFICATE_INVALID);
    certs[ANCHOR].path_length = 2;
    expect(REASON_OK);
    certs[UPPER].path_length = 0;
    expect(REASON_UPSTREAM_CERTIFICATE_INVALID);
    certs[LOWER].path_length = 0;
    expect(REASON_OK);
    /* A self-issued one does not count. */
    certs[LOWER].subject = certs[LOWER].issuer = names[UPPER];
    certs[LEAF].issuer = names[UPPER];
    certs[UPPER].path_length = 0;
    expect(REASON_OK);
    certs[LOWER].subject = certs[LOWER].issuer = names[UPPER];
    certs[LEAF].issuer = names[UPPER];
    certs[ANCHOR].path_length = 0;
    expect(REASON_UPSTREAM_CERTIFICATE_INVALID);
}

static void alone(void **state)
{
    (void)state;
    path.n = 1;
    certs[LEAF].require_explicit_policy = 0;
    expect(REASON_OK);
    path.n = 1;
    certs[LEAF].serves_tls = false;
    expect(REASON_UPSTREAM_CERTIFICATE_INVALID);
    path.n = 1;
    certs[LEAF].signature = CERT_SIGNATURE_WEAK;
    expect(REASON_OK);
}

#define SPAN(literal) ((struct span){(const uint8_t *)(literal), sizeof(literal) - 1})
#define POLICY(last) "\x30\x04\x06\x02\x2a" last
#define ANY "\x30\x06\x06\x04\x55\x1d\x20\x00"
#define MAP(from, to) "\x30\x08\x06\x02\x2a" from "\x06\x02\x2a" to

static void policies(void **state)
{
    (void)state;
    enum reason refused = REASON_UPSTREAM_CERTIFICATE_INVALID;
    certs[UPPER].require_explicit_policy = 0;
    expect(refused);
    for (size_t i = 0; i < ANCHOR; i++) certs[i].policies = SPAN(POLICY("\x01"));
    certs[UPPER].require_explicit_policy = 0;
    expect(REASON_OK);
    for (size_t i = 0; i < ANCHOR; i++) certs[i].policies = SPAN(POLICY("\x01"));
    certs[LEAF].policies = SPAN(POLICY("\x02"));
    certs[UPPER].require_explicit_policy = 0;
    expect(refused);
    /* Each certificate that is not self-issued counts it down. */
    certs[UPPER].require_explicit_policy = 1;
    expect(refused);
    certs[UPPER].require_explicit_policy = 2;
    expect(refused);
    certs[UPPER].require_explicit_policy = 3;
    expect(REASON_OK);
    certs[LEAF].require_explicit_policy = 0;
    expect(refused);
    certs[ANCHOR].require_explicit_policy = 0; /* an anchor's own requirements do not count */
    expect(REASON_OK);
    for (size_t i = 0; i < ANCHOR; i++) certs[i].policies = SPAN(ANY);
    certs[UPPER].require_explicit_policy = 0;
    expect(REASON_OK);
    for (size_t i = 0; i < ANCHOR; i++) certs[i].policies = SPAN(ANY);
    certs[UPPER].require_explicit_policy = certs[UPPER].inhibit_any_policy = 0;
    expect(refused);
    for (int inhibit = 0; inhibit < 2; inhibit++) {
        certs[UPPER].policies = SPAN(POLICY("\x01"));
        certs[UPPER].policy_mappings = SPAN(MAP("\x01", "\x02"));
        certs[LOWER].policies = certs[LEAF].policies = SPAN(POLICY("\x02"));
        certs[UPPER].require_explicit_policy = 0;
        if (inhibit) {
            certs[ANCHOR].inhibit_policy_mapping = 0;
            certs[UPPER].policy_mappings = SPAN(MAP("\x03", "\x02"));
        }
        expect(inhibit ? refused : REASON_OK);
    }
    certs[UPPER].policy_mappings = SPAN("\x30\x0a\x06\x02\x2a\x01\x06\x04\x55\x1d\x20\x00");
    expect(refused);
    certs[LOWER].policies = SPAN("\x30\x04\x06\x02\x2a");
    expect(refused);
}

/* Name forms: the base and the name, as GeneralName tags with content. */
static bool allowed(bool excluded, const char *form, const char *base, const char *name)
{
    static struct blob constraints, san;
    struct cert c = {.subject = names[0]};
    unsigned tag = (unsigned)strtoul(form, NULL, 16);
    bool hex = tag == 0x87;
    constraints.n = san.n = 0;
    blob_number(&constraints, excluded ? 0xa1 : 0xa0, 1);
    size_t list = blob_open(&constraints, 1);
    blob_number(&constraints, 0x30, 1);
    size_t subtree = blob_open(&constraints, 1);
    blob_number(&constraints, tag, 1);
    size_t value = blob_open(&constraints, 1);
    hex ? blob_hex(&constraints, base) : blob_bytes(&constraints, base, strlen(base));
    blob_close(&constraints, value, 1);
    blob_close(&constraints, subtree, 1);
    blob_close(&constraints, list, 1);
    blob_number(&san, tag, 1);
    value = blob_open(&san, 1);
    hex ? blob_hex(&san, name) : blob_bytes(&san, name, strlen(name));
    blob_close(&san, value, 1);
    c.san = (struct span){san.p, san.n};
    return constraints_allow((struct span){constraints.p, constraints.n}, &c);
}

static void name_constraints(void **state)
{
    (void)state;
    static const struct {
        const char *form, *base, *name;
        bool permitted, excluded; /* allowed when the base is permitted, and when it is excluded */
    } rows[] = {
        {"82", "example.com", "example.com", true, false},
        {"82", "example.com", "a.b.EXAMPLE.com", true, false},
        {"82", "example.com", "badexample.com", false, true},
        {"82", "example.com", "com", false, true},
        {"82", ".example.com", "a.example.com", true, false},
        {"82", ".example.com", "example.com", false, true},
        {"82", "", "anything.example", true, false},
        {"82", "example.com", "*.example.com", true, false},
        {"82", "a.example.com", "*.example.com", false, false},
        {"82", "b.a.example.com", "*.example.com", false, true},
        {"82", "example.com", "*.com", false, false},
        {"82", "example.com", "example.com.", false, false},
        {"82", "example.com", "a b", false, false},
        {"81", "example.com", "x@example.com", true, false},
        {"81", "example.com", "x@a.example.com", false, true},
        {"81", ".example.com", "x@a.example.com", true, false},
        {"81", ".example.com", "x@example.com", false, true},
        {"81", "x@example.com", "x@EXAMPLE.com", true, false},
        {"81", "x@example.com", "X@example.com", false, true},
        {"81", "example.com", "none", false, false},
        {"86", "example.com", "https://example.com/x", true, false},
        {"86", "example.com", "https://u@example.com:8/", true, false},
        {"86", "example.com", "https://a.example.com", false, true},
        {"86", ".example.com", "https://a.example.com?x", true, false},
        {"86", "example.com", "https://10.0.0.1/", false, false},
        {"86", "example.com", "https://[::1]/", false, false},
        {"86", "example.com", "urn:x", false, false},
        {"87", "0a000000ff000000", "0a010203", true, false},
        {"87", "0a000000ff000000", "0b010203", false, true},
        {"87", "0a000000ff00ff00", "0a010203", false, false}, /* not a mask */
        {"87", "0a0000", "0a010203", false, false},
        {"87", "0a000000ff000000", "0a0102", false, false},
        {"87", "0a000000ff000000", "20010db8000000000000000000000001", false, true},
        {"88", "\x2a\x03", "\x2a\x03", false, false}, /* registeredID is not supported */
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        if (allowed(false, rows[i].form, rows[i].base, rows[i].name) != rows[i].permitted)
            fail_msg("%s permitted, %s", rows[i].base, rows[i].name);
        if (allowed(true, rows[i].form, rows[i].base, rows[i].name) != rows[i].excluded)
            fail_msg("%s excluded, %s", rows[i].base, rows[i].name);
    }
    struct cert c = {.subject = names[0]};
    assert_false(constraints_allow(SPAN("\xa1\x00"), &c)); /* an empty list */
    assert_false(constraints_allow(SPAN("\xa2\x02\x82\x00"), &c));
    assert_false(constraints_allow(SPAN("\xa0\x06\x30\x04\x82\x03"
                                        "a"),
                                   &c));
    assert_false(constraints_allow(SPAN("\xa0\x07\x30\x05\x82\x00\x80\x01\x01"), &c)); /* minimum */
    assert_true(constraints_allow(SPAN("\xa0\x07\x30\x05\x82\x00\x80\x01\x00"), &c));
    assert_true(constraints_allow(SPAN(""), &c));
}

/* From each CA above: applied to the leaf, and to each certificate between unless self-issued. */
static void constraints_along(void **state)
{
    (void)state;
    static const char only_l[] = "\xa0\x12\x30\x10\xa4\x0e\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04"
                                 "\x03\x13\x01L";
    static const char no_l[] = "\xa1\x12\x30\x10\xa4\x0e\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04"
                               "\x03\x13\x01L";
    for (size_t i = LOWER; i < PATH; i++) {
        certs[i].name_constraints = SPAN(no_l);
        expect(REASON_UPSTREAM_CERTIFICATE_INVALID);
        certs[i].name_constraints = SPAN(only_l);
        expect(i == LOWER ? REASON_OK : REASON_UPSTREAM_CERTIFICATE_INVALID);
    }
    certs[LOWER].subject = certs[LOWER].issuer = names[UPPER];
    certs[LEAF].issuer = names[UPPER];
    certs[UPPER].name_constraints = SPAN(only_l);
    expect(REASON_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_place, fresh),
        cmocka_unit_test_setup(purposes, fresh),
        cmocka_unit_test_setup(purpose_faults, fresh),
        cmocka_unit_test_setup(a_clients_other_faults, fresh),
        cmocka_unit_test_setup(path_lengths, fresh),
        cmocka_unit_test_setup(alone, fresh),
        cmocka_unit_test_setup(policies, fresh),
        cmocka_unit_test_setup(name_constraints, fresh),
        cmocka_unit_test_setup(constraints_along, fresh),
    };
    return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
