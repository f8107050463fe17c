#include "cli/exec.h"

#include "base/json.h"
#include "ledger/entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEAK_LIMIT = 64, NAMES_SHOWN = 4 };

/* One host and port that COMMAND connected to. */
struct endpoint {
    char *name;
    unsigned long allowed, refused;
    unsigned long unused; /* allowed, then closed by the client without payload */
    unsigned long codes[REASON_COUNT];
    char *offered, *cipher; /* of the last refusal; of the last allowed one; NULL: none */
    char *weak[WEAK_LIMIT];
    size_t weak_count;
    unsigned long more_weak;
};

struct endpoints {
    struct endpoint *items;
    size_t n;
    bool failed;
};

static struct endpoint *find(struct endpoints *all, const struct log_entry *e)
{
    char name[512];
    bool v6 = strchr(e->destination, ':') != NULL;
    const char *host = e->destination[0] ? e->destination : "(no destination)";
    snprintf(name, sizeof name, e->destination_port ? "%s%s%s:%u" : "%s%s%s", v6 ? "[" : "", host,
             v6 ? "]" : "", e->destination_port);
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->items[i].name, name) == 0) return &all->items[i];
    struct endpoint *more = realloc(all->items, (all->n + 1) * sizeof *more);
    char *copy = text_copy(name, strlen(name));
    if (more) all->items = more;
    if (!more || !copy) {
        free(copy);
        all->failed = true;
        return NULL;
    }
    more[all->n] = (struct endpoint){.name = copy};
    return &more[all->n++];
}

static void replace(char **place, const char *s)
{
    free(*place);
    *place = *s ? text_copy(s, strlen(s)) : NULL;
}

static void note_weak(void *arg, const char *name)
{
    struct endpoint *p = arg;
    for (size_t i = 0; i < p->weak_count; i++)
        if (strcmp(p->weak[i], name) == 0) return;
    char *copy = p->weak_count < WEAK_LIMIT ? text_copy(name, strlen(name)) : NULL;
    if (copy)
        p->weak[p->weak_count++] = copy;
    else
        p->more_weak++;
}

static void note(struct endpoints *all, const struct log_entry *e)
{
    /* COMMAND gave up connections that were open when it ended. */
    bool ours = e->reason == REASON_SHUTTING_DOWN;
    bool refused = !ours && strcmp(e->action, audit_action_name(AUDIT_CONNECTION_REFUSED)) == 0;
    bool opened = strcmp(e->action, audit_action_name(AUDIT_CONNECTION_OPENED)) == 0;
    bool closed = strcmp(e->action, audit_action_name(AUDIT_CONNECTION_CLOSED)) == 0;
    struct endpoint *p = refused || opened || closed ? find(all, e) : NULL;
    if (!p) return;
    if (closed && e->source_bytes == 0) p->unused++;
    if (closed) return;
    entry_each(e, ENTRY_WEAK_OFFERS, note_weak, p);
    if (opened) {
        p->allowed++;
        replace(&p->cipher, e->cipher);
        return;
    }
    struct text offered = {0};
    p->refused++;
    if (e->reason != REASON_OK) p->codes[e->reason]++;
    entry_describe_offer(e, &offered);
    replace(&p->offered, text_string(&offered));
    text_fini(&offered);
}

static void free_endpoints(struct endpoints *all)
{
    for (size_t i = 0; i < all->n; i++) {
        struct endpoint *p = &all->items[i];
        for (size_t k = 0; k < p->weak_count; k++) free(p->weak[k]);
        free(p->name);
        free(p->offered);
        free(p->cipher);
    }
    free(all->items);
}

/* ---- text ---- */

static void put_weak(const struct endpoint *p, struct text *out)
{
    size_t shown = p->weak_count < NAMES_SHOWN ? p->weak_count : NAMES_SHOWN;
    unsigned long more = p->weak_count - shown + p->more_weak;
    for (size_t i = 0; i < shown; i++)
        text_printf(out, "%s%s", i ? ", " : "; also offers ", p->weak[i]);
    if (more) text_printf(out, " and %lu more", more);
}

/* One line. */
static void put_endpoint(const struct endpoint *p, struct text *out)
{
    struct text line = {0};
    text_printf(&line, "  %s  %s", p->refused ? "refused" : "allowed", p->name);
    const char *before = " ";
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        if (!p->codes[r]) continue;
        if (row->leg == LEG_EITHER)
            text_printf(&line, "%sby the proxy: ", before);
        else
            text_printf(&line, "%son the %s leg: ", before, reason_leg_name(row->leg));
        text_printf(&line, "%s (%lu): %s", row->code, p->codes[r], row->sentence);
        before = "; ";
    }
    if (p->offered) text_printf(&line, "; %s", p->offered);
    if (p->allowed)
        text_printf(&line, "%s%lu allowed%s%s", p->refused ? "; " : " ", p->allowed,
                    p->cipher ? " with " : "", p->cipher ? p->cipher : "");
    put_weak(p, &line);
    if (p->unused && p->unused == p->allowed)
        text_add(&line, "; the client sent nothing, perhaps because it does not trust the CA");
    text_add_visible(out, text_string(&line), 2000);
    text_add(out, "\n");
    text_fini(&line);
}

static const char no_connection[] =
    "  COMMAND made no connection through the proxy. A client that knows no proxy, or takes it\n"
    "  from elsewhere than the environment, can be pointed at a listener of type test (to learn\n"
    "  what it offers) or fixed (in front of its server): see suitegate run.\n";

static void put_text(const struct endpoints *all, const struct exec_summary *s, int status,
                     struct text *out)
{
    text_printf(out, "suitegate exec: %lu connection%s, %lu refused, COMMAND's status %d\n",
                s->connections, s->connections == 1 ? "" : "s", s->refused, status);
    for (size_t i = 0; i < all->n; i++)
        if (all->items[i].refused) put_endpoint(&all->items[i], out);
    for (size_t i = 0; i < all->n; i++)
        if (!all->items[i].refused) put_endpoint(&all->items[i], out);
    if (s->connections == 0) text_add(out, no_connection);
}

/* ---- JSON ---- */

static void put_codes(struct json *j, const struct endpoint *p)
{
    json_put_array(j, "refusals");
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        if (!p->codes[r]) continue;
        json_put_object(j, NULL);
        json_put_string(j, "code", row->code);
        json_put_number(j, "count", (int64_t)p->codes[r]);
        json_put_string(j, "leg", reason_leg_name(row->leg));
        json_put_string(j, "blame", reason_blame_name(row->blame));
        json_put_string(j, "sentence", row->sentence);
        json_put_string(j, "remedy", row->remedy);
        json_end_object(j);
    }
    json_end_array(j);
}

static void put_json(const struct endpoints *all, const struct exec_summary *s, int status,
                     struct text *out)
{
    struct json j = json_of(out);
    json_put_object(&j, NULL);
    json_put_string(&j, "version", SUITEGATE_VERSION);
    json_put_number(&j, "connections", (int64_t)s->connections);
    json_put_number(&j, "refused", (int64_t)s->refused);
    json_put_number(&j, "command_status", status);
    json_put_number(&j, "exit_status", exec_status(s, status));
    json_put_array(&j, "endpoints");
    for (size_t i = 0; i < all->n; i++) {
        const struct endpoint *p = &all->items[i];
        json_put_object(&j, NULL);
        json_put_string(&j, "endpoint", p->name);
        json_put_string(&j, "verdict", p->refused ? "refused" : "allowed");
        json_put_number(&j, "allowed", (int64_t)p->allowed);
        json_put_number(&j, "refused", (int64_t)p->refused);
        json_put_number(&j, "unused", (int64_t)p->unused);
        put_codes(&j, p);
        json_put_optional(&j, "offered", p->offered);
        json_put_optional(&j, "cipher", p->cipher);
        json_put_array(&j, "weak_offers");
        for (size_t k = 0; k < p->weak_count; k++) json_put_string(&j, NULL, p->weak[k]);
        json_end_array(&j);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    text_add(out, "\n");
}

int exec_status(const struct exec_summary *s, int status)
{
    if (s->refused) return CLI_NO;
    if (status) return status;
    return s->connections ? CLI_DONE : CLI_FINDINGS;
}

bool exec_report(const struct exec_proxy *p, int status, bool json, struct exec_summary *summary,
                 struct text *out, struct text *errors)
{
    struct endpoints all = {0};
    struct line_view line;
    char path[EXEC_PATH];
    *summary = (struct exec_summary){0};
    exec_proxy_path(p, "audit.jsonl", path);
    struct lines *lines = lines_open(path, errors);
    if (!lines) return false;
    bool readable = true;
    while (lines_next(lines, &line)) {
        struct log_entry e;
        readable = entry_read(&line, &e) && readable; /* it may be a refusal */
        if (!e.root) continue;
        note(&all, &e);
        entry_fini(&e);
    }
    bool ok = readable && !lines_failed(lines) && !all.failed;
    lines_close(lines);
    for (size_t i = 0; i < all.n; i++) {
        summary->connections += all.items[i].allowed + all.items[i].refused;
        summary->refused += all.items[i].refused;
    }
    if (!ok) text_add(errors, "the record of this run cannot be read\n");
    if (ok && json) put_json(&all, summary, status, out);
    if (ok && !json) put_text(&all, summary, status, out);
    free_endpoints(&all);
    return ok;
}
