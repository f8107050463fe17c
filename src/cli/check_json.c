#include "base/clock.h"
#include "base/json.h"
#include "cli/check.h"
#include "pki/keys.h"
#include "pki/name.h"

static void put_fact(struct json *j, const char *key, enum fact f)
{
    if (f == FACT_UNKNOWN)
        json_put_null(j, key);
    else
        json_put_bool(j, key, f == FACT_YES);
}

static void put_cipher(struct json *j, uint16_t id)
{
    char number[8];
    const char *name = cipher_name(id);
    text_hex((const uint8_t[]){(uint8_t)(id >> 8), (uint8_t)id}, 2, number);
    json_put_string(j, NULL, name ? name : number);
}

static const char *sslv2_kind(uint32_t kind)
{
    static const struct {
        uint32_t kind;
        const char *name;
    } names[] = {{0x010080, "SSL_CK_RC4_128_WITH_MD5"},
                 {0x020080, "SSL_CK_RC4_128_EXPORT40_WITH_MD5"},
                 {0x030080, "SSL_CK_RC2_128_CBC_WITH_MD5"},
                 {0x040080, "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5"},
                 {0x050080, "SSL_CK_IDEA_128_CBC_WITH_MD5"},
                 {0x060040, "SSL_CK_DES_64_CBC_WITH_MD5"},
                 {0x0700c0, "SSL_CK_DES_192_EDE3_CBC_WITH_MD5"}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].kind == kind) return names[i].name;
    return "unknown";
}

static void put_versions(struct json *j, const struct scan *s)
{
    char scratch[VERSION_TEXT_SIZE];
    json_put_object(j, "protocols");
    for (size_t i = 0; i < SCAN_VERSIONS; i++)
        put_fact(j, version_name(s->versions[i].version, scratch), s->versions[i].accepted);
    json_end_object(j);
    json_put_object(j, "suites");
    for (size_t i = 0; i < SCAN_VERSIONS; i++) {
        const struct scan_version *v = &s->versions[i];
        if (v->accepted != FACT_YES) continue;
        json_put_array(j, version_name(v->version, scratch));
        for (size_t k = 0; k < v->suite_count; k++) put_cipher(j, v->suites[k]);
        for (size_t k = 0; k < v->kind_count; k++)
            json_put_string(j, NULL, sslv2_kind(v->kinds[k]));
        json_end_array(j);
    }
    json_end_object(j);
}

static void put_approved(struct json *j, const struct scan *s)
{
    json_put_array(j, "approved");
    size_t accepted[SUITE_COUNT], n = scan_accepted(s, accepted);
    for (size_t i = 0; i < n; i++) {
        const struct suite *suite = &suites[accepted[i]];
        const struct scan_approved *a = &s->approved[accepted[i]];
        json_put_object(j, NULL);
        json_put_string(j, "iana", suite->iana);
        json_put_string(j, "openssl", suite->openssl);
        json_put_string(j, "key", key_type_name(suite->key));
        json_put_bool(j, "handshake", a->proof.completed);
        json_put_optional(j, "group", a->proof.completed ? group_name(a->proof.group) : NULL);
        if (a->asked && a->proof.reason != REASON_OK)
            json_put_string(j, "code", reason_row(a->proof.reason)->code);
        json_end_object(j);
    }
    json_end_array(j);
    if (s->server_order == FACT_UNKNOWN)
        json_put_null(j, "preference");
    else
        json_put_string(j, "preference", s->server_order == FACT_YES ? "server" : "client");
    json_put_array(j, "groups");
    for (size_t i = 0; i < s->group_count; i++) json_put_string(j, NULL, group_name(s->groups[i]));
    json_end_array(j);
}

static void put_name(struct json *j, const char *key, struct span name)
{
    struct text t = {0};
    name_format(name, &t);
    json_put_string(j, key, text_string(&t));
    text_fini(&t);
}

static void put_san(void *arg, const char *name)
{
    json_put_string(arg, NULL, name);
}

static void put_cert(struct json *j, struct span der, bool leaf)
{
    struct cert c;
    uint8_t digest[32];
    static const char *const keys[] = {"rsa", "ecdsa", "other"};
    char hex[65], when[CLOCK_TEXT_SIZE];
    bool parsed = cert_parse(der, &c);
    if (digest_sha256(der.p, der.n, digest)) {
        text_hex(digest, sizeof digest, hex);
        json_put_string(j, "sha256", hex);
    }
    if (!parsed) {
        json_put_bool(j, "readable", false);
        return;
    }
    put_name(j, "subject", c.subject);
    put_name(j, "issuer", c.issuer);
    clock_format_seconds(c.not_before, when);
    json_put_string(j, "not_before", when);
    clock_format_seconds(c.not_after, when);
    json_put_string(j, "not_after", when);
    json_put_string(j, "key", keys[c.key]);
    json_put_number(j, "bits", c.bits);
    json_put_string(j, "signature", cert_signature_name(&c));
    if (!leaf) return;
    json_put_array(j, "names");
    cert_each_name(&c, put_san, j);
    json_end_array(j);
}

static void put_certificates(struct json *j, const struct scan *s)
{
    json_put_array(j, "certificates");
    for (size_t i = 0; i < SCAN_KEYS; i++) {
        const struct scan_certificate *c = &s->certificates[i];
        if (c->count == 0) continue;
        json_put_object(j, NULL);
        put_cert(j, c->chain[0], true);
        put_fact(j, "valid", c->valid);
        if (c->valid == FACT_NO && c->reason != REASON_OK)
            json_put_string(j, "code", reason_row(c->reason)->code);
        json_put_array(j, "chain");
        for (size_t k = 0; k < c->count; k++) {
            json_put_object(j, NULL);
            put_cert(j, c->chain[k], false);
            json_end_object(j);
        }
        json_end_array(j);
        json_end_object(j);
    }
    json_end_array(j);
}

static void put_features(struct json *j, const struct scan *s)
{
    const struct scan_features *f = &s->features;
    json_put_object(j, "features");
    put_fact(j, "secure_renegotiation", f->secure_renegotiation);
    put_fact(j, "extended_master_secret", f->extended_master_secret);
    put_fact(j, "encrypt_then_mac", f->encrypt_then_mac);
    put_fact(j, "compression", f->compression);
    put_fact(j, "fallback_scsv", f->fallback);
    put_fact(j, "session_tickets", f->tickets);
    put_fact(j, "session_ids", f->session_ids);
    put_fact(j, "ocsp_staple", f->staple);
    put_fact(j, "client_certificate", f->client_certificate);
    json_put_array(j, "alpn");
    for (size_t i = 0; i < SCAN_PROTOCOLS; i++)
        if (f->protocols[i]) json_put_string(j, NULL, scan_protocols[i]);
    json_end_array(j);
    json_put_array(j, "weak_signatures");
    for (size_t i = 0; i < s->weak_scheme_count; i++) {
        const struct scheme *scheme = scheme_by_id(s->weak_schemes[i]);
        if (scheme) json_put_string(j, NULL, scheme->name);
    }
    json_end_array(j);
    json_end_object(j);
}

static void put_items(struct json *j, const char *key, const struct judgement *judgement,
                      enum item_kind kind, unsigned address)
{
    json_put_array(j, key);
    for (size_t i = 0; i < judgement->n; i++) {
        const struct item *item = &judgement->items[i];
        if (item->kind != kind || !(item->addresses & address)) continue;
        json_put_object(j, NULL);
        json_put_string(j, "code", item->code);
        json_put_optional(j, "subject", item->subject);
        json_put_string(j, "text", item->text ? item->text : "");
        json_end_object(j);
    }
    json_end_array(j);
}

static void put_judgement(struct json *j, const struct judgement *judgement, unsigned address)
{
    put_items(j, "problems", judgement, ITEM_PROBLEM, address);
    put_items(j, "doubts", judgement, ITEM_DOUBT, address);
    put_items(j, "findings", judgement, ITEM_FINDING, address);
    put_items(j, "notes", judgement, ITEM_NOTE, address);
}

static void put_remedies_of(struct json *j, const struct judgement *judgement, enum item_kind kind,
                            const char *name)
{
    for (enum advice_topic topic = ADVICE_NONE + 1; topic < ADVICE_TOPICS; topic++) {
        size_t n;
        const struct advice *rows = advice_of(topic, &n);
        bool wanted = judge_wants_advice(judgement, kind, topic);
        for (size_t i = 0; wanted && i < n; i++) {
            json_put_object(j, NULL);
            json_put_string(j, "for", name);
            json_put_string(j, "topic", advice_topic_name(topic));
            json_put_string(j, "product", rows[i].product);
            json_put_string(j, "setting", rows[i].text);
            json_end_object(j);
        }
    }
}

static void put_remedies(struct json *j, const struct judgement *judgement)
{
    json_put_array(j, "remedies");
    put_remedies_of(j, judgement, ITEM_PROBLEM, "problems");
    put_remedies_of(j, judgement, ITEM_FINDING, "findings");
    json_end_array(j);
}

static void put_host(struct json *j, const struct host_report *r, bool smtp)
{
    char where[TARGET_TEXT_SIZE];
    target_format(&r->target, where);
    json_put_object(j, NULL);
    json_put_string(j, "target", where);
    json_put_string(j, "host", r->target.host);
    json_put_number(j, "port", r->target.port);
    json_put_string(j, "name", r->name);
    if (smtp)
        json_put_string(j, "starttls", "smtp");
    else
        json_put_null(j, "starttls");
    json_put_string(j, "verdict", compliance_code(r->judgement.verdict));
    put_judgement(j, &r->judgement, ~0u);
    put_remedies(j, &r->judgement);
    json_put_array(j, "addresses");
    for (size_t i = 0; i < r->scan_count; i++) {
        const struct scan *s = &r->scans[i];
        addr_format_ip(&s->address, where);
        json_put_object(j, NULL);
        json_put_string(j, "ip", where);
        json_put_string(j, "verdict",
                        s->outcome == PROBE_UNREACHABLE
                            ? "unreachable"
                            : compliance_code(judge_address(&r->judgement, i)));
        put_judgement(j, &r->judgement, 1u << i);
        if (s->outcome == PROBE_ANSWERED) {
            put_versions(j, s);
            put_approved(j, s);
            put_certificates(j, s);
            put_features(j, s);
        }
        json_end_object(j);
    }
    json_end_array(j);
    json_end_object(j);
}

void check_put_json(const struct host_report *reports, size_t n, const struct host_options *options,
                    enum compliance verdict, struct text *out)
{
    struct json j = json_of(out);
    json_put_object(&j, NULL);
    json_put_string(&j, "version", SUITEGATE_VERSION);
    json_put_string(&j, "verdict", compliance_code(verdict));
    json_put_array(&j, "hosts");
    for (size_t i = 0; i < n; i++) put_host(&j, &reports[i], options->smtp);
    json_end_array(&j);
    json_end_object(&j);
    text_add(out, "\n");
}
