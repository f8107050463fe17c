#include "check/judge.h"

#include "base/text.h"
#include "policy/wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXPIRES_SOON_S = 30 * 86400, SENTENCE = 256 };

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {"not compliant", "could not tell",
                                        "compliant with findings", "compliant"};
    return names[v];
}

const char *verdict_code(enum verdict v)
{
    static const char *const codes[] = {"not_compliant", "could_not_tell",
                                        "compliant_with_findings", "compliant"};
    return codes[v];
}

/* Where the next item goes. */
struct place {
    struct judgement *judgement;
    unsigned address; /* its bit */
};

static void add(const struct place *at, enum item_kind kind, const char *code, const char *subject,
                enum advice_topic topic, const char *format, ...) PRINTF(6, 7);

static void add(const struct place *at, enum item_kind kind, const char *code, const char *subject,
                enum advice_topic topic, const char *format, ...)
{
    struct judgement *j = at->judgement;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (size_t i = 0; i < j->n; i++) {
        struct item *same = &j->items[i];
        if (same->kind == kind && strcmp(same->code, code) == 0 &&
            strcmp(same->subject, subject) == 0 && same->text && strcmp(same->text, text) == 0) {
            same->addresses |= at->address;
            return;
        }
    }
    struct item *more = realloc(j->items, (j->n + 1) * sizeof *more);
    if (!more) {
        j->failed = true;
        return;
    }
    j->items = more;
    struct item *item = &more[j->n++];
    *item = (struct item){.kind = kind,
                          .code = code,
                          .text = text_copy(text, strlen(text)),
                          .topic = topic,
                          .addresses = at->address};
    snprintf(item->subject, sizeof item->subject, "%s", subject);
}

/* The gate's sentences are about an upstream; here it is the server. */
static const char *about_server(enum reason r, char out[SENTENCE])
{
    static const char from[] = "the upstream", to[] = "the server";
    const char *sentence = reason_row(r)->sentence, *at = strstr(sentence, from);
    int before = at ? (int)(at - sentence) : (int)strlen(sentence);
    snprintf(out, SENTENCE, "%.*s%s%s", before, sentence, at ? to : "",
             at ? at + sizeof from - 1 : "");
    return out;
}

/* An address that told nothing of its TLS. */
static void judge_outcome(const struct place *at, const struct scan *s, bool another)
{
    const char *detail = s->detail;
    switch (s->outcome) {
    case PROBE_NOT_TLS:
        if (*detail)
            add(at, ITEM_PROBLEM, "not_tls", "", ADVICE_NONE,
                "it answers %s in plain text, not TLS%s", detail,
                strncmp(detail, "SMTP", 4) == 0 ? ": for a mail server, try --starttls smtp" : "");
        else
            add(at, ITEM_PROBLEM, "not_tls", "", ADVICE_NONE,
                "it answers with bytes that are not TLS");
        break;
    case PROBE_UNREACHABLE:
        add(at, another ? ITEM_NOTE : ITEM_DOUBT, "unreachable", "", ADVICE_NONE,
            "no connection: %s", strerror(s->fault));
        break;
    case PROBE_SILENT:
        add(at, ITEM_DOUBT, "silent", "", ADVICE_NONE,
            "it accepts the connection and says nothing");
        break;
    case PROBE_SLOW:
        add(at, ITEM_DOUBT, "slow", "", ADVICE_NONE, "its answer was not complete in time");
        break;
    case PROBE_CLOSED:
        add(at, ITEM_DOUBT, "closed", "", ADVICE_NONE,
            "it closes the connection without an answer, whatever is offered");
        break;
    case PROBE_SMTP:
        add(at, ITEM_DOUBT, "starttls", "", ADVICE_NONE, "%s", detail);
        break;
    case PROBE_NO_TIME:
        add(at, ITEM_DOUBT, "no_time", "", ADVICE_NONE,
            "the time given was over before it answered");
        break;
    default:
        add(at, ITEM_DOUBT, "failed", "", ADVICE_NONE, "on this machine: %s", strerror(s->fault));
        break;
    }
}

/* Nothing is accepted, and that is what it says. */
static bool refuses_name(const struct scan *s)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++)
        if (s->versions[i].accepted == FACT_YES) return false;
    return s->first_alert == ALERT_UNRECOGNIZED_NAME;
}

static void judge_versions(const struct place *at, const struct scan *s, const char *server)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++) {
        const struct scan_version *v = &s->versions[i];
        char scratch[VERSION_TEXT_SIZE];
        const char *name = version_name(v->version, scratch);
        if (v->version == TLS_1_2 && v->accepted == FACT_NO && refuses_name(s))
            add(at, ITEM_PROBLEM, "name_refused", "", ADVICE_CERTIFICATE,
                "it refuses the name %s (alert unrecognized_name)", server);
        else if (v->version == TLS_1_2 && v->accepted == FACT_NO)
            add(at, ITEM_PROBLEM, "no_tls12", name, ADVICE_PROTOCOLS, "it does not accept TLS 1.2");
        if (v->version < TLS_1_2 && v->accepted == FACT_YES)
            add(at, ITEM_FINDING, "accepts_protocol", name, ADVICE_PROTOCOLS, "it accepts %s",
                name);
    }
}

static void judge_suites(const struct place *at, const struct scan *s)
{
    const struct scan_version *v = scan_version(s, TLS_1_2);
    size_t approved = 0;
    for (size_t i = 0; i < SUITE_COUNT; i++) approved += s->approved[i].accepted == FACT_YES;
    if (v->accepted == FACT_YES && approved == 0 && !s->incomplete)
        add(at, ITEM_PROBLEM, "no_approved_suite", "", ADVICE_SUITES,
            "at TLS 1.2 it accepts none of the eight suites");
    for (size_t i = 0; i < v->suite_count; i++) {
        const char *name = cipher_name(v->suites[i]);
        if (!name || suite_by_id(v->suites[i])) continue;
        add(at, ITEM_FINDING, "accepts_suite", name, ADVICE_SUITES, "at TLS 1.2 it accepts %s",
            name);
    }
}

/* A connection stood, or would have if we had the certificate that the server asks for. */
static bool is_proved(const struct scan_approved *a)
{
    const struct proof *p = &a->proof;
    bool wanted = p->reason == REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE;
    return a->asked && (p->completed || (wanted && p->verified && p->keys_agreed));
}

static bool any_proved(const struct scan *s)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (is_proved(&s->approved[i])) return true;
    return false;
}

/* A suite that it picks, and with which no connection comes about. */
static void judge_proof(const struct place *at, const struct scan *s, size_t i, bool proved)
{
    const struct proof *p = &s->approved[i].proof;
    char sentence[SENTENCE];
    if (p->outcome != PROBE_ANSWERED) {
        add(at, proved ? ITEM_NOTE : ITEM_DOUBT, "handshake_unfinished", suites[i].iana,
            ADVICE_NONE, "the handshake with %s did not come to its end", suites[i].openssl);
        return;
    }
    /* Told with the certificate. */
    if (reason_is_certificate(p->reason) || s->certificates[suites[i].key].cut) return;
    if (p->reason == REASON_UPSTREAM_NO_APPROVED_SUITE)
        snprintf(sentence, sizeof sentence,
                 "with what the proxy offers (its groups and signatures) the server refuses");
    else
        about_server(p->reason == REASON_OK ? REASON_UPSTREAM_HANDSHAKE_FAILED : p->reason,
                     sentence);
    add(at, proved ? ITEM_NOTE : ITEM_PROBLEM,
        reason_row(p->reason == REASON_OK ? REASON_UPSTREAM_HANDSHAKE_FAILED : p->reason)->code,
        suites[i].iana, ADVICE_LIBRARY, "the handshake with %s fails: %s", suites[i].openssl,
        sentence);
}

static void judge_proofs(const struct place *at, const struct scan *s)
{
    bool proved = any_proved(s);
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (s->approved[i].asked && !is_proved(&s->approved[i])) judge_proof(at, s, i, proved);
}

/* Was a real handshake tried with a suite of this type of key? */
static bool asked_with(const struct scan *s, size_t key)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (s->approved[i].asked && suites[i].key == (enum key_type)key) return true;
    return false;
}

/* A key or signature that no handshake of ours ever comes as far as judging. */
static bool is_weak(const struct scan_certificate *c)
{
    struct cert leaf;
    if (c->count == 0 || !cert_parse(c->chain[0], &leaf)) return false;
    return leaf.signature == CERT_SIGNATURE_WEAK ||
           (leaf.key == CERT_KEY_RSA && leaf.bits < POLICY_RSA_BITS_FLOOR) ||
           (leaf.key == CERT_KEY_EC && leaf.bits && leaf.bits < POLICY_EC_BITS_FLOOR);
}

static void judge_certificates(const struct place *at, const struct scan *s, const char *name)
{
    static const char *const keys[] = {"ECDSA", "RSA", "other"};
    for (size_t i = 0; i < SCAN_KEYS; i++) {
        const struct scan_certificate *c = &s->certificates[i];
        struct cert leaf;
        char sentence[SENTENCE];
        if (c->cut)
            add(at, ITEM_PROBLEM, reason_row(REASON_UPSTREAM_CERTIFICATE_INVALID)->code, keys[i],
                ADVICE_CHAIN, "its certificate chain (%s) has no end, or cannot be read", keys[i]);
        if (c->valid == FACT_NO) {
            enum reason r =
                c->reason == REASON_OK ? REASON_UPSTREAM_CERTIFICATE_INVALID : c->reason;
            bool chain = r == REASON_UPSTREAM_CERTIFICATE_UNTRUSTED ||
                         r == REASON_UPSTREAM_CERTIFICATE_INVALID;
            add(at, ITEM_PROBLEM, reason_row(r)->code, keys[i],
                chain ? ADVICE_CHAIN : ADVICE_CERTIFICATE, "%s certificate: %s%s%s", keys[i],
                about_server(r, sentence),
                r == REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH ? ": " : "",
                r == REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH ? name : "");
        }
        if (c->differs)
            add(at, ITEM_DOUBT, "certificate_changes", keys[i], ADVICE_NONE,
                "it shows another %s certificate at another connection", keys[i]);
        if (c->valid == FACT_UNKNOWN && is_weak(c))
            add(at, ITEM_PROBLEM, reason_row(REASON_UPSTREAM_CERTIFICATE_WEAK)->code, keys[i],
                ADVICE_CERTIFICATE, "%s certificate: %s", keys[i],
                about_server(REASON_UPSTREAM_CERTIFICATE_WEAK, sentence));
        else if (c->valid == FACT_UNKNOWN && !c->cut && asked_with(s, i))
            add(at, ITEM_DOUBT, "certificate_not_judged", keys[i], ADVICE_NONE,
                "no handshake came far enough to judge its %s certificate", keys[i]);
        if (c->count == 0 || c->valid != FACT_YES || !cert_parse(c->chain[0], &leaf)) continue;
        time_t left = leaf.not_after - time(NULL);
        if (left < EXPIRES_SOON_S)
            add(at, ITEM_NOTE, "certificate_expires_soon", keys[i], ADVICE_CERTIFICATE,
                "its %s certificate expires in %lld days", keys[i], (long long)left / 86400);
    }
}

static void judge_groups(const struct place *at, const struct scan *s)
{
    size_t allowed = 0;
    for (size_t i = 0; i < s->group_count; i++) allowed += group_allowed(s->groups[i]);
    if (s->group_count > 0 && allowed == 0 && !s->incomplete)
        add(at, ITEM_PROBLEM, "no_approved_group", "", ADVICE_GROUPS,
            "it accepts none of the groups x25519, secp256r1, secp384r1, secp521r1");
    for (size_t i = 0; i < s->group_count; i++) {
        const char *name = group_name(s->groups[i]);
        if (name && !group_allowed(s->groups[i]))
            add(at, ITEM_FINDING, "accepts_group", name, ADVICE_GROUPS, "it accepts the group %s",
                name);
    }
    for (size_t i = 0; i < s->weak_scheme_count; i++) {
        const struct scheme *scheme = scheme_by_id(s->weak_schemes[i]);
        if (scheme)
            add(at, ITEM_FINDING, "accepts_weak_signature", scheme->name, ADVICE_SIGNATURES,
                "asked for nothing better, it signs with %s", scheme->name);
    }
}

static bool accepts_old(const struct scan *s)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++)
        if (s->versions[i].version < TLS_1_2 && s->versions[i].accepted == FACT_YES) return true;
    return false;
}

static void judge_features(const struct place *at, const struct scan *s)
{
    const struct scan_features *f = &s->features;
    if (f->compression == FACT_YES)
        add(at, ITEM_FINDING, "accepts_compression", "", ADVICE_COMPRESSION,
            "it accepts TLS compression (RFC 7457 section 2.6)");
    if (f->fallback == FACT_NO && accepts_old(s))
        add(at, ITEM_FINDING, "ignores_fallback_scsv", "", ADVICE_LIBRARY,
            "it does not stop a fallback to an older version (RFC 7507)");
    if (f->client_certificate == FACT_YES)
        add(at, ITEM_NOTE, "wants_client_certificate", "", ADVICE_NONE,
            "it asks for a client certificate; none was sent");
    if (f->extended_master_secret == FACT_NO)
        add(at, ITEM_NOTE, "no_extended_master_secret", "", ADVICE_LIBRARY,
            "it has no extended master secret (RFC 7627)");
    if (f->encrypt_then_mac == FACT_NO)
        add(at, ITEM_NOTE, "no_encrypt_then_mac", "", ADVICE_LIBRARY,
            "it has no encrypt-then-MAC for its CBC suites (RFC 7366)");
}

/* The 2024 revision of the requirements names two of TLS 1.3's suites. */
static void note_tls13(const struct place *at, const struct scan *s)
{
    const struct scan_version *v = scan_version(s, TLS_1_3);
    char list[256] = "";
    size_t n = 0;
    if (v->accepted != FACT_YES) return;
    for (size_t i = 0; i < v->suite_count && n < sizeof list; i++) {
        const char *name = cipher_name(v->suites[i]);
        bool named = v->suites[i] == 0x1301 || v->suites[i] == 0x1302;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s%s", n ? ", " : "", name ? name : "?",
                              named ? "" : " (not in the 2024 revision)");
    }
    add(at, ITEM_NOTE, "speaks_tls13", "TLS 1.3", ADVICE_NONE,
        "it speaks TLS 1.3 too, with %s; this policy is about TLS 1.2", list);
}

static int by_kind(const void *a, const void *b)
{
    return (int)((const struct item *)a)->kind - (int)((const struct item *)b)->kind;
}

static bool has_kind(const struct judgement *j, enum item_kind kind, unsigned addresses)
{
    for (size_t i = 0; i < j->n; i++)
        if (j->items[i].kind == kind && j->items[i].addresses & addresses) return true;
    return false;
}

static enum verdict verdict_of(const struct judgement *j, unsigned addresses)
{
    if (has_kind(j, ITEM_PROBLEM, addresses)) return VERDICT_NOT_COMPLIANT;
    if (j->failed || has_kind(j, ITEM_DOUBT, addresses)) return VERDICT_UNKNOWN;
    return has_kind(j, ITEM_FINDING, addresses) ? VERDICT_FINDINGS : VERDICT_COMPLIANT;
}

enum verdict judge_address(const struct judgement *j, size_t address)
{
    return verdict_of(j, 1u << address);
}

/* A version of which nobody knows. */
static bool is_open(const struct scan *s)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++)
        if (s->versions[i].accepted == FACT_UNKNOWN) return true;
    return false;
}

static void judge_one(const struct place *at, const struct scan *s, const char *name, bool another)
{
    if (s->outcome != PROBE_ANSWERED) {
        judge_outcome(at, s, another);
        return;
    }
    judge_versions(at, s, name);
    judge_suites(at, s);
    judge_certificates(at, s, name);
    judge_proofs(at, s);
    judge_groups(at, s);
    judge_features(at, s);
    note_tls13(at, s);
    if (s->incomplete_fault)
        add(at, ITEM_DOUBT, "incomplete", "", ADVICE_NONE, "not everything could be asked: %s",
            strerror(s->incomplete_fault));
    else if (s->incomplete || is_open(s))
        add(at, ITEM_DOUBT, "incomplete", "", ADVICE_NONE,
            "not everything could be asked: the time given was over, or it answers no more");
    /* Nothing against it is not enough: there has to be a connection that stood. */
    if (!any_proved(s) && !has_kind(at->judgement, ITEM_PROBLEM, at->address) &&
        !has_kind(at->judgement, ITEM_DOUBT, at->address))
        add(at, ITEM_DOUBT, "no_handshake", "", ADVICE_NONE,
            "no handshake with an approved suite came to its end");
}

void judge_scans(const struct scan *scans, size_t n, const char *name, bool more,
                 struct judgement *out)
{
    bool another = false;
    *out = (struct judgement){0};
    for (size_t i = 0; i < n; i++) another = another || scans[i].outcome == PROBE_ANSWERED;
    for (size_t i = 0; i < n; i++) {
        struct place at = {out, 1u << i};
        judge_one(&at, &scans[i], name, another);
    }
    struct place all = {out, ~0u};
    if (more)
        add(&all, ITEM_DOUBT, "more_addresses", "", ADVICE_NONE,
            "it may have more addresses than the %zu that were asked", n);
    if (out->n > 1) qsort(out->items, out->n, sizeof *out->items, by_kind);
    out->verdict = verdict_of(out, ~0u);
}

void judge_unknown(const char *code, const char *text, struct judgement *out)
{
    struct place at = {out, 1};
    *out = (struct judgement){0};
    add(&at, ITEM_DOUBT, code, "", ADVICE_NONE, "%s", text);
    out->verdict = VERDICT_UNKNOWN;
}

bool judge_wants_advice(const struct judgement *j, enum advice_topic topic)
{
    for (size_t i = 0; i < j->n; i++)
        if (j->items[i].kind != ITEM_NOTE && j->items[i].topic == topic) return true;
    return false;
}

void judgement_fini(struct judgement *j)
{
    for (size_t i = 0; i < j->n; i++) free(j->items[i].text);
    free(j->items);
    *j = (struct judgement){0};
}
