#include "policy/assess.h"

#include "policy/verdict.h"

#include <string.h>

enum { NAMES_SHOWN = 12, COMPRESSION_DEFLATE = 1 };

size_t assess_listed(struct span u16s)
{
    return u16s.n / 2 < ASSESS_LISTED ? u16s.n / 2 : ASSESS_LISTED;
}

/* Outside the policy, but no weaker than it: ephemeral ECDH with an AEAD cipher. */
static bool strong_elsewhere(const char *name)
{
    return name && strncmp(name, "TLS_ECDHE_", 10) == 0 &&
           (strstr(name, "_GCM_") || strstr(name, "_CCM") || strstr(name, "_CHACHA20_"));
}

void assess_each_weak(const struct hello *h,
                      void (*each)(void *arg, enum weak_kind kind, uint16_t id, const char *name),
                      void *arg)
{
    char scratch[VERSION_TEXT_SIZE];
    for (size_t i = 0; i < assess_listed(h->supported_versions); i++) {
        uint16_t v = span_u16(h->supported_versions, i);
        if (!is_grease(v) && v < TLS_1_2) each(arg, WEAK_VERSION, v, version_name(v, scratch));
    }
    for (size_t i = 0; i < h->cipher_suites.n / 2; i++) {
        uint16_t id = span_u16(h->cipher_suites, i);
        const char *name = cipher_name(id);
        bool strong = suite_by_id(id) || cipher_is_tls13(id) || strong_elsewhere(name);
        if (!strong && !cipher_is_signal(id) && !is_grease(id)) each(arg, WEAK_SUITE, id, name);
    }
    for (size_t i = 0; i < assess_listed(h->schemes); i++) {
        const struct scheme *s = scheme_by_id(span_u16(h->schemes, i));
        if (s && s->verdict == SCHEME_WEAK) each(arg, WEAK_SCHEME, s->id, s->name);
    }
    for (size_t i = 0; i < h->compression.n; i++)
        if (h->compression.p[i] == COMPRESSION_DEFLATE)
            each(arg, WEAK_COMPRESSION, COMPRESSION_DEFLATE, "DEFLATE");
}

const char *assess_mark_name(enum assess_mark mark)
{
    static const char *const names[] = {"meets the policy", "weaker than the policy", "note"};
    return names[mark];
}

static struct assess_item *add(struct assessment *a, const char *name)
{
    struct assess_item *item = &a->items[a->n++];
    *item = (struct assess_item){.name = name, .mark = ASSESS_NOTE, .words = ""};
    return item;
}

static void judge(struct assess_item *item, enum assess_mark mark, const char *words)
{
    item->mark = mark;
    item->words = words;
}

static void list(struct text *out, const char *name, uint16_t id)
{
    if (out->size) text_add(out, ", ");
    if (name)
        text_add(out, name);
    else
        text_printf(out, "0x%04x", id);
}

/* What assess_each_weak() finds of one kind. */
struct weak_list {
    enum weak_kind kind;
    struct text *out;
    size_t n;
};

static void list_weak(void *arg, enum weak_kind kind, uint16_t id, const char *name)
{
    struct weak_list *w = arg;
    if (kind != w->kind) return;
    if (w->n++ < ASSESS_LISTED && w->out) list(w->out, name, id);
}

static size_t weak_of(const struct hello *h, enum weak_kind kind, struct text *out)
{
    struct weak_list w = {kind, out, 0};
    assess_each_weak(h, list_weak, &w);
    return w.n;
}

static void assess_versions(const struct hello *h, struct assessment *a)
{
    struct assess_item *item = add(a, "protocol versions");
    char scratch[VERSION_TEXT_SIZE];
    for (size_t i = 0; i < assess_listed(h->supported_versions); i++) {
        uint16_t v = span_u16(h->supported_versions, i);
        if (!is_grease(v)) list(&item->offered, version_name(v, scratch), v);
    }
    if (!h->has_versions) {
        text_printf(&item->offered, "up to %s", version_name(h->highest_version, scratch));
        judge(item, ASSESS_MEETS,
              "TLS 1.2 is offered. This hello cannot say whether older versions would be accepted "
              "too: a server that has nothing newer finds out.");
    } else if (weak_of(h, WEAK_VERSION, NULL) > 0) {
        judge(item, ASSESS_WEAK,
              "TLS 1.2 is offered, and older versions as well: a server without TLS 1.2 would get "
              "one of those.");
    } else {
        judge(item, ASSESS_MEETS, "TLS 1.2 is offered and nothing older.");
    }
}

static void assess_suites(const struct hello *h, suite_set allowed, struct assessment *a)
{
    struct assess_item *item = add(a, "approved cipher suites");
    suite_set offered = verdict_offered(h, allowed);
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (offered & suite_bit(&suites[i])) list(&item->offered, suites[i].iana, suites[i].id);
    judge(item, ASSESS_MEETS, "At least one is needed. These are what a compliant server can use.");
    item = add(a, "weaker cipher suites");
    if (weak_of(h, WEAK_SUITE, &item->offered) > 0)
        judge(item, ASSESS_WEAK,
              "A server that prefers one of these would get it. Turn them off in the client.");
    else
        judge(item, ASSESS_MEETS, "None is offered.");
}

static void assess_groups(const struct hello *h, struct assessment *a)
{
    struct assess_item *item = add(a, "groups");
    for (size_t i = 0; i < assess_listed(h->groups); i++) {
        uint16_t id = span_u16(h->groups, i);
        if (!is_grease(id)) list(&item->offered, group_name(id), id);
    }
    judge(item, ASSESS_MEETS,
          h->has_groups ? "One of x25519, secp256r1, secp384r1 and secp521r1 is needed."
                        : "None is named, which leaves the choice to the server.");
    item = add(a, "signature schemes");
    for (size_t i = 0; i < assess_listed(h->schemes); i++) {
        uint16_t id = span_u16(h->schemes, i);
        const struct scheme *s = scheme_by_id(id);
        if (!is_grease(id)) list(&item->offered, s ? s->name : NULL, id);
    }
    if (weak_of(h, WEAK_SCHEME, NULL) > 0)
        judge(item, ASSESS_WEAK,
              "SHA-256 or better is offered, and weaker hashes as well: a server could sign with "
              "one of those.");
    else
        judge(item, ASSESS_MEETS, "SHA-256 or better, and nothing weaker.");
}

static void assess_yes_no(struct assessment *a, const char *name, bool yes, enum assess_mark no,
                          const char *yes_words, const char *no_words)
{
    struct assess_item *item = add(a, name);
    text_add(&item->offered, yes ? "yes" : "no");
    judge(item, yes ? ASSESS_MEETS : no, yes ? yes_words : no_words);
}

static void assess_extensions(const struct hello *h, struct assessment *a)
{
    assess_yes_no(a, "extended master secret", h->extended_master_secret, ASSESS_NOTE,
                  "The session keys are bound to this handshake (RFC 7627).",
                  "Not offered (RFC 7627): an old TLS library. Sessions are not resumed.");
    assess_yes_no(a, "secure renegotiation", hello_offers_secure_renegotiation(h), ASSESS_NOTE,
                  "Offered (RFC 5746).", "Not offered (RFC 5746): an old TLS library.");
    bool compresses = weak_of(h, WEAK_COMPRESSION, NULL) > 0;
    struct assess_item *item = add(a, "compression");
    text_add(&item->offered, compresses ? "DEFLATE" : "none");
    judge(item, compresses ? ASSESS_WEAK : ASSESS_MEETS,
          compresses ? "TLS compression leaks secrets (CRIME). Turn it off in the client."
                     : "None is offered.");
    item = add(a, "server name");
    text_add(&item->offered, h->server_name[0] ? h->server_name : "none");
    item->words = h->server_name[0] ? "The name the client asked for (SNI)."
                                    : "No name was sent (SNI): servers with several certificates "
                                      "cannot choose the right one.";
    item = add(a, "application protocols");
    struct reader r = reader_of(h->alpn);
    for (struct span name; (name = hello_alpn_next(&r)).n > 0;) {
        if (item->offered.size) text_add(&item->offered, ", ");
        for (size_t i = 0; i < name.n; i++)
            text_printf(&item->offered, name.p[i] > ' ' && name.p[i] < 0x7f ? "%c" : "\\x%02x",
                        name.p[i]);
    }
    if (!item->offered.size) text_add(&item->offered, "none");
    item->words = "ALPN. This listener answers with HTTP/1.1.";
}

static void count_weak(void *arg, enum weak_kind kind, uint16_t id, const char *name)
{
    (void)kind;
    (void)id;
    (void)name;
    (*(size_t *)arg)++;
}

void assess_hello(const struct hello *h, suite_set allowed, struct assessment *out)
{
    *out = (struct assessment){.n = 0};
    assess_versions(h, out);
    assess_suites(h, allowed, out);
    assess_groups(h, out);
    assess_extensions(h, out);
    assess_each_weak(h, count_weak, &out->weak);
}

void assess_fini(struct assessment *a)
{
    for (size_t i = 0; i < a->n; i++) text_fini(&a->items[i].offered);
}

/* Names the other lists that have nothing usable. */
static void summarize_lists(const struct hello *h, struct text *out)
{
    struct text groups = {0}, schemes = {0};
    bool group = !h->has_groups, scheme = false, null = false;
    for (size_t i = 0; i < assess_listed(h->groups); i++) {
        uint16_t id = span_u16(h->groups, i);
        group = group || group_allowed(id);
        if (!is_grease(id) && i < NAMES_SHOWN) list(&groups, group_name(id), id);
    }
    for (size_t i = 0; i < assess_listed(h->schemes); i++) {
        const struct scheme *s = scheme_by_id(span_u16(h->schemes, i));
        scheme = scheme || (s && s->verdict == SCHEME_ALLOWED);
        if (i < NAMES_SHOWN) list(&schemes, s ? s->name : NULL, span_u16(h->schemes, i));
    }
    for (size_t i = 0; i < h->compression.n; i++) null = null || h->compression.p[i] == 0;
    if (!group) text_printf(out, "; groups: %s", groups.size ? text_string(&groups) : "none");
    if (!scheme && h->highest_version >= TLS_1_2) /* older versions have none */
        text_printf(out, "; signature schemes: %s", schemes.size ? text_string(&schemes) : "none");
    if (!null) text_add(out, "; compression: DEFLATE only");
    text_fini(&groups);
    text_fini(&schemes);
}

void assess_summary(const struct hello *h, suite_set allowed, struct text *out)
{
    char scratch[VERSION_TEXT_SIZE];
    suite_set offered = verdict_offered(h, allowed);
    struct text names = {0};
    size_t count = 0, n = 0;
    for (suite_set s = offered; s; s = (suite_set)(s & (s - 1))) count++;
    text_printf(out, "up to %s, %zu of the policy's suites",
                version_name(h->highest_version, scratch), count);
    for (size_t i = 0; i < h->cipher_suites.n / 2 && count == 0; i++) {
        uint16_t id = span_u16(h->cipher_suites, i);
        if (is_grease(id) || cipher_is_signal(id)) continue;
        if (n++ < NAMES_SHOWN) list(&names, cipher_name(id), id);
    }
    if (names.size) text_printf(out, ": %s", text_string(&names));
    if (n > NAMES_SHOWN) text_printf(out, " and %zu more", n - NAMES_SHOWN);
    text_fini(&names);
    summarize_lists(h, out);
}
