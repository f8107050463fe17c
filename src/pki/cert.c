#include "pki/cert.h"

#include "extensions.h"
#include "pki/name.h"
#include "policy/hello.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

static unsigned bits_of_integer(struct span m)
{
    while (m.n > 0 && m.p[0] == 0) m = (struct span){m.p + 1, m.n - 1};
    return m.n == 0 ? 0 : (unsigned)(m.n * 8) - (unsigned)(__builtin_clz(m.p[0]) - 24);
}

/* RSAPublicKey (RFC 8017 appendix A.1.1): both lengths without leading zeros. */
static bool read_rsa_key(struct span key, struct cert *c)
{
    struct reader r = reader_of(key);
    struct der_item sequence, modulus, exponent;
    if (!der_expect(&r, DER_SEQUENCE, &sequence)) return false;
    struct reader inner = reader_of(sequence.content);
    if (!der_expect(&inner, DER_INTEGER, &modulus) || !der_expect(&inner, DER_INTEGER, &exponent))
        return false;
    c->modulus = modulus.content;
    c->exponent = exponent.content;
    c->bits = bits_of_integer(modulus.content);
    c->exponent_bits = bits_of_integer(exponent.content);
    return true;
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
        c->pss_only = oid_is(id.content, &pss_oid);
        if (c->pss_only) c->pss_parameters = (struct span){a.p, a.left};
        return read_rsa_key(c->key_bits, c);
    }
    if (oid_is(id.content, &ec)) {
        c->key = CERT_KEY_EC;
        if (der_expect(&a, DER_OID, &parameter)) read_curve(parameter.content, c);
    }
    return true;
}

static bool read_validity(struct span content, struct cert *c)
{
    struct reader r = reader_of(content);
    struct der_item from, to;
    return der_next(&r, &from) && der_next(&r, &to) && der_time(&from, &c->not_before) &&
           der_time(&to, &c->not_after);
}

static bool read_version(struct span explicit, struct cert *c)
{
    struct reader r = reader_of(explicit);
    struct der_item number;
    if (!der_expect(&r, DER_INTEGER, &number) || number.content.n != 1 || r.left > 0) return false;
    c->version = number.content.p[0] + 1u;
    return c->version <= 3;
}

static bool read_tbs(struct span content, struct cert *c)
{
    struct reader r = reader_of(content);
    struct der_item version, serial, algorithm, issuer, validity, subject, spki, rest;
    if (!der_next(&r, &version)) return false;
    if (version.tag == DER_CONTEXT_0) {
        if (!read_version(version.content, c) || !der_next(&r, &serial)) return false;
    } else {
        serial = version;
        c->version = 1;
    }
    if (serial.tag != DER_INTEGER || !der_is_integer(serial.content) ||
        !der_expect(&r, DER_SEQUENCE, &algorithm) || !der_expect(&r, DER_SEQUENCE, &issuer) ||
        !der_expect(&r, DER_SEQUENCE, &validity) || !der_expect(&r, DER_SEQUENCE, &subject) ||
        !der_expect(&r, DER_SEQUENCE, &spki))
        return false;
    c->serial = serial.content;
    while (c->serial.n > 1 && c->serial.p[0] == 0)
        c->serial = (struct span){c->serial.p + 1, c->serial.n - 1};
    c->issuer = issuer.whole;
    c->subject = subject.whole;
    if (!name_hash(c->issuer, &c->issuer_hash) || !name_hash(c->subject, &c->subject_hash))
        return false;
    c->spki = spki.whole;
    c->signature = der_signature_strength(algorithm.content);
    /* RFC 5280 section 4.1.1.2: the same algorithm inside and outside the signed part. */
    if (!span_equal(algorithm.content, c->signature_algorithm)) return false;
    if (!read_validity(validity.content, c) || !read_spki(spki.content, c)) return false;
    /* issuerUniqueID, subjectUniqueID and extensions, each at most once and in this order. */
    static const uint8_t optional[] = {0x81, 0x82, DER_CONTEXT_3};
    for (size_t i = 0; r.left > 0; i++) {
        if (!der_next(&r, &rest)) return false;
        while (i < COUNT_OF(optional) && optional[i] != rest.tag) i++;
        if (i >= COUNT_OF(optional)) return false;
        /* RFC 5280 section 4.1.2.9: extensions need version 3. */
        bool extensions = rest.tag == DER_CONTEXT_3;
        if (extensions && (c->version != 3 || !extensions_read(rest.content, c))) return false;
    }
    return true;
}

struct outermost {
    struct der_item tbs, algorithm, signature;
};

static bool open_certificate(struct span der, struct outermost *out)
{
    struct reader r = reader_of(der);
    struct der_item certificate;
    if (!der_expect(&r, DER_SEQUENCE, &certificate) || r.left > 0) return false;
    struct reader inner = reader_of(certificate.content);
    return der_expect(&inner, DER_SEQUENCE, &out->tbs) &&
           der_expect(&inner, DER_SEQUENCE, &out->algorithm) &&
           der_expect(&inner, DER_BIT_STRING, &out->signature) && inner.left == 0 &&
           out->signature.content.n >= 1;
}

bool cert_has_shape(struct span der)
{
    struct outermost unused;
    return open_certificate(der, &unused);
}

bool cert_parse(struct span der, struct cert *out)
{
    struct outermost parts;
    *out = (struct cert){.der = der,
                         .path_length = CERT_ABSENT,
                         .require_explicit_policy = CERT_ABSENT,
                         .inhibit_policy_mapping = CERT_ABSENT,
                         .inhibit_any_policy = CERT_ABSENT,
                         .can_sign_data = true,
                         .can_sign_certs = true,
                         .can_sign_crls = true,
                         .serves_tls = true,
                         .uses_tls = true};
    if (!open_certificate(der, &parts)) return false;
    out->tbs = parts.tbs.whole;
    out->signature_algorithm = parts.algorithm.content;
    out->signature_bits =
        (struct span){parts.signature.content.p + 1, parts.signature.content.n - 1};
    return read_tbs(parts.tbs.content, out);
}

bool cert_issued_by(const struct cert *c, const struct cert *issuer)
{
    if (!name_equal(c->issuer, issuer->subject)) return false;
    return c->authority_key_id.n == 0 || issuer->subject_key_id.n == 0 ||
           span_equal(c->authority_key_id, issuer->subject_key_id);
}

bool cert_is_self_issued(const struct cert *c)
{
    return name_equal(c->issuer, c->subject);
}

/* RFC 9525 section 6.3, case-insensitively. */
static bool dns_matches(struct span presented, const char *name)
{
    const char *p = (const char *)presented.p;
    size_t n = presented.n;
    if (n == 0 || p[n - 1] == '.') return false; /* RFC 5280 section 4.2.1.6: no dot there */
    if (n > 2 && p[0] == '*' && p[1] == '.') {
        const char *dot = strchr(name, '.');
        /* The wildcard stands for one non-empty label, before at least two others. */
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
