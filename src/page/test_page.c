#include "page/test_page.h"

#include "base/clock.h"
#include "base/json.h"
#include "page/html.h"
#include "page/request.h"
#include "policy/assess.h"
#include "policy/verdict.h"

#include <string.h>

static const char *version_text(const struct test_page_facts *f)
{
    static _Thread_local char scratch[VERSION_TEXT_SIZE];
    return version_name(f->agreed.version, scratch);
}

static const char *group_text(const struct test_page_facts *f)
{
    const char *name = group_name(f->agreed.group);
    return name ? name : "-";
}

/* By the suite's key type; a resumed session has none. */
static const char *certificate_text(const struct test_page_facts *f)
{
    if (f->agreed.resumed) return "none, a resumed session";
    return f->key == KEY_ECDSA ? "ECDSA" : "RSA";
}

/* Only clients on this machine that use a local name: a foreign web page whose DNS name leads here
 * (DNS rebinding) must not read what others sent. */
static bool may_see_recent(const struct test_page_facts *f)
{
    const char *name = f->hello->server_name;
    struct addr ip;
    return f->is_of_this_machine &&
           (!name[0] || strcmp(name, "localhost") == 0 || addr_from_ip(name, 0, &ip));
}

/* The page */

static void put_chosen_html(const struct test_page_facts *f, struct text *out)
{
    const char *cipher = cipher_name(f->agreed.suite);
    text_add(out, "<h2>What was chosen</h2>\n<dl>\n");
    html_term(out, "Version", version_text(f));
    text_add(out, "<dt>Cipher suite</dt><dd>");
    html_add_name(out, cipher ? cipher : "-");
    text_add(out, "</dd>\n");
    html_term(out, "Group", f->agreed.resumed ? "- (a resumed session)" : group_text(f));
    html_term(out, "Certificate", certificate_text(f));
    html_term(out, "Extended master secret", f->agreed.extended_master_secret ? "yes" : "no");
    html_term(out, "Encrypt-then-MAC", f->agreed.encrypt_then_mac ? "yes" : "no");
    html_term(out, "Application protocol", f->agreed.alpn[0] ? f->agreed.alpn : "none");
    text_add(out, "</dl>\n");
}

static void put_items_html(const struct assessment *a, struct text *out)
{
    static const char *const classes[] = {"good", "weak", "dim"};
    text_add(out, "<h2>What the client offered</h2>\n<table>\n<thead><tr><th>Item</th>"
                  "<th>Verdict</th><th>Offered</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < a->n; i++) {
        const struct assess_item *item = &a->items[i];
        text_printf(out, "<tr><th scope=\"row\">%s</th><td><strong class=\"%s\">%s</strong><br>",
                    item->name, classes[item->mark], assess_mark_name(item->mark));
        text_add_html(out, item->words);
        text_add(out, "</td><td><span class=\"narrow\">Offered: </span>");
        html_add_name(out, item->offered.size ? text_string(&item->offered) : "none");
        text_add(out, "</td></tr>\n");
    }
    text_add(out, "</tbody>\n</table>\n");
}

static void put_page(const struct test_page_facts *f, struct text *out)
{
    struct assessment a;
    char from[ADDR_TEXT_SIZE];
    assess_hello(f->hello, f->allowed, &a);
    addr_format(&f->peer, from);
    html_begin(out, "This client passes");
    text_add(out, "<p class=\"good\">It speaks TLS 1.2 with an approved cipher suite, and would be "
                  "let through by the proxy.</p>\n");
    if (a.weak)
        text_printf(out,
                    "<p class=\"weak\">It also offers what is weaker than the policy: %zu in all. "
                    "None of it is ever used here, but a server without anything better would get "
                    "it from this client.</p>\n",
                    a.weak);
    put_chosen_html(f, out);
    put_items_html(&a, out);
    text_add(out, "<h2>In the audit log</h2>\n<dl>\n");
    html_term(out, "Client", from);
    html_term(out, "Connection", f->connection_id);
    html_term(out, "JA4", f->ja4);
    text_add(out, "</dl>\n<p>The same as <a href=\"/json\">JSON</a>.");
    if (may_see_recent(f))
        text_add(out, " <a href=\"/recent\">Recent attempts</a>, with those that were refused.");
    text_add(out, "</p>\n");
    html_end(out);
    assess_fini(&a);
}

/* JSON */

static void put_u16s(struct json *j, const char *key, struct span list,
                     const char *(*name)(uint16_t id))
{
    json_put_array(j, key);
    for (size_t i = 0; i < assess_listed(list); i++) {
        uint16_t id = span_u16(list, i);
        char hex[8];
        text_hex((const uint8_t[]){(uint8_t)(id >> 8), (uint8_t)id}, 2, hex);
        if (!is_grease(id)) json_put_string(j, NULL, name(id) ? name(id) : hex);
    }
    json_end_array(j);
}

static const char *name_of_version(uint16_t id)
{
    static _Thread_local char scratch[VERSION_TEXT_SIZE];
    return version_name(id, scratch);
}

static const char *name_of_scheme(uint16_t id)
{
    const struct scheme *s = scheme_by_id(id);
    return s ? s->name : NULL;
}

static void put_weak(void *arg, enum weak_kind kind, uint16_t id, const char *name)
{
    char hex[8];
    (void)kind;
    text_hex((const uint8_t[]){(uint8_t)(id >> 8), (uint8_t)id}, 2, hex);
    json_put_string(arg, NULL, name ? name : hex);
}

static void put_offered_json(const struct test_page_facts *f, struct json *j)
{
    const struct hello *h = f->hello;
    char scratch[VERSION_TEXT_SIZE];
    suite_set offered = verdict_offered(h, f->allowed);
    json_put_object(j, "offered");
    json_put_string(j, "highest_version", version_name(h->highest_version, scratch));
    put_u16s(j, "supported_versions", h->supported_versions, name_of_version);
    json_put_array(j, "approved");
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (offered & suite_bit(&suites[i])) json_put_string(j, NULL, suites[i].iana);
    json_end_array(j);
    json_put_array(j, "weak_offers");
    assess_each_weak(h, put_weak, j);
    json_end_array(j);
    put_u16s(j, "groups", h->groups, group_name);
    put_u16s(j, "signature_schemes", h->schemes, name_of_scheme);
    json_put_optional(j, "server_name", h->server_name);
    json_put_string(j, "ja4", f->ja4);
    json_end_object(j);
}

static void put_json(const struct test_page_facts *f, struct text *out)
{
    struct json j = json_of(out);
    struct assessment a;
    char from[ADDR_TEXT_SIZE];
    assess_hello(f->hello, f->allowed, &a);
    addr_format_ip(&f->peer, from);
    json_put_object(&j, NULL);
    json_put_string(&j, "verdict", "passed");
    json_put_bool(&j, "offers_weaker", a.weak > 0);
    json_put_string(&j, "connection_id", f->connection_id);
    json_put_string(&j, "listener", f->listener);
    json_put_object(&j, "source");
    json_put_string(&j, "ip", from);
    json_put_number(&j, "port", addr_port(&f->peer));
    json_end_object(&j);
    json_put_object(&j, "chosen");
    json_put_string(&j, "version", version_text(f));
    json_put_optional(&j, "cipher", cipher_name(f->agreed.suite));
    json_put_optional(&j, "curve", group_name(f->agreed.group));
    json_put_optional(&j, "certificate", f->agreed.resumed ? NULL : key_type_name(f->key));
    json_put_bool(&j, "resumed", f->agreed.resumed);
    json_put_bool(&j, "extended_master_secret", f->agreed.extended_master_secret);
    json_put_bool(&j, "encrypt_then_mac", f->agreed.encrypt_then_mac);
    json_put_optional(&j, "next_protocol", f->agreed.alpn);
    json_end_object(&j);
    put_offered_json(f, &j);
    json_put_array(&j, "items");
    for (size_t i = 0; i < a.n; i++) {
        json_put_object(&j, NULL);
        json_put_string(&j, "item", a.items[i].name);
        json_put_string(&j, "verdict", assess_mark_name(a.items[i].mark));
        json_put_string(&j, "offered", text_string(&a.items[i].offered));
        json_put_string(&j, "words", a.items[i].words);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    text_add(out, "\n");
    assess_fini(&a);
}

/* HTTP */

static bool is_path(const struct request *r, const char *path)
{
    return strcmp(r->path, path) == 0;
}

static void put_response(struct text *out, const struct request *r, const char *status, bool html,
                         const struct text *body)
{
    const char *type = html ? "text/html" : "application/json";
    text_printf(out,
                "HTTP/1.1 %s\r\n"
                "Content-Type: %s; charset=utf-8\r\n"
                "Content-Length: %zu\r\n"
                "Content-Security-Policy: default-src 'none'; img-src data:; style-src "
                "'unsafe-inline'\r\n"
                "X-Content-Type-Options: nosniff\r\n"
                "Cache-Control: no-store\r\n"
                "Connection: close\r\n\r\n",
                status, type, body->size);
    if (!r->head_only) text_add_bytes(out, text_string(body), body->size);
}

static void put_forbidden(bool html, struct text *out)
{
    static const char why[] =
        "/recent is for the operator: on this machine, as https://localhost or an IP address";
    if (!html) {
        text_printf(out, "{\"error\":\"%s\"}\n", why);
        return;
    }
    html_begin(out, "Not from here");
    text_printf(out, "<p>%s.</p>\n", why);
    html_end(out);
}

bool test_page_is_view(const uint8_t *request, size_t n)
{
    if (n == 0) return false;
    struct request r = request_read(request, n);
    return is_path(&r, "/recent");
}

void test_page_render(const struct test_page_facts *facts, const uint8_t *request, size_t n,
                      struct text *out)
{
    struct request r = request_read(request, n);
    struct text body = {0};
    const char *status = "200 OK";
    bool html = r.html;
    if (is_path(&r, "/health")) {
        html = false;
        text_add(&body, "{\"status\":\"ok\"}\n");
    } else if (is_path(&r, "/recent") && !may_see_recent(facts)) {
        status = "403 Forbidden";
        put_forbidden(html, &body);
    } else if (is_path(&r, "/recent") && html) {
        recent_put_html(facts->recent, &body);
    } else if (is_path(&r, "/recent")) {
        recent_put_json(facts->recent, &body);
    } else if (is_path(&r, "/") || (html && !is_path(&r, "/json"))) {
        html = true;
        put_page(facts, &body);
    } else {
        html = false; /* whatever the path */
        put_json(facts, &body);
    }
    put_response(out, &r, status, html, &body);
    text_fini(&body);
}
