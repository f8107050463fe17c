#include "pki/trust.h"

#include "base/addr.h"
#include "pki/crl.h"
#include "pki/keys.h"
#include "pki/signature.h"
#include "pki/verified.h"
#include "pki/wolfcrypt.h"

#include <stdlib.h>
#include <string.h>
#include <wolfssl/error-ssl.h>

enum { CHAIN_LIMIT = 10, LINKS_LIMIT = 64 };

struct anchor {
    uint8_t *der;
    struct cert cert;
};

struct trust {
    struct anchor *anchors;
    size_t n;
    struct crl_set *crls;
    unsigned minimum_rsa_bits;
    struct verified verified;
};

static bool add_anchor(void *arg, struct span der)
{
    struct trust *trust = arg;
    struct anchor *more = realloc(trust->anchors, (trust->n + 1) * sizeof *more);
    if (!more) return false;
    trust->anchors = more;
    struct anchor *a = &more[trust->n];
    a->der = malloc(der.n);
    if (!a->der) return false;
    memcpy(a->der, der.p, der.n);
    /* A bundle may hold what cannot be read here; such an anchor just vouches for nothing. */
    if (cert_parse((struct span){a->der, der.n}, &a->cert))
        trust->n++;
    else
        free(a->der);
    return true;
}

struct trust *trust_new(const struct text *anchors, const char *anchors_name,
                        const struct text *crls, const char *crls_name, unsigned minimum_rsa_bits,
                        struct text *errors)
{
    struct trust *trust = calloc(1, sizeof *trust);
    if (!trust) return NULL;
    trust->minimum_rsa_bits = minimum_rsa_bits;
    bool ok = pem_each(text_string(anchors), anchors->size, PEM_CERTIFICATE, add_anchor, trust) &&
              trust->n > 0;
    if (!ok)
        text_printf(errors, "%s holds no CA certificate that can be read (PEM is expected)\n",
                    anchors_name);
    if (ok && crls) {
        trust->crls = crl_set_new(crls, crls_name, errors);
        ok = trust->crls != NULL;
    }
    if (ok) return trust;
    trust_free(trust);
    return NULL;
}

void trust_free(struct trust *trust)
{
    if (!trust) return;
    for (size_t i = 0; i < trust->n; i++) free(trust->anchors[i].der);
    free(trust->anchors);
    crl_set_free(trust->crls);
    free(trust);
}

time_t trust_crl_expiry(const struct trust *trust)
{
    return crl_first_expiry(trust->crls);
}

void cert_facts_fini(struct cert_facts *facts)
{
    free(facts->subject);
    free(facts->issuer);
    *facts = (struct cert_facts){0};
}

static char *copy_or_null(const char *s)
{
    return s ? text_copy(s, strlen(s)) : NULL;
}

bool cert_facts_copy(struct cert_facts *to, const struct cert_facts *from)
{
    *to = *from;
    to->subject = copy_or_null(from->subject);
    to->issuer = copy_or_null(from->issuer);
    return (to->subject || !from->subject) && (to->issuer || !from->issuer);
}

static char *name_text(struct span name)
{
    struct text t = {0};
    cert_format_name(name, &t);
    return text_take(&t);
}

static void note_facts(struct peer_check *check, struct span der)
{
    struct cert leaf;
    uint8_t digest[32];
    struct cert_facts *facts = &check->facts;
    if (facts->present || !cert_parse(der, &leaf) || !digest_sha256(der.p, der.n, digest)) return;
    facts->present = true;
    facts->subject = name_text(leaf.subject);
    facts->issuer = name_text(leaf.issuer);
    facts->not_before = leaf.not_before;
    facts->not_after = leaf.not_after;
    text_hex(digest, sizeof digest, facts->sha256);
}

static const struct anchor *anchor_equal(const struct trust *trust, struct span der)
{
    for (size_t i = 0; i < trust->n; i++)
        if (span_equal(trust->anchors[i].cert.der, der)) return &trust->anchors[i];
    return NULL;
}

static bool key_is_weak(const struct trust *trust, const struct cert *c)
{
    if (c->key == CERT_KEY_RSA) return c->bits < trust->minimum_rsa_bits;
    if (c->key == CERT_KEY_EC) return c->bits && c->bits < POLICY_EC_BITS_FLOOR;
    return false;
}

/* One search for a path from the leaf to an anchor through what this upstream sent. */
struct search {
    const struct peer_check *check;
    const struct cert *certs;
    size_t n;
    time_t now;
    time_t valid_until;
    unsigned budget; /* links still to be looked at: bounds what a crafted chain can cost */
};

static enum reason judge_dates(const struct cert *c, time_t now)
{
    if (now > c->not_after) return REASON_UPSTREAM_CERTIFICATE_EXPIRED;
    return now < c->not_before ? REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID : REASON_OK;
}

static enum reason judge_link(struct search *s, const struct cert *c, const struct cert *issuer)
{
    const struct trust *trust = s->check->trust;
    enum reason reason = judge_dates(issuer, s->now);
    if (reason != REASON_OK) return reason;
    if (key_is_weak(trust, c) || key_is_weak(trust, issuer) || c->signature == CERT_SIGNATURE_WEAK)
        return REASON_UPSTREAM_CERTIFICATE_WEAK;
    time_t until = c->not_after < issuer->not_after ? c->not_after : issuer->not_after;
    switch (crl_check(trust->crls, c, issuer, s->now, &until)) {
    case CRL_REVOKED:
        return REASON_UPSTREAM_CERTIFICATE_REVOKED;
    case CRL_UNKNOWN:
        return REASON_UPSTREAM_REVOCATION_UNKNOWN;
    case CRL_PASS:
        break;
    }
    /* Links of paths that lead nowhere only make this earlier. */
    if (until < s->valid_until) s->valid_until = until;
    return REASON_OK;
}

/* How many could have issued it, by name. */
static size_t candidates(const struct search *s, const struct cert *c)
{
    size_t count = 0;
    for (size_t i = 0; i < s->check->trust->n; i++)
        count += span_equal(c->issuer, s->check->trust->anchors[i].cert.subject);
    for (size_t i = 1; i < s->n; i++) count += span_equal(c->issuer, s->certs[i].subject);
    return count;
}

static bool signed_by(struct trust *trust, const struct cert *c, const struct cert *issuer)
{
    uint8_t digest[VERIFIED_DIGEST];
    bool memory = verified_digest(issuer->spki, c->der, (struct span){0}, digest);
    if (memory && verified_before(&trust->verified, digest)) return true;
    if (!signature_valid(c->tbs, c->signature_algorithm, c->signature_bits, issuer)) return false;
    if (memory) verified_note(&trust->verified, digest);
    return true;
}

/* The library has verified the leaf, so where one candidate exists it was that one's key. It
 * passes over intermediates it cannot verify: their links are always verified here. */
static bool link_holds(const struct search *s, const struct cert *c, const struct cert *issuer)
{
    if (!cert_issued_by(c, issuer)) return false;
    bool library_did = c == &s->certs[0] && !s->check->overrode && candidates(s, c) == 1;
    return library_did || signed_by(s->check->trust, c, issuer);
}

/* The better of two answers to be told: that there is a path with a fault says more than that
 * there is none. */
static enum reason worse_known(enum reason before, enum reason now)
{
    return before == REASON_UPSTREAM_CERTIFICATE_UNTRUSTED ? now : before;
}

static enum reason search_path(struct search *s, const struct cert *c, size_t depth)
{
    enum reason found = REASON_UPSTREAM_CERTIFICATE_UNTRUSTED;
    const struct trust *trust = s->check->trust;
    if (anchor_equal(trust, c->der)) return judge_dates(c, s->now);
    for (size_t i = 0; i < trust->n; i++) {
        const struct cert *anchor = &trust->anchors[i].cert;
        if (s->budget == 0 || !link_holds(s, c, anchor)) continue;
        s->budget--;
        enum reason reason = judge_link(s, c, anchor);
        if (reason == REASON_OK) return REASON_OK;
        found = worse_known(found, reason);
    }
    for (size_t i = 1; i < s->n && depth < s->n; i++) {
        const struct cert *issuer = &s->certs[i];
        if (issuer == c || s->budget == 0 || !issuer->is_ca || !issuer->can_sign_certs ||
            !link_holds(s, c, issuer))
            continue;
        s->budget--;
        enum reason reason = judge_link(s, c, issuer);
        if (reason == REASON_OK) reason = search_path(s, issuer, depth + 1);
        if (reason == REASON_OK) return REASON_OK;
        found = worse_known(found, reason);
    }
    return found;
}

static bool name_matches(const struct peer_check *check, const struct cert *leaf)
{
    struct addr ip;
    if (!check->is_ip) return cert_matches_name(leaf, check->identity);
    return addr_from_ip(check->identity, 0, &ip) && cert_matches_ip(leaf, &ip);
}

static enum reason judge_chain(struct peer_check *check, const struct span *chain, size_t n)
{
    struct cert certs[CHAIN_LIMIT];
    if (n == 0 || n > CHAIN_LIMIT) return REASON_UPSTREAM_CERTIFICATE_INVALID;
    for (size_t i = 0; i < n; i++)
        if (!cert_parse(chain[i], &certs[i])) return REASON_UPSTREAM_CERTIFICATE_INVALID;
    struct search search = {.check = check,
                            .certs = certs,
                            .n = n,
                            .now = time(NULL),
                            .valid_until = certs[0].not_after,
                            .budget = LINKS_LIMIT};
    enum reason reason = search_path(&search, &certs[0], 0);
    if (reason != REASON_OK) return reason;
    check->facts.valid_until = search.valid_until;
    return name_matches(check, &certs[0]) ? REASON_OK : REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH;
}

enum reason trust_reason_of_error(int error)
{
    switch (error) {
    case ASN_AFTER_DATE_E:
        return REASON_UPSTREAM_CERTIFICATE_EXPIRED;
    case ASN_BEFORE_DATE_E:
        return REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID;
    case ASN_NO_SIGNER_E:
    case ASN_SELF_SIGNED_E:
        return REASON_UPSTREAM_CERTIFICATE_UNTRUSTED;
    case DOMAIN_NAME_MISMATCH:
    case IPADDR_MISMATCH:
        return REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH;
    case HASH_TYPE_E:
    case RSA_KEY_SIZE_E:
    case ECC_KEY_SIZE_E:
        return REASON_UPSTREAM_CERTIFICATE_WEAK;
    case NOT_CA_ERROR:
    case KEYUSAGE_E:
    case EXTKEYUSAGE_E:
    case VERIFY_CERT_ERROR:
    case MAX_CHAIN_ERROR:
    case NO_PEER_CERT:
        return REASON_UPSTREAM_CERTIFICATE_INVALID;
    case ASN_NAME_INVALID_E:
    case ASN_PATHLEN_SIZE_E:
    case ASN_PATHLEN_INV_E:
        return REASON_UPSTREAM_CERTIFICATE_INVALID;
    default:
        /* The errors of parsing lie in one range. */
        return error <= ASN_PARSE_E && error >= ASN_CRIT_EXT_E ? REASON_UPSTREAM_CERTIFICATE_INVALID
                                                               : REASON_OK;
    }
}

static enum reason reason_of_error(const struct peer_check *check, int error, struct span der)
{
    struct cert c;
    enum reason reason = trust_reason_of_error(error);
    if (reason == REASON_UPSTREAM_CERTIFICATE_EXPIRED ||
        reason == REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID)
        return reason;
    /* What the library cannot verify because it is weak fails under various names. */
    if (cert_parse(der, &c) &&
        (key_is_weak(check->trust, &c) || c.signature == CERT_SIGNATURE_WEAK))
        return REASON_UPSTREAM_CERTIFICATE_WEAK;
    return reason == REASON_OK ? REASON_UPSTREAM_CERTIFICATE_INVALID : reason;
}

bool trust_judge(struct peer_check *check, const struct span *chain, size_t n, size_t depth,
                 int error)
{
    check->called = true;
    if (n > 0) note_facts(check, chain[0]);
    if (check->reason != REASON_OK || depth >= n) return false;
    /* An upstream that sends its own root along: the anchor is trusted for being here, its
     * signature says nothing. */
    bool own_root = error == HASH_TYPE_E && anchor_equal(check->trust, chain[depth]);
    /* One that is out of date may not be needed: the search looks at dates and signatures. */
    bool date = error == ASN_AFTER_DATE_E || error == ASN_BEFORE_DATE_E;
    if (depth > 0 && (own_root || date)) {
        check->overrode = true;
        return true;
    }
    if (error != 0)
        check->reason = reason_of_error(check, error, chain[depth]);
    else if (depth == 0)
        check->reason = judge_chain(check, chain, n);
    if (check->reason == REASON_OK && depth == 0) check->verified = true;
    return check->reason == REASON_OK;
}

int trust_verify_ecdsa(struct peer_check *check, struct span key, struct span hash,
                       struct span signature, bool *good)
{
    uint8_t digest[VERIFIED_DIGEST];
    /* Once the chain is judged it is the key exchange's own signature, which never recurs. */
    bool certificate = !check->verified && verified_digest(key, hash, signature, digest);
    *good = certificate && verified_before(&check->trust->verified, digest);
    if (*good) return 0;
    word32 index = 0;
    ecc_key decoded;
    int fault = wc_ecc_init(&decoded), result = 0;
    if (fault) return fault;
    fault = wc_EccPublicKeyDecode(key.p, &index, &decoded, (word32)key.n);
    if (!fault)
        fault = wc_ecc_verify_hash(signature.p, (word32)signature.n, hash.p, (word32)hash.n,
                                   &result, &decoded);
    wc_ecc_free(&decoded);
    *good = !fault && result == 1;
    if (*good && certificate) verified_note(&check->trust->verified, digest);
    return fault;
}
