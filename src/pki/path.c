#include "pki/path.h"

#include "pki/constraints.h"
#include "pki/name.h"
#include "pki/policies.h"
#include "policy/policy.h"

/* Nobody uses longer exponents, and each bit makes verifying slower. */
enum { EXPONENT_BITS_LIMIT = 64 };

static enum reason judge_dates(const struct cert *c, time_t now)
{
    if (now > c->not_after) return REASON_UPSTREAM_CERTIFICATE_EXPIRED;
    return now < c->not_before ? REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID : REASON_OK;
}

bool path_key_is_weak(const struct cert *c, const struct path_rules *rules)
{
    if (c->key == CERT_KEY_RSA) return c->bits < rules->minimum_rsa_bits;
    if (c->key == CERT_KEY_EC) return c->bits && c->bits < POLICY_EC_BITS_FLOOR;
    return false;
}

bool path_key_is_usable(const struct cert *c)
{
    return c->key != CERT_KEY_RSA ||
           (c->exponent_bits > 1 && c->exponent_bits <= EXPONENT_BITS_LIMIT);
}

/* Versions 1 and 2 have no basicConstraints: such an anchor is a CA because the operator trusts it
 * as one (section 6.1.4 (k)). */
bool path_may_issue(const struct cert *c, bool is_anchor)
{
    bool is_ca = c->is_ca || (is_anchor && c->version < 3);
    return is_ca && c->can_sign_certs;
}

/* pathLenConstraint (section 6.1.4 (l) and (m)): counts the CAs below that are not self-issued. */
static bool length_holds(const struct path *p, size_t at)
{
    int below = 0;
    for (size_t i = 1; i < at; i++) below += !cert_is_self_issued(p->certs[i]);
    int limit = p->certs[at]->path_length;
    return limit == CERT_ABSENT || below <= limit;
}

/* Section 6.1.3 (b), (c): self-issued certificates are exempt, except the leaf. */
static bool constraints_hold(const struct path *p, size_t at)
{
    struct span constraints = p->certs[at]->name_constraints;
    for (size_t i = 0; constraints.n > 0 && i < at; i++)
        if ((i == 0 || !cert_is_self_issued(p->certs[i])) &&
            !constraints_allow(constraints, p->certs[i]))
            return false;
    return true;
}

static const char *fault_of_issuer(const struct path *p, size_t at)
{
    if (!path_may_issue(p->certs[at], at == p->n - 1))
        return "An issuer in its path is not a CA that may sign certificates.";
    if (!name_equal(p->certs[at - 1]->issuer, p->certs[at]->subject))
        return "The names of its path do not chain.";
    if (!length_holds(p, at)) return "Its path is longer than a CA's pathLenConstraint allows.";
    if (!constraints_hold(p, at)) return "A name is outside the name constraints of a CA above it.";
    return NULL;
}

/* The eight suites need an RSA key, or an EC key on an allowed group; the TLS library has a limit.
 */
static bool leaf_key_fits(const struct cert *leaf)
{
    return (leaf->key == CERT_KEY_RSA && leaf->bits <= POLICY_RSA_BITS_CEILING) ||
           (leaf->key == CERT_KEY_EC && leaf->group != 0);
}

static const char *fault_of_purpose(const struct cert *c, enum path_purpose purpose, bool is_leaf)
{
    if (purpose == PATH_SERVER ? c->serves_tls : c->uses_tls) return NULL;
    if (!is_leaf) return "A CA above it is limited to other purposes (extendedKeyUsage).";
    return purpose == PATH_SERVER ? "Its extendedKeyUsage does not have serverAuth."
                                  : "Its extendedKeyUsage does not have clientAuth.";
}

static const char *fault_of(const struct path *p, enum path_purpose purpose)
{
    if (!leaf_key_fits(p->certs[0]))
        return "Its key is neither RSA of up to 4,096 bits nor ECDSA on an allowed group.";
    for (size_t i = 0; i < p->n; i++) {
        const struct cert *c = p->certs[i];
        if (c->has_unknown_critical)
            return "A certificate has a critical extension that is not known here.";
        if (!path_key_is_usable(c)) return "An RSA key has an exponent longer than 64 bits.";
        const char *fault = fault_of_purpose(c, purpose, i == 0);
        if (!fault && i > 0) fault = fault_of_issuer(p, i);
        if (fault) return fault;
    }
    /* It signs the key exchange, or CertificateVerify (RFC 5246 sections 7.4.2, 7.4.8). */
    if (!p->certs[0]->can_sign_data) return "Its keyUsage does not have digitalSignature.";
    return policies_hold(p->certs, p->n)
               ? NULL
               : "A CA demands a certificate policy that its path does not have.";
}

enum reason path_validate(const struct path *p, const struct path_rules *rules, const char **fault)
{
    *fault = NULL;
    for (size_t i = 0; i < p->n; i++) {
        enum reason reason = judge_dates(p->certs[i], rules->now);
        if (reason != REASON_OK) return reason;
    }
    for (size_t i = 0; i < p->n; i++) {
        /* The anchor is trusted as configured: its signature proves nothing. */
        bool weak_signature = i + 1 < p->n && p->certs[i]->signature == CERT_SIGNATURE_WEAK;
        if (weak_signature || path_key_is_weak(p->certs[i], rules))
            return REASON_UPSTREAM_CERTIFICATE_WEAK;
    }
    *fault = fault_of(p, rules->purpose);
    return *fault ? REASON_UPSTREAM_CERTIFICATE_INVALID : REASON_OK;
}
