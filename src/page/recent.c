#include "page/recent.h"

#include "base/clock.h"
#include "base/json.h"
#include "page/html.h"

#include <pthread.h>
#include <stdlib.h>

struct ring {
    struct recent_entry entries[RECENT_ENTRIES]; /* the newest is before `next` */
    size_t next, n;
};

struct recent {
    pthread_mutex_t lock;
    struct ring refused, passed;
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
    struct ring *ring = entry->reason == REASON_OK ? &r->passed : &r->refused;
    pthread_mutex_lock(&r->lock);
    ring->entries[ring->next] = *entry;
    ring->next = (ring->next + 1) % RECENT_ENTRIES;
    if (ring->n < RECENT_ENTRIES) ring->n++;
    pthread_mutex_unlock(&r->lock);
}

/* The i-th newest; NULL when there are fewer. */
static const struct recent_entry *newest(const struct ring *r, size_t i)
{
    if (i >= r->n) return NULL;
    return &r->entries[(r->next + RECENT_ENTRIES - 1 - i) % RECENT_ENTRIES];
}

static bool is_later(const struct recent_entry *a, const struct recent_entry *b)
{
    if (!a || !b) return a != NULL;
    if (a->at.tv_sec != b->at.tv_sec) return a->at.tv_sec > b->at.tv_sec;
    return a->at.tv_nsec > b->at.tv_nsec;
}

/* Both rings, newest first, with the lock held. */
static void each(const struct recent *r, void (*put)(void *arg, const struct recent_entry *e),
                 void *arg)
{
    size_t refused = 0, passed = 0;
    while (refused < r->refused.n || passed < r->passed.n) {
        const struct recent_entry *a = newest(&r->refused, refused),
                                  *b = newest(&r->passed, passed);
        bool first = is_later(a, b);
        put(arg, first ? a : b);
        if (first)
            refused++;
        else
            passed++;
    }
}

static void put_verdict(const struct recent_entry *e, struct text *out)
{
    char scratch[VERSION_TEXT_SIZE];
    const struct reason_row *row = e->reason == REASON_OK ? NULL : reason_row(e->reason);
    if (!row) {
        const char *suite = cipher_name(e->suite);
        text_printf(out, "<strong class=\"good\">passed</strong><br>%s, ",
                    version_name(e->version, scratch));
        html_add_name(out, suite ? suite : "-");
        return;
    }
    text_printf(out, "<strong class=\"bad\">%s</strong><br>", row->code);
    text_add_html(out, row->sentence);
    text_add(out, ".");
    text_add(out, "<br><span class=\"dim\">");
    text_add_html(out, reason_remedy(e->reason, e->alert_received));
    text_add(out, "</span>");
}

static void put_row(void *arg, const struct recent_entry *e)
{
    struct text *out = arg;
    char when[CLOCK_TEXT_SIZE], from[ADDR_TEXT_SIZE];
    clock_format(e->at, when);
    addr_format(&e->source, from);
    /* The date and the time of day, one line each. */
    text_printf(out, "<tr><th scope=\"row\">%.10s<br>%s<br><span class=\"dim\">%s<br>at ", when,
                *when ? when + 11 : "", from);
    text_add_html(out, e->listener);
    text_add(out, "</span></th><td>");
    put_verdict(e, out);
    text_add(out, "</td><td><span class=\"narrow\">Offered: </span>");
    html_add_name(out, e->offered[0] ? e->offered : "-");
    if (e->detail[0]) {
        text_add(out, "<br>");
        text_add_html(out, e->detail);
    }
    text_add(out, "<br><span class=\"dim\">");
    if (e->alert_sent >= 0)
        text_printf(out, "alert sent: %d %s<br>", e->alert_sent, reason_alert_name(e->alert_sent));
    if (e->alert_received >= 0)
        text_printf(out, "alert received: %d %s<br>", e->alert_received,
                    reason_alert_name(e->alert_received));
    text_printf(out, "connection %s</span></td></tr>\n", e->connection_id);
}

void recent_put_html(struct recent *r, struct text *out)
{
    html_begin(out, "Recent attempts");
    pthread_mutex_lock(&r->lock);
    size_t n = r->refused.n + r->passed.n;
    if (n == 0) {
        text_add(out,
                 "<p>None yet. Point a client at this listener, and load this page again.</p>\n");
    } else {
        text_printf(out,
                    "<p>The latest %zu at the test listeners of this proxy, newest first. All of "
                    "them are in the audit log.</p>\n<table>\n<thead><tr><th>When and who</th>"
                    "<th>Verdict</th><th>What was offered</th></tr></thead>\n<tbody>\n",
                    n);
        each(r, put_row, out);
        text_add(out, "</tbody>\n</table>\n");
    }
    pthread_mutex_unlock(&r->lock);
    text_add(out, "<p><a href=\"/\">What this browser offers</a></p>\n");
    html_end(out);
}

static void put_entry(void *arg, const struct recent_entry *e)
{
    struct json *j = arg;
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
        json_put_string(j, "remedy", reason_remedy(e->reason, e->alert_received));
    } else {
        json_put_string(j, "version", version_name(e->version, scratch));
        json_put_optional(j, "cipher", cipher_name(e->suite));
        json_put_optional(j, "curve", group_name(e->group));
    }
    if (e->alert_sent >= 0) json_put_number(j, "alert_sent", e->alert_sent);
    if (e->alert_received >= 0) json_put_number(j, "alert_received", e->alert_received);
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
    each(r, put_entry, &j);
    pthread_mutex_unlock(&r->lock);
    json_end_array(&j);
    json_end_object(&j);
    text_add(out, "\n");
}
