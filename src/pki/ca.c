#include "pki/ca.h"

#include "base/clock.h"
#include "pki/constraints.h"
#include "pki/issue.h"
#include "pki/signature.h"
#include "pki/signing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COMMON_NAME_LIMIT = 64, /* RFC 5280 appendix A.1, ub-common-name */ DAY = 86400 };

static const char out_of_memory[] = "cannot be loaded: out of memory";
static const uint16_t ecdsa_sha256 = 0x0403, rsa_pkcs1_sha256 = 0x0401; /* RFC 8446 section 4.2.3 */
static const time_t hour = 3600;
static const time_t leaf_lifetime = (time_t)30 * DAY;
static const time_t root_lifetime = (time_t)3650 * DAY;

struct ca {
    uint8_t *der; /* the issuing certificate */
    struct cert certificate;
    struct text chain;            /* PEM of it and its intermediates; empty for a root */
    struct signing_key *key;      /* NULL: not here */
    uint8_t key_id[ISSUE_KEY_ID]; /* its own, if its certificate has none */
    char *crl_url, *issuer_url;
};

/* A unique name: two CAs with one name confuse clients. */
static bool name_ca(const char *what, time_t now, char out[COMMON_NAME_LIMIT + 1])
{
    char host[65] = "", date[CLOCK_TEXT_SIZE];
    uint8_t random[3];
    if (!random_bytes(random, sizeof random)) return false;
    gethostname(host, sizeof host - 1);
    clock_format_seconds(now, date);
    int n = snprintf(out, COMMON_NAME_LIMIT + 1, "suitegate %s %.10s %02x%02x%02x ", what, date,
                     random[0], random[1], random[2]);
    strncpy(out + n, host, COMMON_NAME_LIMIT - (size_t)n);
    out[COMMON_NAME_LIMIT] = '\0';
    return true;
}

bool ca_create(enum key_type type, unsigned rsa_bits, int path_length, struct span constraints,
               time_t now, struct text *certificate, struct text *key)
{
    struct private_key private = {0};
    uint8_t der[ISSUE_LIMIT];
    char name[COMMON_NAME_LIMIT + 1];
    if (!key_generate(type, rsa_bits, &private)) return false;
    struct signing_key *signer = signing_key_new(&private);
    struct issue t = {.spki = key_spki(&private),
                      .not_before = now - hour,
                      .not_after = now + root_lifetime,
                      .common_name = name,
                      .organization = "suitegate",
                      .is_ca = true,
                      .path_length = path_length,
                      .constraints = constraints};
    bool ok = signer && name_ca("local CA", now, name);
    size_t size = ok ? issue_certificate(&t, signer, der) : 0;
    ok = size > 0 && pem_add_certificate((struct span){der, size}, certificate) &&
         key_to_pem(&private, key);
    signing_key_free(signer);
    key_fini(&private);
    return ok;
}

static struct span own_key_id(const struct ca *ca)
{
    struct span id = ca->certificate.subject_key_id;
    return id.n > 0 ? id : (struct span){ca->key_id, sizeof ca->key_id};
}

/* What every certificate of this CA has. It begins an hour ago, ends after `lifetime`, and is never
 * valid when the CA is not. */
static struct issue issue_below(const struct ca *ca, time_t now, time_t lifetime)
{
    const struct cert *c = &ca->certificate;
    time_t begins = now - hour, ends = now + lifetime;
    return (struct issue){.issuer = c->subject,
                          .issuer_key_id = own_key_id(ca),
                          .not_before = begins < c->not_before ? c->not_before : begins,
                          .not_after = ends > c->not_after ? c->not_after : ends,
                          .crl_url = ca->crl_url,
                          .issuer_url = ca->issuer_url,
                          .serves_tls = true};
}

bool ca_create_issuing(struct ca *root, enum key_type type, const struct ca_urls *urls, time_t now,
                       struct text *pem)
{
    struct private_key private = {0};
    uint8_t der[ISSUE_LIMIT];
    char name[COMMON_NAME_LIMIT + 1];
    if (!key_generate(type, CA_ISSUING_BITS, &private)) return false;
    struct issue t = issue_below(root, now, (time_t)CA_ISSUING_DAYS * DAY);
    t.spki = key_spki(&private);
    t.common_name = name;
    t.organization = "suitegate";
    t.is_ca = true;
    t.path_length = 0;
    t.constraints = root->certificate.name_constraints;
    t.crl_url = urls->crl;
    t.issuer_url = urls->issuer;
    const char *what = type == KEY_ECDSA ? "issuing CA (ECDSA)" : "issuing CA (RSA)";
    bool ok = t.not_after > now && name_ca(what, now, name);
    size_t size = ok ? issue_certificate(&t, root->key, der) : 0;
    ok =
        size > 0 && pem_add_certificate((struct span){der, size}, pem) && key_to_pem(&private, pem);
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

static bool copy_url(const char *url, char **out)
{
    *out = url ? text_copy(url, strlen(url)) : NULL;
    return *out || !url;
}

static const char *load_key(struct ca *ca, const struct ca_key *key)
{
    const struct cert *c = &ca->certificate;
    struct private_key private;
    if (key->token) {
        ca->key = signing_key_of_token(key->token);
        bool alike = (token_key_type(key->token) == KEY_RSA) == (c->key == CERT_KEY_RSA);
        return !alike ? "and its key do not belong together" : ca->key ? NULL : out_of_memory;
    }
    if (!key->pem) return NULL;
    if (!key_from_pem(text_string(key->pem), key->pem->size, &private))
        return "has a key file that holds no usable private key (PEM, not encrypted)";
    bool same = span_equal(key_spki(&private), c->spki);
    ca->key = signing_key_new(&private);
    key_fini(&private);
    if (!ca->key) return "has a key that cannot be used";
    return same ? NULL : "and its key do not belong together";
}

static const char *load(struct ca *ca, const struct text *certificate, const struct ca_key *key)
{
    struct ca_loading loading = {.ca = ca};
    if (!pem_each(text_string(certificate), certificate->size, PEM_CERTIFICATE, load_certificate,
                  &loading) ||
        loading.count == 0)
        return "holds no certificate that can be read (PEM is expected)";
    const struct cert *c = &ca->certificate;
    if (!c->is_ca || !c->can_sign_certs) return "is not a CA certificate";
    if (c->key == CERT_KEY_RSA ? c->bits < POLICY_RSA_BITS_FLOOR : c->group == 0)
        return "has a key that the policy does not allow";
    if (!issue_key_id(c->spki, ca->key_id)) return "has a key that cannot be used";
    return load_key(ca, key);
}

struct ca *ca_new(const struct text *certificate, struct ca_key key, const struct ca_urls *urls,
                  const char *name, struct text *errors)
{
    struct ca *ca = calloc(1, sizeof *ca);
    if (!ca) return NULL;
    const char *fault = load(ca, certificate, &key);
    if (!fault && !(copy_url(urls->crl, &ca->crl_url) && copy_url(urls->issuer, &ca->issuer_url)))
        fault = out_of_memory;
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
    signing_key_free(ca->key);
    text_fini(&ca->chain);
    free(ca->crl_url);
    free(ca->issuer_url);
    free(ca->der);
    free(ca);
}

bool ca_can_sign(const struct ca *ca)
{
    return ca->key != NULL;
}

bool ca_key_fits(struct ca *ca)
{
    static const uint8_t data[] = "suitegate tries this key";
    uint8_t signature[SIGNING_SIZE];
    struct signing_request request = {.key = signing_key_type(ca->key), .size = 32};
    if (!digest_sha256(data, sizeof data, request.digest)) return false;
    size_t n = signing_key_sign(ca->key, &request, signature);
    const uint16_t scheme = request.key == KEY_ECDSA ? ecdsa_sha256 : rsa_pkcs1_sha256;
    return n > 0 && signature_of_scheme_valid(scheme, (struct span){data, sizeof data},
                                              (struct span){signature, n}, &ca->certificate);
}

const struct cert *ca_certificate(const struct ca *ca)
{
    return &ca->certificate;
}

bool ca_permits(const struct ca *ca, const char *identity, bool is_ip)
{
    uint8_t names[512];
    static const uint8_t no_subject[] = {DER_SEQUENCE, 0};
    struct cert leaf = {.subject = {no_subject, sizeof no_subject}};
    if (ca->certificate.name_constraints.n == 0) return true;
    return issue_names(identity, is_ip, NULL, names, sizeof names, &leaf.san) &&
           constraints_allow(ca->certificate.name_constraints, &leaf);
}

/* Clients hold a common name of digits and dots against the DNS names of name constraints, too. */
static bool may_be_common_name(const struct ca *ca, const char *identity, bool is_ip)
{
    return strlen(identity) <= COMMON_NAME_LIMIT &&
           !(is_ip && ca->certificate.name_constraints.n > 0);
}

bool ca_mint(struct ca *ca, const char *identity, bool is_ip, const char *also,
             const struct private_key *key, time_t now, struct text *chain,
             struct lifetime *lifetime)
{
    uint8_t der[ISSUE_LIMIT];
    struct issue t = issue_below(ca, now, leaf_lifetime);
    t.spki = key_spki(key);
    t.common_name = may_be_common_name(ca, identity, is_ip) ? identity : NULL;
    t.identity = identity;
    t.also = also;
    t.is_ip = is_ip;
    *lifetime = (struct lifetime){t.not_before, t.not_after};
    size_t size = t.not_after > now ? issue_certificate(&t, ca->key, der) : 0;
    if (size == 0 || !pem_add_certificate((struct span){der, size}, chain)) return false;
    text_add_bytes(chain, text_string(&ca->chain), ca->chain.size);
    return !chain->failed;
}

bool ca_crl(struct ca *ca, time_t now, unsigned days, struct text *out)
{
    uint8_t der[ISSUE_LIMIT];
    time_t ends = now + (time_t)days * DAY;
    struct issue_crl t = {.issuer = ca->certificate.subject,
                          .issuer_key_id = own_key_id(ca),
                          .number = (uint64_t)now,
                          .this_update = now - hour,
                          .next_update = ends};
    size_t size = issue_crl(&t, ca->key, der);
    text_add_bytes(out, der, size);
    return size > 0 && !out->failed;
}
