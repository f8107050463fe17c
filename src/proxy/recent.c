#include "proxy/recent.h"

#include "base/clock.h"
#include "base/json.h"
#include "proxy/html.h"

#include <pthread.h>
#include <stdlib.h>

struct recent {
    pthread_mutex_t lock;
    struct recent_entry entries[RECENT_ENTRIES]; /* a ring; the newest before `next` */
    size_t next, n;
};

struct recent *recent_new(void)
{
    struct recent *r = calloc(1, sizeof *r);
    if (r) pthread_mutex_init(&r->lock, NULL);
    return r;
}

void recent_free(struct recent *r)
{
    if (!r) return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void recent_add(struct recent *r, const struct recent_entry *entry)
{
    pthread_mutex_lock(&r->lock);
    r->entries[r->next] = *entry;
    r->next = (r->next + 1) % RECENT_ENTRIES;
    if (r->n < RECENT_ENTRIES) r->n++;
    pthread_mutex_unlock(&r->lock);
}

/* The i-th newest, for one who holds the lock. */
static const struct recent_entry *newest(const struct recent *r, size_t i)
{
    return &r->entries[(r->next + RECENT_ENTRIES - 1 - i) % RECENT_ENTRIES];
}

static void put_row(const struct recent_entry *e, struct text *out)
{
    char when[CLOCK_TEXT_SIZE], from[ADDR_TEXT_SIZE], scratch[VERSION_TEXT_SIZE];
    const struct reason_row *row = e->reason == REASON_OK ? NULL : reason_row(e->reason);
    clock_format(e->at, when);
    addr_format(&e->source, from);
    text_printf(out, "<tr><th scope=\"row\">%s<br><span class=\"dim\">%s, at %s</span></th><td>",
                when, from, e->listener);
    if (row) {
        text_printf(out, "<strong class=\"bad\">%s</strong><br>", row->code);
        text_add_html(out, row->sentence);
        text_add(out, ".<br><span class=\"dim\">");
        text_add_html(out, row->remedy);
        text_add(out, "</span>");
    } else {
        const char *suite = cipher_name(e->suite);
        text_printf(out, "<strong class=\"good\">passed</strong><br>%s, %s",
                    version_name(e->version, scratch), suite ? suite : "-");
    }
    text_add(out, "</td><td>");
    text_add_html(out, e->offered[0] ? e->offered : "-");
    if (e->detail[0]) {
        text_add(out, "<br>");
        text_add_html(out, e->detail);
    }
    text_printf(out, "<br><span class=\"dim\">connection %s</span></td></tr>\n", e->connection_id);
}

void recent_put_html(struct recent *r, struct text *out)
{
    html_begin(out, "Recent attempts");
    pthread_mutex_lock(&r->lock);
    if (r->n == 0) {
        text_add(out,
                 "<p>None yet. Point a client at this listener, and load this page again.</p>\n");
    } else {
        text_printf(out,
                    "<p>The latest %zu at the test listeners of this proxy, newest first. All of "
                    "them are in the audit log.</p>\n<table>\n<thead><tr><th>When and who</th>"
                    "<th>Verdict</th><th>What was offered</th></tr></thead>\n<tbody>\n",
                    r->n);
        for (size_t i = 0; i < r->n; i++) put_row(newest(r, i), out);
        text_add(out, "</tbody>\n</table>\n");
    }
    pthread_mutex_unlock(&r->lock);
    html_end(out);
}

static void put_entry(struct json *j, const struct recent_entry *e)
{
    char when[CLOCK_TEXT_SIZE], from[ADDR_TEXT_SIZE], scratch[VERSION_TEXT_SIZE];
    clock_format(e->at, when);
    addr_format_ip(&e->source, from);
    json_put_object(j, NULL);
    json_put_string(j, "time", when);
    json_put_string(j, "ip", from);
    json_put_number(j, "port", addr_port(&e->source));
    json_put_string(j, "listener", e->listener);
    json_put_string(j, "connection_id", e->connection_id);
    json_put_bool(j, "passed", e->reason == REASON_OK);
    if (e->reason != REASON_OK) {
        json_put_string(j, "code", reason_row(e->reason)->code);
        json_put_string(j, "sentence", reason_row(e->reason)->sentence);
        json_put_string(j, "remedy", reason_row(e->reason)->remedy);
    } else {
        json_put_string(j, "version", version_name(e->version, scratch));
        json_put_optional(j, "cipher", cipher_name(e->suite));
        json_put_optional(j, "curve", group_name(e->group));
    }
    json_put_optional(j, "offered", e->offered);
    json_put_optional(j, "detail", e->detail);
    json_end_object(j);
}

void recent_put_json(struct recent *r, struct text *out)
{
    struct json j = json_of(out);
    json_put_object(&j, NULL);
    json_put_array(&j, "attempts");
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++) put_entry(&j, newest(r, i));
    pthread_mutex_unlock(&r->lock);
    json_end_array(&j);
    json_end_object(&j);
    text_add(out, "\n");
}
