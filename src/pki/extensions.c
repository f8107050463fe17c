#include "extensions.h"

/* id-ce is 2.5.29; the next byte names the extension. */
enum {
    SUBJECT_KEY_IDENTIFIER = 14,
    KEY_USAGE = 15,
    SUBJECT_ALT_NAME = 17,
    BASIC_CONSTRAINTS = 19,
    NAME_CONSTRAINTS = 30,
    CRL_DISTRIBUTION_POINTS = 31,
    CERTIFICATE_POLICIES = 32,
    POLICY_MAPPINGS = 33,
    AUTHORITY_KEY_IDENTIFIER = 35,
    POLICY_CONSTRAINTS = 36,
    EXTENDED_KEY_USAGE = 37,
    INHIBIT_ANY_POLICY = 54,
    EXTENSIONS_LIMIT = 64,
};

/* A non-negative INTEGER's content. */
static bool read_number(struct span content, int *out)
{
    if (!der_is_integer(content) || content.p[0] & 0x80) return false;
    while (content.n > 1 && content.p[0] == 0)
        content = (struct span){content.p + 1, content.n - 1};
    *out = content.n > 2 ? CERT_NUMBER_LIMIT : 0;
    for (size_t i = 0; content.n <= 2 && i < content.n; i++) *out = *out << 8 | content.p[i];
    return true;
}

static bool only_sequence(struct span value, struct span *content)
{
    struct reader r = reader_of(value);
    struct der_item sequence;
    if (!der_expect(&r, DER_SEQUENCE, &sequence) || r.left > 0) return false;
    *content = sequence.content;
    return true;
}

static bool read_key_usage(struct span value, struct cert *c)
{
    struct reader r = reader_of(value);
    struct der_item bits;
    if (!der_expect(&r, DER_BIT_STRING, &bits) || r.left > 0 || bits.content.n < 1 ||
        bits.content.p[0] > (bits.content.n > 1 ? 7 : 0))
        return false;
    uint8_t unused = bits.content.p[0], last = bits.content.p[bits.content.n - 1];
    if (bits.content.n > 1 && last & ((1u << unused) - 1)) return false; /* X.690 section 11.2.1 */
    uint8_t first = bits.content.n > 1 ? bits.content.p[1] : 0;
    c->can_sign_data = first & 0x80;  /* bit 0 */
    c->can_sign_certs = first & 0x04; /* bit 5 */
    c->can_sign_crls = first & 0x02;  /* bit 6 */
    return true;
}

static bool read_basic_constraints(struct span value, struct cert *c)
{
    struct span content;
    struct der_item item;
    if (!only_sequence(value, &content)) return false;
    struct reader r = reader_of(content);
    if (r.left > 0 && r.p[0] == DER_BOOLEAN) {
        if (!der_next(&r, &item) || item.content.n != 1) return false;
        c->is_ca = item.content.p[0] != 0;
    }
    if (r.left == 0) return true;
    return der_expect(&r, DER_INTEGER, &item) && r.left == 0 &&
           read_number(item.content, &c->path_length);
}

/* id-kp-serverAuth, id-kp-clientAuth or anyExtendedKeyUsage (section 4.2.1.12). */
static bool read_extended_key_usage(struct span value, struct cert *c)
{
    static const struct oid server = {8, {0x2b, 6, 1, 5, 5, 7, 3, 1}};
    static const struct oid client = {8, {0x2b, 6, 1, 5, 5, 7, 3, 2}};
    static const struct oid any = {4, {0x55, 0x1d, 0x25, 0}};
    struct span content;
    struct der_item purpose;
    c->serves_tls = c->uses_tls = false;
    if (!only_sequence(value, &content)) return false;
    struct reader r = reader_of(content);
    while (r.left > 0) {
        if (!der_expect(&r, DER_OID, &purpose)) return false;
        bool is_any = oid_is(purpose.content, &any);
        if (is_any || oid_is(purpose.content, &server)) c->serves_tls = true;
        if (is_any || oid_is(purpose.content, &client)) c->uses_tls = true;
    }
    return true;
}

static bool read_policy_constraints(struct span value, struct cert *c)
{
    struct span content;
    struct der_item item;
    if (!only_sequence(value, &content)) return false;
    struct reader r = reader_of(content);
    while (r.left > 0) {
        if (!der_next(&r, &item)) return false;
        int *number = item.tag == 0x80   ? &c->require_explicit_policy
                      : item.tag == 0x81 ? &c->inhibit_policy_mapping
                                         : NULL;
        if (!number || !read_number(item.content, number)) return false;
    }
    return true;
}

static bool read_authority_key_id(struct span value, struct cert *c)
{
    struct span content;
    struct der_item item;
    if (!only_sequence(value, &content)) return false;
    struct reader r = reader_of(content);
    while (r.left > 0) {
        if (!der_next(&r, &item)) return false;
        if (item.tag == 0x80) c->authority_key_id = item.content;
    }
    return true;
}

/* A SEQUENCE OF with at least one element. */
static bool read_list(struct span value, struct span *out)
{
    return only_sequence(value, out) && out->n > 0;
}

static bool read_known(uint8_t which, struct span value, struct cert *c, bool *known)
{
    struct reader r = reader_of(value);
    struct der_item item;
    *known = true;
    switch (which) {
    case SUBJECT_KEY_IDENTIFIER:
        if (!der_expect(&r, DER_OCTET_STRING, &item) || r.left > 0) return false;
        c->subject_key_id = item.content;
        return true;
    case KEY_USAGE:
        return read_key_usage(value, c);
    case SUBJECT_ALT_NAME:
        return read_list(value, &c->san);
    case BASIC_CONSTRAINTS:
        return read_basic_constraints(value, c);
    case NAME_CONSTRAINTS:
        return read_list(value, &c->name_constraints);
    case CERTIFICATE_POLICIES:
        return read_list(value, &c->policies);
    case POLICY_MAPPINGS:
        return read_list(value, &c->policy_mappings);
    case AUTHORITY_KEY_IDENTIFIER:
        return read_authority_key_id(value, c);
    case POLICY_CONSTRAINTS:
        return read_policy_constraints(value, c);
    case EXTENDED_KEY_USAGE:
        return read_extended_key_usage(value, c);
    case INHIBIT_ANY_POLICY:
        return der_expect(&r, DER_INTEGER, &item) && r.left == 0 &&
               read_number(item.content, &c->inhibit_any_policy);
    case CRL_DISTRIBUTION_POINTS:
        return true; /* CRLs are found by issuer, wherever they come from */
    default:
        *known = false;
        return true;
    }
}

static bool read_extension(struct span content, struct cert *c, struct span *id)
{
    struct reader r = reader_of(content);
    struct der_item oid, value;
    bool critical = false, known = false;
    if (!der_expect(&r, DER_OID, &oid) || !der_next(&r, &value)) return false;
    if (value.tag == DER_BOOLEAN) {
        critical = value.content.n == 1 && value.content.p[0] != 0;
        if (value.content.n != 1 || !der_next(&r, &value)) return false;
    }
    if (value.tag != DER_OCTET_STRING || r.left > 0) return false;
    *id = oid.content;
    bool standard = id->n == 3 && id->p[0] == 0x55 && id->p[1] == 0x1d;
    if (standard && !read_known(id->p[2], value.content, c, &known)) return false;
    c->has_unknown_critical = c->has_unknown_critical || (critical && !known);
    return true;
}

bool extensions_read(struct span content, struct cert *c)
{
    struct span list, seen[EXTENSIONS_LIMIT];
    struct der_item extension;
    size_t n = 0;
    if (!only_sequence(content, &list)) return false;
    struct reader r = reader_of(list);
    while (r.left > 0) {
        if (n == EXTENSIONS_LIMIT || !der_expect(&r, DER_SEQUENCE, &extension) ||
            !read_extension(extension.content, c, &seen[n]))
            return false;
        for (size_t i = 0; i < n; i++)
            if (span_equal(seen[i], seen[n])) return false; /* section 4.2: only once */
        n++;
    }
    return true;
}
