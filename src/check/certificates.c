/* Judges a server's certificates, with sentences that name the cause. */
#include "certificates.h"
#include "base/clock.h"
#include "pki/name.h"

#include <string.h>
#include <time.h>

enum { EXPIRES_SOON_S = 30 * 86400, NAMES_SHOWN = 5 };

static const char *const keys[SCAN_KEYS] = {"ECDSA", "RSA", "other"};

/* Was a real handshake tried with a suite of this type of key? */
static bool asked_with(const struct scan *s, size_t key)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (s->approved[i].asked && suites[i].key == (enum key_type)key) return true;
    return false;
}

static bool key_is_short(const struct cert *c)
{
    return (c->key == CERT_KEY_RSA && c->bits < POLICY_RSA_BITS_FLOOR) ||
           (c->key == CERT_KEY_EC && c->bits && c->bits < POLICY_EC_BITS_FLOOR);
}

static bool is_weak(const struct cert *c)
{
    return c->signature == CERT_SIGNATURE_WEAK || key_is_short(c);
}

bool judge_key_is_foreign(const struct scan_certificate *c)
{
    struct cert leaf;
    if (c->count == 0 || !cert_parse(c->chain[0], &leaf)) return false;
    return leaf.key == CERT_KEY_OTHER ||
           (leaf.key == CERT_KEY_EC && leaf.group == 0 && !key_is_short(&leaf));
}

static void add_name(struct text *out, struct span name)
{
    struct text plain = {0};
    name_format(name, &plain);
    text_add_visible(out, text_string(&plain), 120);
    text_fini(&plain);
}

static void add_day(struct text *out, time_t t)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format_seconds(t, when);
    text_printf(out, "%.10s", when);
}

struct names {
    struct text *out;
    size_t n;
};

static void add_san(void *arg, const char *name)
{
    struct names *names = arg;
    if (names->n < NAMES_SHOWN) {
        text_add(names->out, names->n ? ", " : "; it is for ");
        text_add_visible(names->out, name, 120);
    }
    names->n++;
}

static void explain_names(const struct cert *leaf, struct text *out)
{
    struct names names = {out, 0};
    cert_each_name(leaf, add_san, &names);
    if (names.n > NAMES_SHOWN) text_printf(out, " and %zu more", names.n - NAMES_SHOWN);
    if (names.n == 0)
        text_add(out, "; it has no host as subjectAltName, and its common name does not count");
}

static bool is_self_signed(const struct cert *c)
{
    return cert_issued_by(c, c);
}

/* The certificates sent, and the path in them from the leaf to the last issuer found. */
struct chain {
    struct cert certs[REPLY_CERTIFICATES];
    size_t n;
    const struct cert *path[REPLY_CERTIFICATES];
    size_t length;
};

static void read_chain(const struct scan_certificate *c, struct chain *out)
{
    *out = (struct chain){.n = 0};
    while (out->n < c->count && cert_parse(c->chain[out->n], &out->certs[out->n])) out->n++;
    const struct cert *next = out->n > 0 ? &out->certs[0] : NULL;
    while (next && out->length < out->n) {
        const struct cert *last = out->path[out->length++] = next;
        next = NULL;
        for (size_t i = 1; i < out->n && !next && !is_self_signed(last); i++)
            if (&out->certs[i] != last && cert_issued_by(last, &out->certs[i]))
                next = &out->certs[i];
    }
}

/* Where a chain ends that does not lead to a trusted CA. */
static void explain_trust(const struct chain *chain, struct text *out)
{
    const struct cert *last = chain->path[chain->length - 1];
    for (size_t i = 1; i < chain->length; i++) {
        const struct cert *issuer = chain->path[i];
        if (issuer->is_ca && issuer->can_sign_certs) continue;
        text_add(out, ": its issuer is not a CA's certificate: ");
        add_name(out, issuer->subject);
        return;
    }
    if (is_self_signed(last)) {
        text_add(out, chain->length == 1 ? ": it is self-signed (--ca FILE would trust it)"
                                         : ": its root is not trusted here (--ca FILE would): ");
        if (chain->length > 1) add_name(out, last->subject);
        return;
    }
    text_add(out, chain->n == 1 ? ": it came alone, and no CA that is trusted here verifies it: "
                                : ": no CA that is trusted here verifies the end of its chain: ");
    text_add(out, "the issuer is ");
    add_name(out, last->issuer);
    text_add(out, " (an intermediate that the server has to send, or a CA for --ca FILE)");
}

/* Which certificate of the chain is at fault, and why. A root's signature does not count. */
static void explain_each(const struct chain *chain, enum reason r, struct text *out)
{
    time_t now = time(NULL);
    for (size_t i = 0; i < chain->length; i++) {
        const struct cert *c = chain->path[i];
        bool expired = r == REASON_UPSTREAM_CERTIFICATE_EXPIRED && c->not_after < now;
        bool early = r == REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID && c->not_before > now;
        bool weak = r == REASON_UPSTREAM_CERTIFICATE_WEAK && is_weak(c) &&
                    (i == 0 || key_is_short(c) || !is_self_signed(c));
        if (!expired && !early && !weak) continue;
        text_add(out, ": ");
        add_name(out, c->subject);
        if (expired || early) {
            text_add(out, expired ? ", valid until " : ", valid from ");
            add_day(out, expired ? c->not_after : c->not_before);
        } else if (key_is_short(c)) {
            text_printf(out, ", a key of %u bits", c->bits);
        } else {
            text_printf(out, ", signed by %s", cert_signature_name(c));
        }
        return;
    }
}

/* Appends a sentence as a clause. */
static void add_fault_clause(const char *sentence, struct text *out)
{
    text_printf(out, ": %c%.*s", sentence[0] | 0x20, (int)strlen(sentence) - 2, sentence + 1);
}

static void explain(const struct scan_certificate *c, enum reason r, const char *name,
                    struct text *out)
{
    struct chain chain;
    read_chain(c, &chain);
    if (r == REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH) text_printf(out, ": %s", name);
    if (chain.n == 0) return;
    if (r == REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH)
        explain_names(&chain.certs[0], out);
    else if (r == REASON_UPSTREAM_CERTIFICATE_UNTRUSTED)
        explain_trust(&chain, out);
    else if (r == REASON_UPSTREAM_CERTIFICATE_INVALID && !chain.certs[0].serves_tls)
        text_add(out, ": its extended key usage is not for servers (serverAuth)");
    else if (r == REASON_UPSTREAM_CERTIFICATE_INVALID && c->fault)
        add_fault_clause(c->fault, out);
    else
        explain_each(&chain, r, out);
}

static enum advice_topic topic_of(const struct scan_certificate *c, enum reason r)
{
    struct cert leaf;
    if (r != REASON_UPSTREAM_CERTIFICATE_UNTRUSTED && r != REASON_UPSTREAM_CERTIFICATE_INVALID)
        return ADVICE_CERTIFICATE;
    bool own = c->count > 0 && cert_parse(c->chain[0], &leaf) &&
               (!leaf.serves_tls || is_self_signed(&leaf));
    return own ? ADVICE_CERTIFICATE : ADVICE_CHAIN;
}

static void add_fault(const struct judged_at *at, const struct scan_certificate *c, size_t key,
                      enum reason r, const char *name)
{
    char sentence[FINDING_SENTENCE];
    struct text why = {0};
    explain(c, r, name, &why);
    finding_add(at, ITEM_PROBLEM, reason_row(r)->code, keys[key], topic_of(c, r),
                "%s certificate: %s%s", keys[key], finding_sentence(r, sentence),
                text_string(&why));
    text_fini(&why);
}

/* No handshake judged the certificate: reports what its contents show. */
static void judge_unjudged(const struct judged_at *at, const struct scan *s, size_t key,
                           const char *name)
{
    const struct scan_certificate *c = &s->certificates[key];
    struct cert leaf;
    if (c->count > 0 && cert_parse(c->chain[0], &leaf) && is_weak(&leaf))
        add_fault(at, c, key, REASON_UPSTREAM_CERTIFICATE_WEAK, name);
    else if (asked_with(s, key) && judge_key_is_foreign(c))
        finding_add(
            at, scan_any_proved(s) ? ITEM_NOTE : ITEM_PROBLEM, "certificate_key", keys[key],
            ADVICE_CERTIFICATE,
            "%s certificate: its key is neither RSA nor on P-256, P-384 or P-521, which the "
            "policy does not allow",
            keys[key]);
    else if (asked_with(s, key) && !c->cut)
        finding_add(at, ITEM_DOUBT, "certificate_not_judged", keys[key], ADVICE_NONE,
                    "no handshake came far enough to judge its %s certificate", keys[key]);
}

void judge_certificates(const struct judged_at *at, const struct scan *s, const char *name)
{
    for (size_t i = 0; i < SCAN_KEYS; i++) {
        const struct scan_certificate *c = &s->certificates[i];
        struct cert leaf;
        if (c->cut)
            finding_add(at, ITEM_PROBLEM, reason_row(REASON_UPSTREAM_CERTIFICATE_INVALID)->code,
                        keys[i], ADVICE_CHAIN,
                        "its certificate chain (%s) has no end, or cannot be read", keys[i]);
        if (c->valid == FACT_NO)
            add_fault(at, c, i,
                      c->reason == REASON_OK ? REASON_UPSTREAM_CERTIFICATE_INVALID : c->reason,
                      name);
        if (c->differs)
            finding_add(at, ITEM_DOUBT, "certificate_changes", keys[i], ADVICE_NONE,
                        "it shows another %s certificate at another connection", keys[i]);
        if (c->valid == FACT_UNKNOWN) judge_unjudged(at, s, i, name);
        if (c->count == 0 || c->valid != FACT_YES || !cert_parse(c->chain[0], &leaf)) continue;
        time_t left = leaf.not_after - time(NULL);
        if (left < EXPIRES_SOON_S)
            finding_add(at, ITEM_NOTE, "certificate_expires_soon", keys[i], ADVICE_CERTIFICATE,
                        "its %s certificate expires in %lld days", keys[i],
                        (long long)left / 86400);
    }
}
