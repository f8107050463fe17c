/* Certificates, distinguished names, name constraints and paths. First byte: what the rest is.
 * 0: a certificate, as leaf, issuer and anchor of itself; 1: two names, the next byte is where
 * the second begins; 2: name constraints, for a certificate whose names are the constraints' own
 * bases. */
#include "fuzz.h"

#include "pki/cert.h"
#include "pki/constraints.h"
#include "pki/name.h"
#include "pki/path.h"

static void on_name(void *arg, const char *name)
{
    size_t *n = arg;
    CHECK(*name);
    ++*n;
}

static void look_at_certificate(struct span der)
{
    struct cert c;
    if (!cert_parse(der, &c)) return;
    size_t names = 0;
    struct text subject = {0};
    name_format(c.subject, &subject);
    text_fini(&subject);
    cert_each_name(&c, on_name, &names);
    CHECK(name_equal(c.subject, c.subject) && name_equal(c.issuer, c.issuer));
    CHECK(cert_is_self_issued(&c) == name_equal(c.subject, c.issuer));
    if (cert_is_self_issued(&c)) CHECK(c.subject_hash == c.issuer_hash);
    bool named = cert_matches_name(&c, "gate.example");
    CHECK(!named || names > 0 || c.san.n > 0);
    struct path path = {.certs = {&c, &c, &c}, .n = 3};
    struct path_rules rules = {.now = c.not_before, .minimum_rsa_bits = 2048};
    const char *fault;
    for (path.n = 1; path.n <= 3; path.n++)
        if (path_validate(&path, &rules, &fault) == REASON_OK) {
            CHECK(!c.has_unknown_critical && c.serves_tls && !path_key_is_weak(&c, &rules));
            CHECK(path.n == 1 || path_may_issue(&c, path.n == 2));
        }
}

static void compare_names(struct span all)
{
    if (all.n < 1 || all.p[0] > all.n - 1) return;
    struct span a = {all.p + 1, all.p[0]}, b = {all.p + 1 + a.n, all.n - 1 - a.n};
    bool equal = name_equal(a, b);
    CHECK(equal == name_equal(b, a));
    if (!equal) return;
    uint32_t x, y;
    CHECK(name_hash(a, &x) == name_hash(b, &y));
    CHECK(x == y || !name_hash(a, &x));
    /* Malformed names are equal only to the same bytes, and in no subtree. */
    CHECK(name_is_within(a, b) == name_is_within(b, a));
}

static void ask_constraints(struct span all)
{
    struct cert c = {.subject = {(const uint8_t *)"\x30\x00", 2}};
    if (all.n < 1 || all.p[0] > all.n - 1) return;
    c.san = (struct span){all.p + 1, all.p[0]};
    struct span constraints = {all.p + 1 + c.san.n, all.n - 1 - c.san.n};
    bool allowed = constraints_allow(constraints, &c);
    /* If all names are allowed, fewer are allowed too. */
    c.san.n = 0;
    if (allowed) CHECK(constraints_allow(constraints, &c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    struct span rest = {copy, size - 1};
    switch (data[0] % 3) {
    case 0:
        look_at_certificate(rest);
        break;
    case 1:
        compare_names(rest);
        break;
    default:
        ask_constraints(rest);
    }
    free(copy);
    return 0;
}
