#include "pki/ca.h"

#include "base/addr.h"
#include "base/clock.h"
#include "pki/der.h"
#include "pki/wolfcrypt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CERT_LIMIT = 8192,
    COMMON_NAME_LIMIT = 64, /* RFC 5280 appendix A.1, ub-common-name */
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_OCTET_STRING = 0x04,
    TAG_UTF8 = 0x0c,
};

static const time_t hour = 3600;
static const time_t leaf_lifetime = (time_t)30 * 86400;
static const time_t ca_lifetime = (time_t)3650 * 86400;

struct ca {
    uint8_t *der; /* the issuing certificate */
    struct cert certificate;
    struct text chain; /* PEM of it and its intermediates; empty for a root */
    struct decoded_key key;
    char *crl_url;
};

static const uint8_t oid_common_name[] = {0x55, 0x04, 0x03};
static const uint8_t oid_organization[] = {0x55, 0x04, 0x0a};
static const uint8_t oid_server_auth[] = {0x2b, 6, 1, 5, 5, 7, 3, 1};
static const uint8_t true_element[] = {0x01, 1, 0xff};

/* All that decides a certificate: the writer below needs nothing else. */
struct template
{
    struct span serial, issuer, spki, authority_key_id;
    uint8_t subject_key_id[20];
    time_t not_before, not_after;
    const char *common_name, *organization; /* NULL: left out */
    const char *identity, *also;            /* leaf only; also: a second name, or NULL */
    bool is_ip, is_ca;
    const char *crl_url;
};

static void put_attribute(struct der *d, const uint8_t oid[3], const char *value)
{
    if (!value) return;
    size_t end = d->at;
    der_element(d, TAG_UTF8, value, strlen(value));
    der_element(d, 0x06, oid, 3);
    der_wrap(d, TAG_SEQUENCE, end);
    der_wrap(d, TAG_SET, end);
}

static void put_name(struct der *d, const char *organization, const char *common_name)
{
    size_t end = d->at;
    put_attribute(d, oid_common_name, common_name);
    put_attribute(d, oid_organization, organization);
    der_wrap(d, TAG_SEQUENCE, end);
}

/* Wraps what was written since end as the value of extension 2.5.29.which. */
static void end_extension(struct der *d, uint8_t which, bool critical, size_t end)
{
    const uint8_t oid[] = {0x55, 0x1d, which};
    der_wrap(d, TAG_OCTET_STRING, end);
    if (critical) der_bytes(d, true_element, sizeof true_element);
    der_element(d, 0x06, oid, sizeof oid);
    der_wrap(d, TAG_SEQUENCE, end);
}

static void put_subject_alt_name(struct der *d, const struct template *t)
{
    size_t end = d->at;
    struct addr ip;
    uint8_t bytes[16];
    if (t->is_ip) {
        if (!addr_from_ip(t->identity, 0, &ip)) d->failed = true;
        if (t->also) der_element(d, 0x82, t->also, strlen(t->also));
        der_element(d, 0x87, bytes, d->failed ? 0 : addr_bytes(&ip, bytes));
    } else {
        der_element(d, 0x82, t->identity, strlen(t->identity));
    }
    der_wrap(d, TAG_SEQUENCE, end);
    /* Critical where the subject is empty (RFC 5280 section 4.2.1.6). */
    end_extension(d, 17, !t->common_name, end);
}

static void put_crl_url(struct der *d, const char *url)
{
    if (!url) return;
    size_t end = d->at;
    der_element(d, 0x86, url, strlen(url));
    der_wrap(d, 0xa0, end); /* fullName */
    der_wrap(d, 0xa0, end); /* distributionPoint */
    der_wrap(d, TAG_SEQUENCE, end);
    der_wrap(d, TAG_SEQUENCE, end);
    end_extension(d, 31, false, end);
}

static void put_extensions(struct der *d, const struct template *t)
{
    /* keyCertSign and cRLSign; digitalSignature (RFC 5280 section 4.2.1.3). */
    static const uint8_t ca_usage[] = {1, 0x06}, leaf_usage[] = {7, 0x80};
    size_t all = d->at;
    put_crl_url(d, t->crl_url);
    size_t end = d->at;
    der_element(d, 0x80, t->authority_key_id.p, t->authority_key_id.n);
    der_wrap(d, TAG_SEQUENCE, end);
    end_extension(d, 35, false, end);
    end = d->at;
    der_element(d, TAG_OCTET_STRING, t->subject_key_id, sizeof t->subject_key_id);
    end_extension(d, 14, false, end);
    if (t->identity) {
        put_subject_alt_name(d, t);
        end = d->at;
        der_element(d, 0x06, oid_server_auth, sizeof oid_server_auth);
        der_wrap(d, TAG_SEQUENCE, end);
        end_extension(d, 37, false, end);
    }
    end = d->at;
    der_element(d, 0x03, t->is_ca ? ca_usage : leaf_usage, 2);
    end_extension(d, 15, true, end);
    end = d->at;
    if (t->is_ca) der_bytes(d, true_element, sizeof true_element);
    der_wrap(d, TAG_SEQUENCE, end);
    end_extension(d, 19, true, end);
    der_wrap(d, TAG_SEQUENCE, all);
    der_wrap(d, 0xa3, all);
}

/* AlgorithmIdentifier for the signing key's type (RFC 5758 section 3.2, RFC 4055). */
static void put_algorithm(struct der *d, enum key_type signer)
{
    static const uint8_t ecdsa_sha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2};
    static const uint8_t rsa_sha256[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11};
    size_t end = d->at;
    if (signer == KEY_RSA) {
        der_element(d, 0x05, NULL, 0);
        der_element(d, 0x06, rsa_sha256, sizeof rsa_sha256);
    } else {
        der_element(d, 0x06, ecdsa_sha256, sizeof ecdsa_sha256);
    }
    der_wrap(d, TAG_SEQUENCE, end);
}

/* A TBSCertificate (RFC 5280 section 4.1.2). */
static void put_tbs(struct der *d, const struct template *t, enum key_type signer)
{
    static const uint8_t version3[] = {0xa0, 3, 2, 1, 2};
    size_t all = d->at;
    put_extensions(d, t);
    der_bytes(d, t->spki.p, t->spki.n);
    put_name(d, t->organization, t->common_name);
    size_t end = d->at;
    der_put_time(d, t->not_after);
    der_put_time(d, t->not_before);
    der_wrap(d, TAG_SEQUENCE, end);
    if (t->issuer.n)
        der_bytes(d, t->issuer.p, t->issuer.n);
    else
        put_name(d, t->organization, t->common_name);
    put_algorithm(d, signer);
    der_element(d, 0x02, t->serial.p, t->serial.n);
    der_bytes(d, version3, sizeof version3);
    der_wrap(d, TAG_SEQUENCE, all);
}

/* The key identifier: the leading 160 bits of SHA-256 over the public key's BIT STRING
 * (RFC 7093 section 2, method 1). */
static bool key_identifier(struct span spki, uint8_t out[20])
{
    uint8_t digest[32];
    struct reader r = reader_of(spki), inner;
    struct der_item sequence, algorithm, bits;
    if (!der_expect(&r, 0x30, &sequence)) return false;
    inner = reader_of(sequence.content);
    if (!der_expect(&inner, 0x30, &algorithm) || !der_expect(&inner, 0x03, &bits) ||
        bits.content.n < 1 || !digest_sha256(bits.content.p + 1, bits.content.n - 1, digest))
        return false;
    memcpy(out, digest, 20);
    return true;
}

static bool random_serial(uint8_t out[16])
{
    if (!random_bytes(out, 16)) return false;
    /* Positive and of full length. */
    out[0] = (uint8_t)((out[0] & 0x7f) | 0x40);
    return true;
}

/* Writes and signs the certificate into `out`. Returns its size, 0 when it failed. */
static size_t write_certificate(const struct template *t, struct decoded_key *signer,
                                uint8_t out[CERT_LIMIT])
{
    uint8_t buffer[CERT_LIMIT];
    struct der d = der_of(buffer, sizeof buffer);
    put_tbs(&d, t, signer->type);
    struct span tbs = der_result(&d);
    if (tbs.n == 0) return 0;
    memcpy(out, tbs.p, tbs.n);
    bool ecc = signer->type == KEY_ECDSA;
    int size = wc_SignCert_ex((int)tbs.n, ecc ? CTC_SHA256wECDSA : CTC_SHA256wRSA, out, CERT_LIMIT,
                              ecc ? ECC_TYPE : RSA_TYPE,
                              ecc ? (void *)&signer->ecc : (void *)&signer->rsa, random_thread());
    return size > 0 ? (size_t)size : 0;
}

bool ca_create(enum key_type type, unsigned rsa_bits, time_t now, struct text *certificate,
               struct text *key)
{
    struct private_key private = {0};
    struct decoded_key decoded;
    uint8_t serial[16], der[CERT_LIMIT];
    char host[65] = "", name[128], date[CLOCK_TEXT_SIZE];
    if (!key_generate(type, rsa_bits, &private) || !random_serial(serial)) return false;
    gethostname(host, sizeof host - 1);
    clock_format_seconds(now, date);
    /* A unique name: two roots with one name confuse clients. */
    snprintf(name, sizeof name, "suitegate local CA %.10s %02x%02x%02x %.27s", date, serial[1],
             serial[2], serial[3], host);
    struct template t = {.serial = {serial, sizeof serial},
                         .spki = key_spki(&private),
                         .not_before = now - hour,
                         .not_after = now + ca_lifetime,
                         .common_name = name,
                         .organization = "suitegate",
                         .is_ca = true};
    t.authority_key_id = (struct span){t.subject_key_id, sizeof t.subject_key_id};
    bool ok = key_identifier(t.spki, t.subject_key_id) && decoded_key_init(&decoded, &private);
    if (ok) {
        size_t size = write_certificate(&t, &decoded, der);
        decoded_key_fini(&decoded);
        ok = size > 0 && pem_add_certificate((struct span){der, size}, certificate) &&
             key_to_pem(&private, key);
    }
    key_fini(&private);
    return ok;
}

struct ca_loading {
    struct ca *ca;
    size_t count;
    bool failed;
};

static bool load_certificate(void *arg, struct span der)
{
    struct ca_loading *loading = arg;
    struct ca *ca = loading->ca;
    struct cert c;
    if (!cert_parse(der, &c)) return false;
    bool root = span_equal(c.subject, c.issuer);
    if (loading->count++ == 0) {
        ca->der = malloc(der.n);
        if (!ca->der) return false;
        memcpy(ca->der, der.p, der.n);
        if (!cert_parse((struct span){ca->der, der.n}, &ca->certificate)) return false;
    }
    return root || pem_add_certificate(der, &ca->chain);
}

static const char *load(struct ca *ca, const struct text *certificate, const struct text *key)
{
    struct ca_loading loading = {.ca = ca};
    struct private_key private;
    if (!pem_each(text_string(certificate), certificate->size, PEM_CERTIFICATE, load_certificate,
                  &loading) ||
        loading.count == 0)
        return "holds no certificate that can be read (PEM is expected)";
    const struct cert *c = &ca->certificate;
    if (!c->is_ca || !c->can_sign_certs) return "is not a CA certificate";
    if (c->key == CERT_KEY_RSA ? c->bits < POLICY_RSA_BITS_FLOOR : c->group == 0)
        return "has a key that the policy does not allow";
    if (!key_from_pem(text_string(key), key->size, &private))
        return "has a key file that holds no usable private key (PEM, not encrypted)";
    bool same = span_equal(key_spki(&private), c->spki);
    bool decoded = decoded_key_init(&ca->key, &private);
    key_fini(&private);
    if (!decoded) {
        ca->key.type = KEY_NONE;
        return "has a key that cannot be used";
    }
    return same ? NULL : "and its key do not belong together";
}

struct ca *ca_new(const struct text *certificate, const struct text *key, const char *crl_url,
                  const char *name, struct text *errors)
{
    struct ca *ca = calloc(1, sizeof *ca);
    if (!ca) return NULL;
    ca->key.type = KEY_NONE;
    const char *fault = load(ca, certificate, key);
    if (!fault && crl_url && !(ca->crl_url = text_copy(crl_url, strlen(crl_url))))
        fault = "cannot be loaded: out of memory";
    time_t now = time(NULL);
    if (!fault && now > ca->certificate.not_after) fault = "has expired";
    if (!fault && now < ca->certificate.not_before) fault = "is not yet valid";
    if (!fault) return ca;
    text_printf(errors, "%s %s\n", name, fault);
    ca_free(ca);
    return NULL;
}

void ca_free(struct ca *ca)
{
    if (!ca) return;
    if (ca->key.type != KEY_NONE) decoded_key_fini(&ca->key);
    text_fini(&ca->chain);
    free(ca->crl_url);
    free(ca->der);
    free(ca);
}

const struct cert *ca_certificate(const struct ca *ca)
{
    return &ca->certificate;
}

bool ca_mint(struct ca *ca, const char *identity, bool is_ip, const char *also,
             const struct private_key *key, time_t now, struct text *chain,
             struct lifetime *lifetime)
{
    uint8_t serial[16], der[CERT_LIMIT], issuer_id[20];
    const struct cert *issuer = &ca->certificate;
    time_t not_before = now - hour, not_after = now + leaf_lifetime;
    if (not_before < issuer->not_before) not_before = issuer->not_before;
    if (not_after > issuer->not_after) not_after = issuer->not_after;
    struct template t = {.serial = {serial, sizeof serial},
                         .issuer = issuer->subject,
                         .spki = key_spki(key),
                         .authority_key_id = issuer->subject_key_id,
                         .not_before = not_before,
                         .not_after = not_after,
                         .common_name = strlen(identity) <= COMMON_NAME_LIMIT ? identity : NULL,
                         .identity = identity,
                         .also = also,
                         .is_ip = is_ip,
                         .crl_url = ca->crl_url};
    if (t.authority_key_id.n == 0) {
        if (!key_identifier(issuer->spki, issuer_id)) return false;
        t.authority_key_id = (struct span){issuer_id, sizeof issuer_id};
    }
    if (not_after <= now || !random_serial(serial) || !key_identifier(t.spki, t.subject_key_id))
        return false;
    size_t size = write_certificate(&t, &ca->key, der);
    *lifetime = (struct lifetime){not_before, not_after};
    if (size == 0 || !pem_add_certificate((struct span){der, size}, chain)) return false;
    text_add_bytes(chain, text_string(&ca->chain), ca->chain.size);
    return !chain->failed;
}
