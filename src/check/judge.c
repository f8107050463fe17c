#include "check/judge.h"

#include "base/text.h"
#include "certificates.h"
#include "finding.h"
#include "policy/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *compliance_name(enum compliance v)
{
    static const char *const names[] = {"not compliant", "could not tell",
                                        "compliant with findings", "compliant"};
    return names[v];
}

const char *compliance_code(enum compliance v)
{
    static const char *const codes[] = {"not_compliant", "could_not_tell",
                                        "compliant_with_findings", "compliant"};
    return codes[v];
}

/* An address that did not answer with TLS. */
static void judge_outcome(const struct judged_at *at, const struct scan *s, bool another)
{
    const char *detail = s->detail;
    switch (s->outcome) {
    case PROBE_NOT_TLS:
        if (*detail)
            finding_add(at, ITEM_PROBLEM, "not_tls", "", ADVICE_NONE,
                        "it answers %s in plain text, not TLS%s", detail,
                        strncmp(detail, "SMTP", 4) == 0 ? ": for a mail server, try --starttls smtp"
                                                        : "");
        else
            finding_add(at, ITEM_PROBLEM, "not_tls", "", ADVICE_NONE,
                        "it answers with bytes that are not TLS");
        break;
    case PROBE_UNREACHABLE:
        finding_add(at, another ? ITEM_NOTE : ITEM_DOUBT, "unreachable", "", ADVICE_NONE,
                    "no connection: %s", strerror(s->fault));
        break;
    case PROBE_SILENT:
        finding_add(at, ITEM_DOUBT, "silent", "", ADVICE_NONE,
                    "it accepts the connection and says nothing");
        break;
    case PROBE_SLOW:
        finding_add(at, ITEM_DOUBT, "slow", "", ADVICE_NONE, "its answer was not complete in time");
        break;
    case PROBE_CLOSED:
        finding_add(at, ITEM_DOUBT, "closed", "", ADVICE_NONE,
                    "it closes the connection without an answer, whatever is offered");
        break;
    case PROBE_NO_STARTTLS:
        finding_add(
            at, ITEM_PROBLEM, "no_starttls", "", ADVICE_STARTTLS,
            "the mail server does not offer STARTTLS, so that mail goes there in plain text");
        break;
    case PROBE_SMTP:
        finding_add(at, ITEM_DOUBT, "starttls", "", ADVICE_NONE, "%s", detail);
        break;
    case PROBE_NO_TIME:
        finding_add(at, ITEM_DOUBT, "no_time", "", ADVICE_NONE,
                    "the time given was over before it answered");
        break;
    default:
        finding_add(at, ITEM_DOUBT, "failed", "", ADVICE_NONE, "on this machine: %s",
                    strerror(s->fault));
        break;
    }
}

static bool refuses_all(const struct scan *s)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++)
        if (s->versions[i].accepted == FACT_YES) return false;
    return !s->any_hello;
}

/* No hello was accepted. Only an alert about versions proves a version fault: servers without the
 * requested name send 112, 40 or 80, or close the connection. */
static void judge_refusal(const struct judged_at *at, int alert, const char *name)
{
    struct addr ip;
    char how[64] = "by closing the connection";
    bool sent = !addr_from_ip(name, 0, &ip);
    if (alert >= 0)
        snprintf(how, sizeof how, "with the alert %s (%d)", reason_alert_name(alert), alert);
    if (alert == ALERT_UNRECOGNIZED_NAME && sent)
        finding_add(at, ITEM_PROBLEM, "name_refused", "", ADVICE_NAME,
                    "it does not serve the name %s (alert unrecognized_name)", name);
    else
        finding_add(at, ITEM_DOUBT, "refuses_every_hello", "", ADVICE_NONE,
                    "it refuses every hello, of TLS 1.2 %s: %s, try --name NAME", how,
                    sent ? "perhaps it does not serve this name"
                         : "no server name was sent, as HOST is an address");
}

static void judge_versions(const struct judged_at *at, const struct scan *s, const char *server)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++) {
        const struct scan_version *v = &s->versions[i];
        char scratch[VERSION_TEXT_SIZE];
        const char *name = version_name(v->version, scratch);
        bool missing = v->version == TLS_1_2 && v->accepted == FACT_NO;
        if (missing && refuses_all(s) && s->first_alert != ALERT_PROTOCOL_VERSION)
            judge_refusal(at, s->first_alert, server);
        else if (missing)
            finding_add(at, ITEM_PROBLEM, "no_tls12", name, ADVICE_PROTOCOLS,
                        "it does not accept TLS 1.2");
        if (v->version < TLS_1_2 && v->accepted == FACT_YES)
            finding_add(at, ITEM_FINDING, "accepts_protocol", name, ADVICE_PROTOCOLS,
                        "it accepts %s", name);
    }
}

static void judge_suites(const struct judged_at *at, const struct scan *s)
{
    const struct scan_version *v = scan_version(s, TLS_1_2);
    size_t approved = 0;
    for (size_t i = 0; i < SUITE_COUNT; i++) approved += s->approved[i].accepted == FACT_YES;
    if (v->accepted == FACT_YES && approved == 0 && !s->incomplete)
        finding_add(at, ITEM_PROBLEM, "no_approved_suite", "", ADVICE_SUITES,
                    "at TLS 1.2 it accepts none of the eight suites");
    for (size_t i = 0; i < v->suite_count; i++) {
        const char *name = cipher_name(v->suites[i]);
        if (!name || suite_by_id(v->suites[i])) continue;
        finding_add(at, ITEM_FINDING, "accepts_suite", name, ADVICE_SUITES,
                    "at TLS 1.2 it accepts %s", name);
    }
}

static size_t allowed_groups(const struct scan *s)
{
    size_t allowed = 0;
    for (size_t i = 0; i < s->group_count; i++) allowed += group_allowed(s->groups[i]);
    return allowed;
}

/* What to change if it refuses the policy's groups and signatures. */
static enum advice_topic topic_of_refusal(const struct scan *s)
{
    if (s->group_count > 0 && allowed_groups(s) == 0) return ADVICE_GROUPS;
    return s->weak_scheme_count > 0 ? ADVICE_SIGNATURES : ADVICE_LIBRARY;
}

/* A suite that it chooses, but without a complete handshake. */
static void judge_proof(const struct judged_at *at, const struct scan *s, size_t i, bool proved)
{
    const struct proof *p = &s->approved[i].proof;
    char sentence[FINDING_SENTENCE];
    if (p->outcome != PROBE_ANSWERED) {
        finding_add(at, proved ? ITEM_NOTE : ITEM_DOUBT, "handshake_unfinished", suites[i].iana,
                    ADVICE_NONE, "the handshake with %s did not come to its end",
                    suites[i].openssl);
        return;
    }
    /* Reported with the certificate. */
    const struct scan_certificate *c = &s->certificates[suites[i].key];
    if (reason_is_certificate(p->reason) || c->cut || judge_key_is_foreign(c)) return;
    bool refused = p->reason == REASON_UPSTREAM_NO_APPROVED_SUITE;
    if (refused)
        snprintf(sentence, sizeof sentence,
                 "with what the proxy offers (its groups and signatures) the server refuses");
    else
        finding_sentence(p->reason == REASON_OK ? REASON_UPSTREAM_HANDSHAKE_FAILED : p->reason,
                         sentence);
    finding_add(
        at, proved ? ITEM_NOTE : ITEM_PROBLEM,
        reason_row(p->reason == REASON_OK ? REASON_UPSTREAM_HANDSHAKE_FAILED : p->reason)->code,
        suites[i].iana, refused ? topic_of_refusal(s) : ADVICE_LIBRARY,
        "the handshake with %s fails: %s", suites[i].openssl, sentence);
}

static void judge_proofs(const struct judged_at *at, const struct scan *s)
{
    bool proved = scan_any_proved(s);
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (s->approved[i].asked && !scan_is_proved(&s->approved[i])) judge_proof(at, s, i, proved);
}

static void judge_groups(const struct judged_at *at, const struct scan *s)
{
    if (s->group_count > 0 && allowed_groups(s) == 0 && !s->incomplete)
        finding_add(at, ITEM_PROBLEM, "no_approved_group", "", ADVICE_GROUPS,
                    "it accepts none of the groups x25519, secp256r1, secp384r1, secp521r1");
    for (size_t i = 0; i < s->group_count; i++) {
        const char *name = group_name(s->groups[i]);
        if (!name || group_allowed(s->groups[i])) continue;
        if (group_weak(s->groups[i]))
            finding_add(at, ITEM_FINDING, "accepts_group", name, ADVICE_GROUPS,
                        "it accepts the group %s, of less than 112 bits of security", name);
        else
            finding_add(at, ITEM_NOTE, "accepts_group", name, ADVICE_NONE,
                        "it accepts the group %s, which the policy lacks and which is not weaker",
                        name);
    }
    for (size_t i = 0; i < s->weak_scheme_count; i++) {
        const struct scheme *scheme = scheme_by_id(s->weak_schemes[i]);
        if (scheme)
            finding_add(at, ITEM_FINDING, "accepts_weak_signature", scheme->name, ADVICE_SIGNATURES,
                        "asked for nothing better, it signs with %s", scheme->name);
    }
}

static bool accepts_old(const struct scan *s)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++)
        if (s->versions[i].version < TLS_1_2 && s->versions[i].accepted == FACT_YES) return true;
    return false;
}

static void judge_features(const struct judged_at *at, const struct scan *s)
{
    const struct scan_features *f = &s->features;
    if (f->compression == FACT_YES)
        finding_add(at, ITEM_FINDING, "accepts_compression", "", ADVICE_COMPRESSION,
                    "it accepts TLS compression (RFC 7457 section 2.6)");
    if (f->fallback == FACT_NO && accepts_old(s))
        finding_add(at, ITEM_FINDING, "ignores_fallback_scsv", "", ADVICE_LIBRARY,
                    "it does not stop a fallback to an older version (RFC 7507)");
    if (f->client_certificate == FACT_YES)
        finding_add(at, ITEM_NOTE, "wants_client_certificate", "", ADVICE_NONE,
                    "it asks for a client certificate; none was sent");
    if (f->extended_master_secret == FACT_NO)
        finding_add(at, ITEM_NOTE, "no_extended_master_secret", "", ADVICE_LIBRARY,
                    "it has no extended master secret (RFC 7627)");
    if (f->encrypt_then_mac == FACT_NO)
        finding_add(at, ITEM_NOTE, "no_encrypt_then_mac", "", ADVICE_LIBRARY,
                    "it has no encrypt-then-MAC for its CBC suites (RFC 7366)");
}

/* The 2024 revision of the requirements names two of TLS 1.3's suites. */
static void note_tls13(const struct judged_at *at, const struct scan *s)
{
    const struct scan_version *v = scan_version(s, TLS_1_3);
    char list[256] = "";
    size_t n = 0;
    bool any_named = false;
    if (v->accepted != FACT_YES) return;
    for (size_t i = 0; i < v->suite_count && n < sizeof list; i++) {
        const char *name = cipher_name(v->suites[i]);
        bool named = v->suites[i] == 0x1301 || v->suites[i] == 0x1302;
        any_named = any_named || named;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s%s", n ? ", " : "", name ? name : "?",
                              named ? "" : " (not in the 2024 revision)");
    }
    bool only = scan_version(s, TLS_1_2)->accepted == FACT_NO;
    finding_add(at, ITEM_NOTE, "speaks_tls13", "TLS 1.3", ADVICE_NONE,
                "it speaks TLS 1.3 %s, with %s; this policy is about TLS 1.2%s",
                only ? "and not TLS 1.2" : "too", list,
                only && any_named ? ": Microsoft's text of 2024-12-02 would take it" : "");
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

static enum compliance verdict_of(const struct judgement *j, unsigned addresses)
{
    if (has_kind(j, ITEM_PROBLEM, addresses)) return NOT_COMPLIANT;
    if (j->failed || has_kind(j, ITEM_DOUBT, addresses)) return COULD_NOT_TELL;
    return has_kind(j, ITEM_FINDING, addresses) ? COMPLIANT_WITH_FINDINGS : COMPLIANT;
}

enum compliance judge_address(const struct judgement *j, size_t address)
{
    return verdict_of(j, 1u << address);
}

/* Is it unknown for a version whether it is accepted? */
static bool is_open(const struct scan *s)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++)
        if (s->versions[i].accepted == FACT_UNKNOWN) return true;
    return false;
}

static void judge_one(const struct judged_at *at, const struct scan *s, const char *name,
                      bool another)
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
        finding_add(at, ITEM_DOUBT, "incomplete", "", ADVICE_NONE,
                    "not everything could be asked: %s", strerror(s->incomplete_fault));
    else if (s->out_of_time)
        finding_add(at, ITEM_DOUBT, "incomplete", "", ADVICE_NONE,
                    "not everything could be asked in the time given: a longer --timeout may help, "
                    "unless it answers no more");
    else if (s->incomplete || is_open(s))
        finding_add(at, ITEM_DOUBT, "incomplete", "", ADVICE_NONE,
                    "not everything could be asked: it answers no more");
    /* Compliance needs an established connection, not just no findings. */
    if (!scan_any_proved(s) && !has_kind(at->judgement, ITEM_PROBLEM, at->address) &&
        !has_kind(at->judgement, ITEM_DOUBT, at->address))
        finding_add(at, ITEM_DOUBT, "no_handshake", "", ADVICE_NONE,
                    "no handshake with an approved suite came to its end");
}

void judge_scans(const struct scan *scans, size_t n, const char *name, bool more,
                 struct judgement *out)
{
    bool another = false;
    *out = (struct judgement){0};
    for (size_t i = 0; i < n; i++) another = another || scans[i].outcome == PROBE_ANSWERED;
    for (size_t i = 0; i < n; i++) {
        struct judged_at at = {out, 1u << i};
        judge_one(&at, &scans[i], name, another);
    }
    struct judged_at all = {out, ~0u};
    if (more)
        finding_add(&all, ITEM_DOUBT, "more_addresses", "", ADVICE_NONE,
                    "it may have more addresses than the %zu that were asked", n);
    if (out->n > 1) qsort(out->items, out->n, sizeof *out->items, by_kind);
    out->verdict = verdict_of(out, ~0u);
}

void judge_unknown(const char *code, const char *text, struct judgement *out)
{
    struct judged_at at = {out, 1};
    *out = (struct judgement){0};
    finding_add(&at, ITEM_DOUBT, code, "", ADVICE_NONE, "%s", text);
    out->verdict = COULD_NOT_TELL;
}

bool judge_wants_advice(const struct judgement *j, enum item_kind kind, enum advice_topic topic)
{
    for (size_t i = 0; i < j->n; i++) /* the worst first */
        if (j->items[i].topic == topic) return j->items[i].kind == kind;
    return false;
}

void judgement_fini(struct judgement *j)
{
    for (size_t i = 0; i < j->n; i++) free(j->items[i].text);
    free(j->items);
    *j = (struct judgement){0};
}
