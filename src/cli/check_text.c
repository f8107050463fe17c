#include "cli/check.h"

#include "base/clock.h"
#include "pki/name.h"

#include <stdio.h>
#include <string.h>

enum { LABEL = 16, HOST_COLUMNS = 40, VERDICT_COLUMNS = 23, BECAUSE_COLUMNS = 30 };

/* A label, then words, wrapped in a column. */
static void put_fact(struct text *out, const char *label, const char *words)
{
    struct text wrapped = {0};
    text_add_wrapped(&wrapped, LABEL + 2, words);
    text_printf(out, "  %-*s", LABEL, label);
    text_add(out, wrapped.size > LABEL + 2 ? text_string(&wrapped) + LABEL + 2 : "\n");
    text_fini(&wrapped);
}

static const char *yes_no(enum fact f)
{
    return f == FACT_YES ? "yes" : f == FACT_NO ? "no" : "?";
}

static void add_name(struct text *list, const char *name)
{
    text_printf(list, "%s%s", list->size ? ", " : "", name);
}

static void put_protocols(const struct scan *s, struct text *out)
{
    struct text accepted = {0};
    for (size_t i = 0; i < SCAN_VERSIONS; i++) {
        const struct scan_version *v = &s->versions[i];
        char scratch[VERSION_TEXT_SIZE];
        if (v->accepted == FACT_NO) continue;
        add_name(&accepted, version_name(v->version, scratch));
        if (v->accepted == FACT_UNKNOWN) text_add(&accepted, "?");
    }
    put_fact(out, "protocols", accepted.size ? text_string(&accepted) : "none");
    text_fini(&accepted);
}

static bool same_suites(const struct scan_version *a, const struct scan_version *b)
{
    return a->suite_count == b->suite_count &&
           memcmp(a->suites, b->suites, a->suite_count * sizeof *a->suites) == 0;
}

/* The suites of one old version, and of the other versions with the same. */
static void add_old_suites(const struct scan *s, size_t i, struct text *words)
{
    const struct scan_version *v = &s->versions[i];
    char scratch[VERSION_TEXT_SIZE];
    for (size_t k = 0; k < i; k++)
        if (same_suites(&s->versions[k], v)) return;
    text_printf(words, "%sat %s", words->size ? "; " : "", version_name(v->version, scratch));
    for (size_t k = i + 1; s->versions[k].version < TLS_1_2; k++)
        if (same_suites(&s->versions[k], v))
            text_printf(words, " and %s", version_name(s->versions[k].version, scratch));
    for (size_t k = 0; k < v->suite_count; k++) {
        const char *name = cipher_name(v->suites[k]);
        text_printf(words, "%s%s", k ? ", " : ": ", name ? name : "?");
    }
}

/* TLS 1.2's suites are findings, by name; TLS 1.3's are in a note. */
static void put_other_suites(const struct scan *s, struct text *out)
{
    const struct scan_version *newest = scan_version(s, TLS_1_2);
    struct text words = {0};
    size_t others = 0;
    for (size_t i = 0; i < newest->suite_count; i++)
        others += suite_by_id(newest->suites[i]) == NULL;
    if (others) text_printf(&words, "%zu at TLS 1.2 (findings)", others);
    for (size_t i = 0; s->versions[i].version < TLS_1_2; i++) {
        const struct scan_version *v = &s->versions[i];
        if (v->kind_count)
            text_printf(&words, "%s%zu at SSL 2.0", words.size ? "; " : "", v->kind_count);
        if (v->suite_count) add_old_suites(s, i, &words);
    }
    if (s->incomplete) text_add(&words, words.size ? "; perhaps others" : "?");
    put_fact(out, "other suites", words.size ? text_string(&words) : "none");
    text_fini(&words);
}

static void put_approved(const struct scan *s, struct text *out)
{
    struct text words = {0};
    static const char *const orders[] = {"", ", in the client's order", ", in the server's order"};
    size_t accepted[SUITE_COUNT], n = scan_accepted(s, accepted);
    text_printf(&words, "%zu of the %d%s", n, SUITE_COUNT, orders[s->server_order]);
    size_t open = 0;
    for (size_t i = 0; i < SUITE_COUNT; i++) open += s->approved[i].accepted == FACT_UNKNOWN;
    if (open) text_printf(&words, "; %zu could not be asked", open);
    put_fact(out, "approved suites", text_string(&words));
    text_fini(&words);
    for (size_t i = 0; i < n; i++) {
        const struct suite *suite = &suites[accepted[i]];
        const struct scan_approved *a = &s->approved[accepted[i]];
        const char *group = group_name(a->proof.group);
        text_printf(out, "  %-*s%-30s %s%s%s\n", LABEL, "", suite->openssl,
                    a->proof.completed ? "handshake done" : "handshake not completed",
                    a->proof.completed && group ? ", " : "",
                    a->proof.completed && group ? group : "");
    }
}

static void put_groups(const struct scan *s, struct text *out)
{
    struct text words = {0};
    for (size_t i = 0; i < s->group_count; i++) {
        const char *name = group_name(s->groups[i]);
        add_name(&words, name ? name : "?");
    }
    if (words.size) put_fact(out, "groups", text_string(&words));
    text_fini(&words);
}

static void put_certificate(const struct scan_certificate *c, const char *label, struct text *out)
{
    struct cert leaf;
    struct text words = {0}, subject = {0}, issuer = {0};
    char from[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    if (c->count == 0 || !cert_parse(c->chain[0], &leaf)) return;
    name_format(leaf.subject, &subject);
    name_format(leaf.issuer, &issuer);
    clock_format_seconds(leaf.not_before, from);
    clock_format_seconds(leaf.not_after, until);
    text_add_visible(&words, subject.size ? text_string(&subject) : "(no subject)", 200);
    text_add(&words, ", issued by ");
    text_add_visible(&words, text_string(&issuer), 200);
    if (leaf.bits) text_printf(&words, ", %u bits", leaf.bits);
    text_printf(&words, ", %s, %.10s to %.10s, %zu in the chain: %s", cert_signature_name(&leaf),
                from, until, c->count,
                c->valid == FACT_YES  ? "valid"
                : c->valid == FACT_NO ? "not valid"
                                      : "not judged");
    put_fact(out, label, text_string(&words));
    text_fini(&words);
    text_fini(&subject);
    text_fini(&issuer);
}

static void put_features(const struct scan *s, struct text *out)
{
    const struct scan_features *f = &s->features;
    struct text words = {0}, protocols = {0};
    for (size_t i = 0; i < SCAN_PROTOCOLS; i++)
        if (f->protocols[i]) add_name(&protocols, scan_protocols[i]);
    text_printf(&words,
                "secure renegotiation %s, extended master secret %s, encrypt-then-MAC %s, "
                "compression %s, fallback SCSV %s, session tickets %s, session IDs %s, "
                "OCSP staple %s, ALPN %s",
                yes_no(f->secure_renegotiation), yes_no(f->extended_master_secret),
                yes_no(f->encrypt_then_mac), yes_no(f->compression),
                f->fallback == FACT_UNKNOWN ? "not needed" : yes_no(f->fallback),
                yes_no(f->tickets), yes_no(f->session_ids), yes_no(f->staple),
                protocols.size ? text_string(&protocols) : "none");
    put_fact(out, "features", text_string(&words));
    text_fini(&words);
    text_fini(&protocols);
}

static void put_scan(const struct host_report *r, size_t i, struct text *out)
{
    const struct scan *s = &r->scans[i];
    char where[ADDR_TEXT_SIZE];
    addr_format_ip(&s->address, where);
    if (r->scan_count > 1) {
        text_printf(out, "\n  %-*s%s: %s\n", LABEL, "address", where,
                    s->outcome == PROBE_UNREACHABLE
                        ? "cannot be reached"
                        : compliance_name(judge_address(&r->judgement, i)));
    } else {
        put_fact(out, "address", where);
    }
    if (s->outcome != PROBE_ANSWERED) return;
    put_protocols(s, out);
    put_other_suites(s, out);
    put_approved(s, out);
    put_groups(s, out);
    put_certificate(&s->certificates[SCAN_KEY_ECDSA], "ECDSA certif.", out);
    put_certificate(&s->certificates[SCAN_KEY_RSA], "RSA certificate", out);
    put_certificate(&s->certificates[SCAN_KEY_OTHER], "certificate", out);
    put_features(s, out);
}

/* Items that differ only in their subject become one sentence. */
static size_t put_item(const struct host_report *r, size_t i, struct text *out)
{
    const struct judgement *j = &r->judgement;
    const struct item *first = &j->items[i];
    struct text words = {0}, visible = {0};
    size_t n = 1;
    while (first->kind == ITEM_FINDING && i + n < j->n && j->items[i + n].kind == first->kind &&
           strcmp(j->items[i + n].code, first->code) == 0 &&
           j->items[i + n].addresses == first->addresses)
        n++;
    text_add(&words, first->text ? first->text : "");
    for (size_t k = 1; k < n; k++) text_printf(&words, ", %s", j->items[i + k].subject);
    unsigned all = r->scan_count >= 1 ? (1u << r->scan_count) - 1 : 1;
    for (size_t k = 0; k < r->scan_count && first->addresses != all; k++) {
        char where[ADDR_TEXT_SIZE];
        if (!(first->addresses & 1u << k)) continue;
        addr_format_ip(&r->scans[k].address, where);
        text_printf(&words, " [%s]", where);
    }
    text_add_visible(&visible, text_string(&words), 8000);
    struct text wrapped = {0};
    text_add_wrapped(&wrapped, 4, text_string(&visible));
    text_add(out, "  - ");
    text_add(out, wrapped.size > 4 ? text_string(&wrapped) + 4 : "\n");
    text_fini(&wrapped);
    text_fini(&visible);
    text_fini(&words);
    return n;
}

static void put_items(const struct host_report *r, enum item_kind kind, struct text *out)
{
    static const char *const headings[ITEM_KINDS] = {
        "Not compliant, because", "Could not tell, because",
        "Findings: outside the policy, a client could be downgraded to it", "Notes"};
    bool headed = false;
    for (size_t i = 0; i < r->judgement.n;) {
        if (r->judgement.items[i].kind != kind) {
            i++;
            continue;
        }
        if (!headed) text_printf(out, "\n  %s\n", headings[kind]);
        headed = true;
        i += put_item(r, i, out);
    }
}

/* The lines of a setting, in a column. */
static void put_setting(const struct advice *a, struct text *out)
{
    const char *p = a->text;
    text_printf(out, "    %s:\n", a->product);
    while (*p) {
        size_t n = strcspn(p, "\n");
        text_printf(out, "      %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
}

/* True when there was some. */
static bool put_advice(const struct judgement *j, enum item_kind kind, const char *heading,
                       struct text *out)
{
    bool headed = false;
    for (enum advice_topic topic = ADVICE_NONE + 1; topic < ADVICE_TOPICS; topic++) {
        size_t n;
        if (!judge_wants_advice(j, kind, topic)) continue;
        if (!headed) text_printf(out, "\n  %s\n", heading);
        headed = true;
        const struct advice *rows = advice_of(topic, &n);
        text_printf(out, "  %s\n", advice_topic_name(topic));
        for (size_t i = 0; i < n; i++) put_setting(&rows[i], out);
    }
    return headed;
}

void check_put_host(const struct host_report *r, struct text *out)
{
    char where[TARGET_TEXT_SIZE];
    target_format(&r->target, where);
    text_printf(out, "%s: %s\n%s", where, compliance_name(r->judgement.verdict),
                r->scan_count == 1 ? "\n" : "");
    for (size_t i = 0; i < r->scan_count; i++) put_scan(r, i, out);
    for (int kind = 0; kind < ITEM_KINDS; kind++) put_items(r, (enum item_kind)kind, out);
    bool more = put_advice(&r->judgement, ITEM_PROBLEM, "What to change", out);
    put_advice(&r->judgement, ITEM_FINDING,
               more ? "What to change for the findings" : "What to change", out);
}

/* The worst item and the number of others, after `indent` blanks. */
static void add_summary(const struct judgement *j, int indent, struct text *out)
{
    struct text words = {0};
    size_t more = 0;
    for (size_t i = 1; i < j->n; i++) more += j->items[i].kind == j->items[0].kind;
    text_add_visible(&words, j->items[0].text ? j->items[0].text : "", 8000);
    if (more) text_printf(&words, ", and %zu more", more);
    text_add_wrapped(out, indent, text_string(&words));
    text_fini(&words);
}

/* One host. The reason has its own column, or is below if that would be narrow. */
static void put_row(const struct host_report *r, int width, struct text *out)
{
    const struct judgement *j = &r->judgement;
    struct text reason = {0};
    char where[TARGET_TEXT_SIZE];
    int column = width + VERDICT_COLUMNS + 4;
    bool told = j->n > 0 && j->items[0].kind != ITEM_NOTE;
    bool beside = told && column <= TEXT_COLUMNS - BECAUSE_COLUMNS;
    target_format(&r->target, where);
    if (told) add_summary(j, beside ? column : LABEL, &reason);
    text_printf(out, "%-*s  %-*s", width, where, beside ? VERDICT_COLUMNS : 0,
                compliance_name(j->verdict));
    if (beside)
        text_printf(out, "  %s",
                    reason.size > (size_t)column ? text_string(&reason) + column : "\n");
    else
        text_printf(out, "\n%s", text_string(&reason));
    text_fini(&reason);
}

void check_put_table(const struct host_report *reports, size_t n, struct text *out)
{
    size_t counts[COMPLIANT + 1] = {0};
    int width = 4;
    for (size_t i = 0; i < n; i++) {
        char where[TARGET_TEXT_SIZE];
        target_format(&reports[i].target, where);
        int length = (int)strlen(where);
        if (length > width) width = length < HOST_COLUMNS ? length : HOST_COLUMNS;
    }
    text_printf(out, "%-*s  %-*s  %s\n", width, "HOST", VERDICT_COLUMNS, "VERDICT", "BECAUSE");
    for (size_t i = 0; i < n; i++) {
        counts[reports[i].judgement.verdict]++;
        put_row(&reports[i], width, out);
    }
    text_printf(out,
                "\n%zu hosts: %zu compliant, %zu with findings, %zu not compliant, %zu could not "
                "be told\n",
                n, counts[COMPLIANT], counts[COMPLIANT_WITH_FINDINGS], counts[NOT_COMPLIANT],
                counts[COULD_NOT_TELL]);
}
