#include "pki/cert.h"

#include "policy/hello.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_2 = 0xa2,
    DER_CONTEXT_3 = 0xa3,
};

struct oid {
    uint8_t n;
    uint8_t bytes[11];
};

static bool oid_is(struct span s, const struct oid *oid)
{
    return s.n == oid->n && memcmp(s.p, oid->bytes, s.n) == 0;
}

static const struct oid pss_oid = {9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10}};

/* Bits of a SHA-2 hash by its OID, id-sha256, 384 and 512: 2.16.840.1.101.3.4.2.{1,2,3}. */
static unsigned digest_bits(struct span algorithm)
{
    static const uint8_t prefix[] = {0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2};
    struct reader r = reader_of(algorithm);
    struct der_item sequence, oid;
    if (!der_expect(&r, DER_SEQUENCE, &sequence)) return 0;
    r = reader_of(sequence.content);
    if (!der_expect(&r, DER_OID, &oid) || oid.content.n != sizeof prefix + 1 ||
        memcmp(oid.content.p, prefix, sizeof prefix) != 0)
        return 0;
    switch (oid.content.p[sizeof prefix]) {
    case 1:
        return 256;
    case 2:
        return 384;
    case 3:
        return 512;
    default:
        return 0;
    }
}

struct der_pss der_pss_parameters(struct reader parameters)
{
    struct der_pss pss = {.digest_bits = 0, .salt = 20};
    struct der_item sequence, item, number;
    if (!der_expect(&parameters, DER_SEQUENCE, &sequence)) return pss;
    struct reader r = reader_of(sequence.content);
    while (r.left > 0 && der_next(&r, &item)) {
        struct reader value = reader_of(item.content);
        if (item.tag == DER_CONTEXT_0) pss.digest_bits = digest_bits(item.content);
        if (item.tag != DER_CONTEXT_2) continue;
        if (!der_expect(&value, DER_INTEGER, &number) || number.content.n > 2)
            return (struct der_pss){0};
        pss.salt = 0;
        for (size_t i = 0; i < number.content.n; i++)
            pss.salt = pss.salt << 8 | number.content.p[i];
    }
    return pss;
}

/* Signature algorithms by strength: SHA-256 or better, with RSA or ECDSA (RFC 8017 appendix
 * A.2.4, RFC 5758 section 3.2); MD2, MD5, SHA-1 and SHA-224 are weak. */
static const struct algorithm {
    struct oid oid;
    enum cert_signature strength;
    const char *name;
} algorithms[] = {
    {{9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11}},
     CERT_SIGNATURE_STRONG,
     "RSA with SHA-256"},
    {{9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12}},
     CERT_SIGNATURE_STRONG,
     "RSA with SHA-384"},
    {{9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13}},
     CERT_SIGNATURE_STRONG,
     "RSA with SHA-512"},
    {{8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}}, CERT_SIGNATURE_STRONG, "ECDSA with SHA-256"},
    {{8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3}}, CERT_SIGNATURE_STRONG, "ECDSA with SHA-384"},
    {{8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4}}, CERT_SIGNATURE_STRONG, "ECDSA with SHA-512"},
    {{9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 2}}, CERT_SIGNATURE_WEAK, "RSA with MD2"},
    {{9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4}}, CERT_SIGNATURE_WEAK, "RSA with MD5"},
    {{9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5}}, CERT_SIGNATURE_WEAK, "RSA with SHA-1"},
    {{9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14}}, CERT_SIGNATURE_WEAK, "RSA with SHA-224"},
    {{7, {0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1}}, CERT_SIGNATURE_WEAK, "ECDSA with SHA-1"},
    {{8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1}}, CERT_SIGNATURE_WEAK, "ECDSA with SHA-224"},
    {{7, {0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3}}, CERT_SIGNATURE_OTHER, "DSA with SHA-1"},
    {{3, {0x2b, 0x65, 0x70}}, CERT_SIGNATURE_OTHER, "Ed25519"},
    {{3, {0x2b, 0x65, 0x71}}, CERT_SIGNATURE_OTHER, "Ed448"},
};

static const struct algorithm *find_algorithm(struct span oid)
{
    for (size_t i = 0; i < COUNT_OF(algorithms); i++)
        if (oid_is(oid, &algorithms[i].oid)) return &algorithms[i];
    return NULL;
}

enum cert_signature der_signature_strength(struct span algorithm)
{
    struct reader r = reader_of(algorithm);
    struct der_item id;
    if (!der_expect(&r, DER_OID, &id)) return CERT_SIGNATURE_OTHER;
    if (oid_is(id.content, &pss_oid))
        return der_pss_parameters(r).digest_bits ? CERT_SIGNATURE_STRONG : CERT_SIGNATURE_WEAK;
    const struct algorithm *known = find_algorithm(id.content);
    return known ? known->strength : CERT_SIGNATURE_OTHER;
}

const char *cert_signature_name(const struct cert *c)
{
    struct reader r = reader_of(c->signature_algorithm);
    struct der_item id;
    if (!der_expect(&r, DER_OID, &id)) return "unknown";
    if (oid_is(id.content, &pss_oid)) {
        switch (der_pss_parameters(r).digest_bits) {
        case 256:
            return "RSA-PSS with SHA-256";
        case 384:
            return "RSA-PSS with SHA-384";
        case 512:
            return "RSA-PSS with SHA-512";
        default:
            return "RSA-PSS with a weak hash";
        }
    }
    const struct algorithm *known = find_algorithm(id.content);
    return known ? known->name : "unknown";
}

static void read_curve(struct span curve, struct cert *c)
{
    static const struct {
        struct oid oid;
        unsigned bits;
        uint16_t group;
    } curves[] = {
        {{8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}}, 256, 0x0017},
        {{5, {0x2b, 0x81, 4, 0, 0x22}}, 384, 0x0018},
        {{5, {0x2b, 0x81, 4, 0, 0x23}}, 521, 0x0019},
        {{5, {0x2b, 0x81, 4, 0, 0x21}}, 224, 0},
        {{8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1}}, 192, 0},
    };
    for (size_t i = 0; i < COUNT_OF(curves); i++) {
        if (!oid_is(curve, &curves[i].oid)) continue;
        c->bits = curves[i].bits;
        c->group = curves[i].group;
    }
}

/* RSAPublicKey: the modulus's length without leading zeros (RFC 8017 appendix A.1.1). */
static void read_modulus(struct span key, struct cert *c)
{
    struct reader r = reader_of(key);
    struct der_item sequence, modulus;
    if (!der_expect(&r, DER_SEQUENCE, &sequence)) return;
    struct reader inner = reader_of(sequence.content);
    if (!der_expect(&inner, DER_INTEGER, &modulus)) return;
    struct span m = modulus.content;
    while (m.n > 0 && m.p[0] == 0) m = (struct span){m.p + 1, m.n - 1};
    if (m.n == 0) return;
    c->bits = (unsigned)(m.n * 8) - (unsigned)(__builtin_clz(m.p[0]) - 24);
}

static bool read_spki(struct span spki, struct cert *c)
{
    static const struct oid rsa = {9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1}};
    static const struct oid ec = {7, {0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1}};
    struct reader r = reader_of(spki);
    struct der_item algorithm, bits, id, parameter;
    if (!der_expect(&r, DER_SEQUENCE, &algorithm) || !der_expect(&r, DER_BIT_STRING, &bits) ||
        bits.content.n < 1)
        return false;
    c->key_bits = (struct span){bits.content.p + 1, bits.content.n - 1};
    struct reader a = reader_of(algorithm.content);
    if (!der_expect(&a, DER_OID, &id)) return false;
    c->key = CERT_KEY_OTHER;
    if (oid_is(id.content, &rsa) || oid_is(id.content, &pss_oid)) {
        c->key = CERT_KEY_RSA;
        read_modulus(c->key_bits, c);
    } else if (oid_is(id.content, &ec)) {
        c->key = CERT_KEY_EC;
        if (der_expect(&a, DER_OID, &parameter)) read_curve(parameter.content, c);
    }
    return true;
}

static void read_key_usage(struct span value, struct cert *c)
{
    struct reader r = reader_of(value);
    struct der_item bits;
    if (!der_expect(&r, DER_BIT_STRING, &bits) || bits.content.n < 2) return;
    c->can_sign_certs = bits.content.p[1] & 0x04; /* bit 5 */
    c->can_sign_crls = bits.content.p[1] & 0x02;  /* bit 6 */
}

static void read_basic_constraints(struct span value, struct cert *c)
{
    struct reader r = reader_of(value);
    struct der_item sequence, ca;
    if (!der_expect(&r, DER_SEQUENCE, &sequence)) return;
    struct reader inner = reader_of(sequence.content);
    c->is_ca = der_expect(&inner, DER_BOOLEAN, &ca) && ca.content.n == 1 && ca.content.p[0];
}

/* id-kp-serverAuth or anyExtendedKeyUsage (RFC 5280 section 4.2.1.12). */
static void read_extended_key_usage(struct span value, struct cert *c)
{
    static const struct oid server = {8, {0x2b, 6, 1, 5, 5, 7, 3, 1}};
    static const struct oid any = {4, {0x55, 0x1d, 0x25, 0}};
    struct reader r = reader_of(value);
    struct der_item list, purpose;
    c->serves_tls = false;
    if (!der_expect(&r, DER_SEQUENCE, &list)) return;
    r = reader_of(list.content);
    while (r.left > 0 && der_expect(&r, DER_OID, &purpose))
        if (oid_is(purpose.content, &server) || oid_is(purpose.content, &any)) c->serves_tls = true;
}

/* id-ce is 2.5.29 (RFC 5280 section 4.2.1); the last byte tells which. */
static void read_extension(uint8_t which, struct span value, struct cert *c)
{
    struct reader r = reader_of(value);
    struct der_item item, inner;
    switch (which) {
    case 14:
        if (der_expect(&r, DER_OCTET_STRING, &item)) c->subject_key_id = item.content;
        break;
    case 15:
        read_key_usage(value, c);
        break;
    case 17:
        if (der_expect(&r, DER_SEQUENCE, &item)) c->san = item.content;
        break;
    case 19:
        read_basic_constraints(value, c);
        break;
    case 35:
        if (!der_expect(&r, DER_SEQUENCE, &item)) break;
        r = reader_of(item.content);
        if (der_expect(&r, 0x80, &inner)) c->authority_key_id = inner.content;
        break;
    case 37:
        read_extended_key_usage(value, c);
        break;
    default:
        break;
    }
}

static bool read_extensions(struct span content, struct cert *c)
{
    struct reader outer = reader_of(content);
    struct der_item list, extension, id, value;
    if (!der_expect(&outer, DER_SEQUENCE, &list)) return false;
    struct reader r = reader_of(list.content);
    while (r.left > 0) {
        if (!der_expect(&r, DER_SEQUENCE, &extension)) return false;
        struct reader e = reader_of(extension.content);
        if (!der_expect(&e, DER_OID, &id) || !der_next(&e, &value)) return false;
        if (value.tag == DER_BOOLEAN && !der_next(&e, &value)) return false;
        if (value.tag != DER_OCTET_STRING) return false;
        if (id.content.n == 3 && id.content.p[0] == 0x55 && id.content.p[1] == 0x1d)
            read_extension(id.content.p[2], value.content, c);
    }
    return !r.failed;
}

static bool read_validity(struct span content, struct cert *c)
{
    struct reader r = reader_of(content);
    struct der_item from, to;
    return der_next(&r, &from) && der_next(&r, &to) && der_time(&from, &c->not_before) &&
           der_time(&to, &c->not_after);
}

static bool read_tbs(struct span content, struct cert *c)
{
    struct reader r = reader_of(content);
    struct der_item version, serial, algorithm, issuer, validity, subject, spki, rest;
    if (!der_next(&r, &version)) return false;
    if (version.tag == DER_CONTEXT_0) {
        if (!der_next(&r, &serial)) return false;
    } else {
        serial = version; /* version 1 */
    }
    if (serial.tag != DER_INTEGER || !der_expect(&r, DER_SEQUENCE, &algorithm) ||
        !der_expect(&r, DER_SEQUENCE, &issuer) || !der_expect(&r, DER_SEQUENCE, &validity) ||
        !der_expect(&r, DER_SEQUENCE, &subject) || !der_expect(&r, DER_SEQUENCE, &spki))
        return false;
    c->serial = serial.content;
    while (c->serial.n > 1 && c->serial.p[0] == 0)
        c->serial = (struct span){c->serial.p + 1, c->serial.n - 1};
    c->issuer = issuer.whole;
    c->subject = subject.whole;
    c->spki = spki.whole;
    c->signature = der_signature_strength(algorithm.content);
    if (!read_validity(validity.content, c) || !read_spki(spki.content, c)) return false;
    while (r.left > 0) {
        if (!der_next(&r, &rest)) return false;
        if (rest.tag == DER_CONTEXT_3 && !read_extensions(rest.content, c)) return false;
    }
    return true;
}

bool cert_parse(struct span der, struct cert *out)
{
    *out = (struct cert){
        .der = der, .can_sign_certs = true, .can_sign_crls = true, .serves_tls = true};
    struct reader r = reader_of(der);
    struct der_item certificate, tbs, algorithm, signature;
    if (!der_expect(&r, DER_SEQUENCE, &certificate) || r.left > 0) return false;
    struct reader inner = reader_of(certificate.content);
    if (!der_expect(&inner, DER_SEQUENCE, &tbs) || !der_expect(&inner, DER_SEQUENCE, &algorithm) ||
        !der_expect(&inner, DER_BIT_STRING, &signature) || signature.content.n < 1)
        return false;
    out->tbs = tbs.whole;
    out->signature_algorithm = algorithm.content;
    out->signature_bits = (struct span){signature.content.p + 1, signature.content.n - 1};
    return read_tbs(tbs.content, out);
}

bool cert_issued_by(const struct cert *c, const struct cert *issuer)
{
    if (!span_equal(c->issuer, issuer->subject)) return false;
    return c->authority_key_id.n == 0 || issuer->subject_key_id.n == 0 ||
           span_equal(c->authority_key_id, issuer->subject_key_id);
}

static const char *attribute_name(struct span oid)
{
    static const struct {
        uint8_t last;
        const char *name;
    } names[] = {{3, "CN"},     {6, "C"},  {7, "L"},   {8, "ST"},
                 {9, "STREET"}, {10, "O"}, {11, "OU"}, {5, "serialNumber"}};
    static const struct oid component = {
        10, {0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19}};
    if (oid_is(oid, &component)) return "DC";
    if (oid.n != 3 || oid.p[0] != 0x55 || oid.p[1] != 0x04) return NULL;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].last == oid.p[2]) return names[i].name;
    return NULL;
}

/* RFC 4514 section 2.4. Bytes outside ASCII stay: they are UTF-8 or the JSON writer mends
 * them. */
static void format_value(struct span v, struct text *out)
{
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = v.p[i];
        bool edge = (i == 0 && (c == ' ' || c == '#')) || (i == v.n - 1 && c == ' ');
        if (c < 0x20 || c == 0x7f)
            text_printf(out, "\\%02X", c);
        else if (edge || strchr("\"+,;<>\\", c))
            text_printf(out, "\\%c", c);
        else
            text_add_bytes(out, &c, 1);
    }
}

static void format_rdn(struct span set, struct text *out)
{
    struct reader r = reader_of(set);
    struct der_item pair, oid, value;
    bool first = true;
    while (r.left > 0 && der_expect(&r, DER_SEQUENCE, &pair)) {
        struct reader p = reader_of(pair.content);
        if (!der_expect(&p, DER_OID, &oid) || !der_next(&p, &value)) return;
        if (!first) text_add(out, "+");
        first = false;
        const char *name = attribute_name(oid.content);
        if (name)
            text_printf(out, "%s=", name);
        else
            text_add(out, "OID=");
        format_value(value.content, out);
    }
}

void cert_format_name(struct span name, struct text *out)
{
    enum { RDN_LIMIT = 32 };
    struct span sets[RDN_LIMIT];
    size_t n = 0;
    struct reader outer = reader_of(name);
    struct der_item sequence, set;
    if (!der_expect(&outer, DER_SEQUENCE, &sequence)) return;
    struct reader r = reader_of(sequence.content);
    while (r.left > 0 && n < RDN_LIMIT && der_expect(&r, DER_SET, &set)) sets[n++] = set.content;
    while (n > 0) {
        format_rdn(sets[--n], out);
        if (n > 0) text_add(out, ",");
    }
}

/* RFC 9525 section 6.3, case-insensitively. */
static bool dns_matches(struct span presented, const char *name)
{
    const char *p = (const char *)presented.p;
    size_t n = presented.n;
    if (n > 1 && p[n - 1] == '.') n--;
    if (n > 2 && p[0] == '*' && p[1] == '.') {
        const char *dot = strchr(name, '.');
        /* The wildcard is for one non-empty label below at least two others. */
        if (!dot || dot == name || !memchr(p + 2, '.', n - 2)) return false;
        p += 2;
        n -= 2;
        name = dot + 1;
    }
    if (!hello_name_is_valid(p, n)) return false;
    return strlen(name) == n && strncasecmp(p, name, n) == 0;
}

static bool any_general_name(const struct cert *c, uint8_t tag,
                             bool (*matches)(struct span value, const void *arg), const void *arg)
{
    struct reader r = reader_of(c->san);
    struct der_item name;
    while (r.left > 0 && der_next(&r, &name))
        if (name.tag == tag && matches(name.content, arg)) return true;
    return false;
}

static bool dns_name_matches(struct span value, const void *arg)
{
    return dns_matches(value, arg);
}

static bool ip_matches(struct span value, const void *arg)
{
    uint8_t bytes[16];
    size_t n = addr_bytes(arg, bytes);
    return value.n == n && memcmp(value.p, bytes, n) == 0;
}

bool cert_matches_name(const struct cert *c, const char *name)
{
    return any_general_name(c, 0x82, dns_name_matches, name);
}

bool cert_matches_ip(const struct cert *c, const struct addr *ip)
{
    return any_general_name(c, 0x87, ip_matches, ip);
}

void cert_each_name(const struct cert *c, void (*each)(void *arg, const char *name), void *arg)
{
    struct reader r = reader_of(c->san);
    struct der_item item;
    while (r.left > 0 && der_next(&r, &item)) {
        char name[HELLO_NAME_SIZE] = "";
        bool v4 = item.tag == 0x87 && item.content.n == 4;
        bool v6 = item.tag == 0x87 && item.content.n == 16;
        if (v4 || v6)
            inet_ntop(v4 ? AF_INET : AF_INET6, item.content.p, name, sizeof name);
        else if (item.tag == 0x82 && !memchr(item.content.p, 0, item.content.n))
            snprintf(name, sizeof name, "%.*s", (int)item.content.n, (const char *)item.content.p);
        if (*name) each(arg, name);
    }
}
