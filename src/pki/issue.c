#include "pki/issue.h"

#include "base/addr.h"
#include "pki/der.h"
#include "pki/wolfcrypt.h"

#include <string.h>

enum { TAG_UTF8 = 0x0c, TAG_NAME = 0x82, TAG_URL = 0x86, TAG_IP = 0x87 };

static const uint8_t oid_common_name[] = {0x55, 0x04, 0x03};
static const uint8_t oid_organization[] = {0x55, 0x04, 0x0a};
static const uint8_t oid_server_auth[] = {0x2b, 6, 1, 5, 5, 7, 3, 1};
static const uint8_t oid_ca_issuers[] = {0x2b, 6, 1, 5, 5, 7, 48, 2};
static const uint8_t oid_authority_access[] = {0x2b, 6, 1, 5, 5, 7, 1, 1};
static const uint8_t true_element[] = {DER_BOOLEAN, 1, 0xff};

static void put_attribute(struct der *d, const uint8_t oid[3], const char *value)
{
    if (!value) return;
    size_t end = d->at;
    der_element(d, TAG_UTF8, value, strlen(value));
    der_element(d, DER_OID, oid, 3);
    der_wrap(d, DER_SEQUENCE, end);
    der_wrap(d, DER_SET, end);
}

static void put_name(struct der *d, const char *organization, const char *common_name)
{
    size_t end = d->at;
    put_attribute(d, oid_common_name, common_name);
    put_attribute(d, oid_organization, organization);
    der_wrap(d, DER_SEQUENCE, end);
}

/* Wraps what was written since end as the value of the extension with this identifier. */
static void end_named(struct der *d, const uint8_t *oid, size_t n, bool critical, size_t end)
{
    der_wrap(d, DER_OCTET_STRING, end);
    if (critical) der_bytes(d, true_element, sizeof true_element);
    der_element(d, DER_OID, oid, n);
    der_wrap(d, DER_SEQUENCE, end);
}

/* The extension 2.5.29.which. */
static void end_extension(struct der *d, uint8_t which, bool critical, size_t end)
{
    const uint8_t oid[] = {0x55, 0x1d, which};
    end_named(d, oid, sizeof oid, critical, end);
}

static void put_names(struct der *d, const char *identity, bool is_ip, const char *also)
{
    struct addr ip;
    uint8_t bytes[16];
    if (!is_ip) {
        der_element(d, TAG_NAME, identity, strlen(identity));
        return;
    }
    if (!addr_from_ip(identity, 0, &ip)) d->failed = true;
    if (also) der_element(d, TAG_NAME, also, strlen(also));
    der_element(d, TAG_IP, bytes, d->failed ? 0 : addr_bytes(&ip, bytes));
}

bool issue_names(const char *identity, bool is_ip, const char *also, uint8_t *buffer, size_t size,
                 struct span *out)
{
    struct der d = der_of(buffer, size);
    put_names(&d, identity, is_ip, also);
    *out = der_result(&d);
    return out->n > 0;
}

static void put_subject_alt_name(struct der *d, const struct issue *t)
{
    size_t end = d->at;
    put_names(d, t->identity, t->is_ip, t->also);
    der_wrap(d, DER_SEQUENCE, end);
    /* Critical where the subject is empty (section 4.2.1.6). */
    end_extension(d, 17, !t->common_name, end);
}

static void put_crl_url(struct der *d, const char *url)
{
    if (!url) return;
    size_t end = d->at;
    der_element(d, TAG_URL, url, strlen(url));
    der_wrap(d, DER_CONTEXT_0, end); /* fullName */
    der_wrap(d, DER_CONTEXT_0, end); /* distributionPoint */
    der_wrap(d, DER_SEQUENCE, end);
    der_wrap(d, DER_SEQUENCE, end);
    end_extension(d, 31, false, end);
}

/* Section 4.2.2.1. */
static void put_issuer_url(struct der *d, const char *url)
{
    if (!url) return;
    size_t end = d->at;
    der_element(d, TAG_URL, url, strlen(url));
    der_element(d, DER_OID, oid_ca_issuers, sizeof oid_ca_issuers);
    der_wrap(d, DER_SEQUENCE, end);
    der_wrap(d, DER_SEQUENCE, end);
    end_named(d, oid_authority_access, sizeof oid_authority_access, false, end);
}

static void put_authority_key_id(struct der *d, struct span id)
{
    size_t end = d->at;
    der_element(d, 0x80, id.p, id.n);
    der_wrap(d, DER_SEQUENCE, end);
    end_extension(d, 35, false, end);
}

static void put_basic_constraints(struct der *d, const struct issue *t)
{
    size_t end = d->at;
    const uint8_t length = (uint8_t)t->path_length;
    if (t->is_ca && t->path_length >= 0) der_element(d, DER_INTEGER, &length, 1);
    if (t->is_ca) der_bytes(d, true_element, sizeof true_element);
    der_wrap(d, DER_SEQUENCE, end);
    end_extension(d, 19, true, end);
}

static void put_extensions(struct der *d, const struct issue *t, struct span authority,
                           const uint8_t own_id[ISSUE_KEY_ID])
{
    /* keyCertSign and cRLSign; digitalSignature (section 4.2.1.3). */
    static const uint8_t ca_usage[] = {1, 0x06}, leaf_usage[] = {7, 0x80};
    size_t all = d->at, end;
    put_issuer_url(d, t->issuer_url);
    put_crl_url(d, t->crl_url);
    put_authority_key_id(d, authority);
    end = d->at;
    der_element(d, DER_OCTET_STRING, own_id, ISSUE_KEY_ID);
    end_extension(d, 14, false, end);
    if (t->identity) put_subject_alt_name(d, t);
    if (t->serves_tls) {
        end = d->at;
        der_element(d, DER_OID, oid_server_auth, sizeof oid_server_auth);
        der_wrap(d, DER_SEQUENCE, end);
        end_extension(d, 37, false, end);
    }
    if (t->constraints.n > 0) {
        end = d->at;
        der_element(d, DER_SEQUENCE, t->constraints.p, t->constraints.n);
        end_extension(d, 30, true, end);
    }
    end = d->at;
    der_element(d, DER_BIT_STRING, t->is_ca ? ca_usage : leaf_usage, 2);
    end_extension(d, 15, true, end);
    put_basic_constraints(d, t);
    der_wrap(d, DER_SEQUENCE, all);
    der_wrap(d, DER_CONTEXT_3, all);
}

/* AlgorithmIdentifier for the signing key's type (RFC 5758 section 3.2, RFC 4055). */
static void put_algorithm(struct der *d, enum key_type signer)
{
    static const uint8_t ecdsa_sha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2};
    static const uint8_t rsa_sha256[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11};
    size_t end = d->at;
    if (signer == KEY_RSA) {
        der_element(d, DER_NULL, NULL, 0);
        der_element(d, DER_OID, rsa_sha256, sizeof rsa_sha256);
    } else {
        der_element(d, DER_OID, ecdsa_sha256, sizeof ecdsa_sha256);
    }
    der_wrap(d, DER_SEQUENCE, end);
}

static void put_validity(struct der *d, const struct issue *t)
{
    size_t end = d->at;
    der_put_time(d, t->not_after);
    der_put_time(d, t->not_before);
    der_wrap(d, DER_SEQUENCE, end);
}

/* TBSCertificate (section 4.1.2). */
static bool put_certificate(struct der *d, const struct issue *t, enum key_type signer)
{
    static const uint8_t version3[] = {DER_CONTEXT_0, 3, DER_INTEGER, 1, 2};
    uint8_t own_id[ISSUE_KEY_ID], serial[ISSUE_SERIAL];
    if (!issue_key_id(t->spki, own_id) || !random_bytes(serial, sizeof serial)) return false;
    /* Positive and of full length. */
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
    const struct span self = {own_id, sizeof own_id};
    size_t all = d->at;
    put_extensions(d, t, t->issuer_key_id.n > 0 ? t->issuer_key_id : self, own_id);
    der_bytes(d, t->spki.p, t->spki.n);
    put_name(d, t->organization, t->common_name);
    put_validity(d, t);
    if (t->issuer.n > 0)
        der_bytes(d, t->issuer.p, t->issuer.n);
    else
        put_name(d, t->organization, t->common_name);
    put_algorithm(d, signer);
    der_element(d, DER_INTEGER, serial, sizeof serial);
    der_bytes(d, version3, sizeof version3);
    der_wrap(d, DER_SEQUENCE, all);
    return true;
}

/* TBSCertList (section 5.1.2) without revokedCertificates. */
static void put_crl(struct der *d, const struct issue_crl *t, enum key_type signer)
{
    static const uint8_t version2 = 1;
    uint8_t number[9] = {0}; /* with a zero in front: never negative */
    size_t begin = 1, all = d->at;
    for (unsigned i = 0; i < 8; i++) number[8 - i] = (uint8_t)(t->number >> 8 * i);
    while (begin < 8 && number[begin] == 0) begin++;
    if (number[begin] & 0x80) begin--;
    der_element(d, DER_INTEGER, number + begin, sizeof number - begin);
    end_extension(d, 20, false, all);
    put_authority_key_id(d, t->issuer_key_id);
    der_wrap(d, DER_SEQUENCE, all);
    der_wrap(d, DER_CONTEXT_0, all);
    der_put_time(d, t->next_update);
    der_put_time(d, t->this_update);
    der_bytes(d, t->issuer.p, t->issuer.n);
    put_algorithm(d, signer);
    der_element(d, DER_INTEGER, &version2, 1);
    der_wrap(d, DER_SEQUENCE, all);
}

bool issue_key_id(struct span spki, uint8_t out[ISSUE_KEY_ID])
{
    uint8_t digest[32];
    struct reader r = reader_of(spki), inner;
    struct der_item sequence, algorithm, bits;
    if (!der_expect(&r, DER_SEQUENCE, &sequence)) return false;
    inner = reader_of(sequence.content);
    if (!der_expect(&inner, DER_SEQUENCE, &algorithm) ||
        !der_expect(&inner, DER_BIT_STRING, &bits) || bits.content.n < 1 ||
        !digest_sha256(bits.content.p + 1, bits.content.n - 1, digest))
        return false;
    memcpy(out, digest, ISSUE_KEY_ID);
    return true;
}

/* A certificate and a CRL have the same form around what is signed. */
static size_t sign(const struct der *d, struct signing_key *signer, uint8_t out[ISSUE_LIMIT])
{
    uint8_t buffer[ISSUE_LIMIT], bits[1 + SIGNING_SIZE] = {0}; /* none of them unused */
    struct signing_request request = {.key = signing_key_type(signer), .size = 32};
    struct der all = der_of(buffer, sizeof buffer);
    const struct span tbs = der_result(d);
    if (tbs.n == 0 || !digest_sha256(tbs.p, tbs.n, request.digest)) return 0;
    size_t n = signing_key_sign(signer, &request, bits + 1);
    if (n == 0) return 0;
    der_element(&all, DER_BIT_STRING, bits, 1 + n);
    put_algorithm(&all, request.key);
    der_bytes(&all, tbs.p, tbs.n);
    der_wrap(&all, DER_SEQUENCE, sizeof buffer);
    const struct span done = der_result(&all);
    if (done.n > 0) memcpy(out, done.p, done.n);
    return done.n;
}

size_t issue_certificate(const struct issue *t, struct signing_key *signer,
                         uint8_t out[ISSUE_LIMIT])
{
    uint8_t buffer[ISSUE_LIMIT];
    struct der d = der_of(buffer, sizeof buffer);
    return put_certificate(&d, t, signing_key_type(signer)) ? sign(&d, signer, out) : 0;
}

size_t issue_crl(const struct issue_crl *t, struct signing_key *signer, uint8_t out[ISSUE_LIMIT])
{
    uint8_t buffer[ISSUE_LIMIT];
    struct der d = der_of(buffer, sizeof buffer);
    put_crl(&d, t, signing_key_type(signer));
    return sign(&d, signer, out);
}
