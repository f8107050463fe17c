#include "pki/trust.h"

#include "base/addr.h"
#include "pki/crl.h"
#include "pki/keys.h"
#include "pki/name.h"
#include "pki/path.h"
#include "pki/signature.h"
#include "pki/verified.h"
#include "pki/wolfcrypt.h"

#include <stdlib.h>
#include <string.h>
#include <wolfssl/error-ssl.h>

enum {
    /* Signatures computed for one chain, failed ones included, by their cost, and links examined:
     * bounds what a crafted chain can cost. */
    SIGNATURES_LIMIT = 24,
    LINKS_LIMIT = 256,
    CANDIDATES_LIMIT = 64, /* issuers of one certificate by name */
};

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
    /* A bundle may hold certificates that cert_parse() refuses: skip them. */
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

time_t trust_anchor_expiry(const struct trust *trust)
{
    time_t first = trust->anchors[0].cert.not_after;
    for (size_t i = 1; i < trust->n; i++)
        if (trust->anchors[i].cert.not_after < first) first = trust->anchors[i].cert.not_after;
    return first;
}

time_t trust_crl_expiry(const struct trust *trust)
{
    return crl_first_expiry(trust->crls);
}

struct strange {
    const struct trust *trust;
    struct text *out;
};

static void add_if_strange(void *arg, struct span issuer)
{
    const struct strange *s = arg;
    for (size_t i = 0; i < s->trust->n; i++)
        if (name_equal(s->trust->anchors[i].cert.subject, issuer)) return;
    name_format(issuer, s->out);
    text_add(s->out, "\n");
}

void trust_strange_crls(const struct trust *trust, struct text *out)
{
    struct strange strange = {trust, out};
    crl_each_issuer(trust->crls, add_if_strange, &strange);
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
    name_format(name, &t);
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
    size_t n = leaf.serial.n < CERT_SERIAL_LIMIT ? leaf.serial.n : CERT_SERIAL_LIMIT;
    text_hex(leaf.serial.p, n, facts->serial);
    facts->key = leaf.key;
    facts->not_before = leaf.not_before;
    facts->not_after = leaf.not_after;
    text_hex(digest, sizeof digest, facts->sha256);
}

static const struct cert *anchor_equal(const struct trust *trust, struct span der)
{
    for (size_t i = 0; i < trust->n; i++)
        if (span_equal(trust->anchors[i].cert.der, der)) return &trust->anchors[i].cert;
    return NULL;
}

struct link {
    const struct cert *c, *issuer;
};

/* One search for a path from the leaf to an anchor through what this upstream sent. */
struct search {
    struct trust *trust;
    const struct cert *certs; /* the leaf, then the others, in any order */
    size_t n;
    struct path_rules rules;
    struct path path;
    unsigned signatures, links; /* still allowed */
    struct link bad[SIGNATURES_LIMIT];
    size_t bad_count;
    unsigned weak_links; /* in the path; their signatures are not computed */
    bool only_weak;      /* a path was found, but with a weak link */
    enum reason reason;  /* of the paths so far */
    const char *fault;   /* details, or NULL */
    time_t valid_until;  /* of the path that was found */
};

static bool is_known_bad(const struct search *s, const struct cert *c, const struct cert *issuer)
{
    for (size_t i = 0; i < s->bad_count; i++)
        if (s->bad[i].c == c && s->bad[i].issuer == issuer) return true;
    return false;
}

/* About what a signature costs, in those of RSA and P-256. */
static unsigned cost_of(const struct cert *issuer)
{
    if (issuer->key != CERT_KEY_EC || issuer->bits <= 256) return 1;
    return issuer->bits <= 384 ? 3 : 6;
}

static bool take_signature(struct search *s, const struct cert *issuer)
{
    unsigned cost = cost_of(issuer);
    if (s->signatures < cost) return false;
    s->signatures -= cost;
    return true;
}

static bool signed_by(struct search *s, const struct cert *c, const struct cert *issuer)
{
    uint8_t digest[VERIFIED_DIGEST];
    if (is_known_bad(s, c, issuer)) return false;
    bool memory = verified_digest(issuer->spki, c->der, (struct span){0}, digest);
    if (memory && verified_before(&s->trust->verified, digest)) return true;
    if (!take_signature(s, issuer)) return false;
    if (!signature_valid(c->tbs, c->signature_algorithm, c->signature_bits, issuer)) {
        s->bad[s->bad_count++] = (struct link){c, issuer};
        return false;
    }
    if (memory) verified_note(&s->trust->verified, digest);
    return true;
}

/* A path with a weak link is refused for that, so its signature is not computed. It counts against
 * the limit all the same. */
static bool link_is_weak(const struct search *s, const struct cert *c, const struct cert *issuer)
{
    return c->signature == CERT_SIGNATURE_WEAK || path_key_is_weak(issuer, &s->rules);
}

/* A second certificate with the same subject and key cannot improve a path. */
static bool is_in_path(const struct search *s, const struct cert *c)
{
    for (size_t i = 0; i < s->path.n; i++)
        if (span_equal(s->path.certs[i]->spki, c->spki) &&
            name_equal(s->path.certs[i]->subject, c->subject))
            return true;
    return false;
}

/* Checks every link's CRL, and finds the earliest end of all that this answer depends on. */
static enum reason ask_crls(struct search *s)
{
    time_t until = s->path.certs[0]->not_after;
    for (size_t i = 0; i + 1 < s->path.n; i++) {
        const struct cert *c = s->path.certs[i], *issuer = s->path.certs[i + 1];
        if (issuer->not_after < until) until = issuer->not_after;
        switch (crl_check(s->trust->crls, c, issuer, s->rules.now, &until)) {
        case CRL_REVOKED:
            return REASON_UPSTREAM_CERTIFICATE_REVOKED;
        case CRL_UNKNOWN:
            return REASON_UPSTREAM_REVOCATION_UNKNOWN;
        case CRL_PASS:
            break;
        }
    }
    s->valid_until = until;
    return REASON_OK;
}

/* The path has reached an anchor. Of several faulty paths the first one is reported. One with a
 * weak link may be forged, so it is reported as weak only, and only if there is no other. */
static bool path_passes(struct search *s)
{
    const char *fault;
    bool nothing_yet = s->reason == REASON_UPSTREAM_CERTIFICATE_UNTRUSTED;
    if (s->weak_links > 0) {
        if (nothing_yet) s->only_weak = true;
        return false;
    }
    enum reason reason = path_validate(&s->path, &s->rules, &fault);
    if (reason == REASON_OK) reason = ask_crls(s);
    if (reason == REASON_OK || nothing_yet) {
        s->reason = reason;
        s->fault = fault;
    }
    return reason == REASON_OK;
}

/* Possible issuers of a certificate, in the order in which they are tried: a matching key
 * identifier (RFC 5280 section 4.2.1.1), then none, then another one; anchors first in each.
 * Identifiers are only a hint: the signature decides. */
struct candidate {
    const struct cert *cert;
    bool is_anchor;
    unsigned rank;
};

struct candidates {
    struct candidate list[CANDIDATES_LIMIT];
    size_t n;
};

static void consider(struct candidates *all, const struct cert *c, const struct cert *issuer,
                     bool is_anchor)
{
    if (c->issuer_hash != issuer->subject_hash || !name_equal(c->issuer, issuer->subject) ||
        !path_key_is_usable(issuer) || all->n == CANDIDATES_LIMIT)
        return;
    unsigned rank = span_equal(c->authority_key_id, issuer->subject_key_id) ? 0 : 2;
    if (c->authority_key_id.n == 0 || issuer->subject_key_id.n == 0) rank = 1;
    if (!path_may_issue(issuer, is_anchor)) rank = 3; /* never passes, but explains why */
    size_t at = all->n++;
    for (; at > 0 && all->list[at - 1].rank > rank; at--) all->list[at] = all->list[at - 1];
    all->list[at] = (struct candidate){issuer, is_anchor, rank};
}

static void find_candidates(const struct search *s, const struct cert *c, struct candidates *all)
{
    for (size_t i = 0; i < s->trust->n; i++) consider(all, c, &s->trust->anchors[i].cert, true);
    for (size_t i = 1; i < s->n; i++) consider(all, c, &s->certs[i], false);
}

/* Depth first. */
static bool extend(struct search *s)
{
    const struct cert *c = s->path.certs[s->path.n - 1];
    struct candidates all = {.n = 0};
    find_candidates(s, c, &all);
    for (size_t i = 0; i < all.n; i++) {
        const struct cert *issuer = all.list[i].cert;
        if (s->links == 0 || s->path.n == PATH_LIMIT) return false;
        if (is_in_path(s, issuer)) continue;
        s->links--;
        bool weak = link_is_weak(s, c, issuer);
        if (weak ? !take_signature(s, issuer) : !signed_by(s, c, issuer)) continue;
        s->weak_links += weak;
        s->path.certs[s->path.n++] = issuer;
        if (all.list[i].is_anchor ? path_passes(s) : extend(s)) return true;
        s->path.n--;
        s->weak_links -= weak;
    }
    return false;
}

/* A leaf that is itself an anchor: its issuer may still have revoked it. */
static enum reason ask_crls_of_pinned(struct search *s)
{
    const struct cert *leaf = &s->certs[0];
    struct candidates all = {.n = 0};
    find_candidates(s, leaf, &all);
    for (size_t i = 0; i < all.n; i++) {
        if (link_is_weak(s, leaf, all.list[i].cert) || !signed_by(s, leaf, all.list[i].cert))
            continue;
        s->path = (struct path){.certs = {leaf, all.list[i].cert}, .n = 2};
        enum reason reason = ask_crls(s);
        if (reason != REASON_OK) return reason;
    }
    return REASON_OK;
}

static enum reason search_path(struct search *s)
{
    const struct cert *leaf = &s->certs[0];
    s->path = (struct path){.certs = {leaf}, .n = 1};
    s->reason = REASON_UPSTREAM_CERTIFICATE_UNTRUSTED;
    if (!anchor_equal(s->trust, leaf->der))
        extend(s);
    else if (path_passes(s))
        s->reason = ask_crls_of_pinned(s);
    bool untrusted = s->reason == REASON_UPSTREAM_CERTIFICATE_UNTRUSTED;
    if (untrusted && (s->only_weak || path_key_is_weak(leaf, &s->rules)))
        return REASON_UPSTREAM_CERTIFICATE_WEAK;
    return s->reason;
}

static bool name_matches(const struct peer_check *check, const struct cert *leaf)
{
    struct addr ip;
    if (check->purpose == PATH_CLIENT) return true;
    if (!check->is_ip) return cert_matches_name(leaf, check->identity);
    return addr_from_ip(check->identity, 0, &ip) && cert_matches_ip(leaf, &ip);
}

/* A further certificate that RFC 5280 does not allow is ignored; bytes that are not a certificate
 * make the list malformed (RFC 5246 section 7.4.2). */
static enum reason judge_chain(struct peer_check *check, const struct span *chain, size_t n)
{
    struct cert certs[FLIGHT_CHAIN_LIMIT];
    if (n == 0 || n > FLIGHT_CHAIN_LIMIT || !cert_parse(chain[0], &certs[0]))
        return REASON_UPSTREAM_CERTIFICATE_INVALID;
    struct search search = {.trust = check->trust,
                            .certs = certs,
                            .n = 1,
                            .rules = {.now = time(NULL),
                                      .minimum_rsa_bits = check->trust->minimum_rsa_bits,
                                      .purpose = check->purpose},
                            .signatures = SIGNATURES_LIMIT,
                            .links = LINKS_LIMIT};
    for (size_t i = 1; i < n; i++) {
        if (!cert_has_shape(chain[i])) return REASON_UPSTREAM_CERTIFICATE_INVALID;
        search.n += cert_parse(chain[i], &certs[search.n]);
    }
    enum reason reason = search_path(&search);
    check->fault = search.fault;
    if (reason != REASON_OK) return reason;
    check->facts.valid_until = search.valid_until;
    return name_matches(check, &certs[0]) ? REASON_OK : REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH;
}

bool trust_judge(struct peer_check *check, const struct span *chain, size_t n)
{
    if (check->called) return check->verified;
    check->called = true;
    if (n > 0) note_facts(check, chain[0]);
    check->reason = judge_chain(check, chain, n);
    check->verified = check->reason == REASON_OK;
    return check->verified;
}

enum reason trust_reason_of_error(int error)
{
    switch (error) {
    case MAX_CHAIN_ERROR:
    case NO_PEER_CERT:
    case PEER_KEY_ERROR:
    case NO_PEER_KEY:
        return REASON_UPSTREAM_CERTIFICATE_INVALID;
    default:
        /* Parsing errors are one range. */
        return error <= ASN_PARSE_E && error >= ASN_CRIT_EXT_E ? REASON_UPSTREAM_CERTIFICATE_INVALID
                                                               : REASON_OK;
    }
}
