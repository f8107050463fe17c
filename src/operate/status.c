/* The overview for a terminal and for programs. */
#include "operate/overview.h"

#include "base/clock.h"
#include "base/json.h"

#include <string.h>

/* ---- JSON ---- */

static void put_connections(const struct overview *o, struct json *j)
{
    const struct counts *c = o->counts;
    struct overview_rate minute = overview_rate(o, 60), hour = overview_rate(o, 3600);
    json_put_object(j, "connections");
    json_put_number(j, "open", o->active);
    json_put_number(j, "limit", o->loaded->config->proxy.max_connections);
    json_put_number(j, "opened", (int64_t)c->opened);
    json_put_number(j, "refused", (int64_t)overview_refused(c));
    json_put_number(j, "silent", (int64_t)c->silent);
    /* Per minute: whole numbers say enough. */
    json_put_number(j, "opened_per_minute", (int64_t)(minute.opened * 60 + .5));
    json_put_number(j, "refused_per_minute", (int64_t)(minute.refused * 60 + .5));
    json_put_number(j, "opened_per_hour", (int64_t)(hour.opened * 3600 + .5));
    json_put_number(j, "refused_per_hour", (int64_t)(hour.refused * 3600 + .5));
    json_put_number(j, "bytes_from_clients", (int64_t)c->bytes[COUNTS_CLIENT]);
    json_put_number(j, "bytes_from_upstreams", (int64_t)c->bytes[COUNTS_UPSTREAM]);
    json_end_object(j);
}

static void put_refusals(const struct overview *o, struct json *j)
{
    enum reason codes[REASON_COUNT];
    size_t n = overview_refusals(o, codes);
    json_put_array(j, "refusals");
    for (size_t i = 0; i < n; i++) {
        const struct reason_row *row = reason_row(codes[i]);
        json_put_object(j, NULL);
        json_put_string(j, "code", row->code);
        json_put_string(j, "leg", reason_leg_name(row->leg));
        json_put_string(j, "blame", reason_blame_name(row->blame));
        json_put_number(j, "count", (int64_t)o->counts->refused[codes[i]]);
        json_end_object(j);
    }
    json_end_array(j);
}

static void put_newest(void *arg, const struct refusal *e)
{
    struct json *j = arg;
    const struct refusal_text t = overview_refusal(e);
    json_put_object(j, NULL);
    json_put_string(j, "time", t.when);
    json_put_string(j, "ip", t.from);
    json_put_string(j, "listener", e->listener);
    json_put_optional(j, "destination", t.destination);
    json_put_string(j, "code", reason_row(e->reason)->code);
    json_put_string(j, "sentence", reason_row(e->reason)->sentence);
    json_put_string(j, "remedy", reason_remedy(e->reason, e->alert_received));
    json_put_optional(j, "detail", e->detail);
    json_put_string(j, "connection_id", e->connection_id);
    json_end_object(j);
}

static void put_listeners(const struct overview *o, struct json *j)
{
    json_put_array(j, "listeners");
    for (size_t i = 0; i < o->loaded->config->listener_count; i++) {
        const struct listen_config *l = &o->loaded->config->listeners[i];
        char where[ADDR_TEXT_SIZE];
        addr_format(&o->loaded->listener_addresses[i], where);
        json_put_object(j, NULL);
        json_put_string(j, "name", l->name);
        json_put_string(j, "type", listen_type_name(l->type));
        json_put_string(j, "address", where);
        json_put_optional(j, "mode", listen_mode_name(l->mode));
        json_put_number(j, "connections", overview_connections(o, l->name));
        json_end_object(j);
    }
    json_end_array(j);
}

static void put_upstreams(const struct overview *o, struct json *j)
{
    const struct census_upstream *rows[OVERVIEW_ROWS];
    unsigned others;
    size_t n = overview_upstreams(o, rows, &others);
    json_put_array(j, "upstreams");
    for (size_t i = 0; i < n; i++) {
        json_put_object(j, NULL);
        json_put_string(j, "destination", rows[i]->name);
        json_put_number(j, "connections", rows[i]->relays);
        json_end_object(j);
    }
    json_end_array(j);
    if (others) json_put_number(j, "connections_to_other_upstreams", others);
}

static void put_ends(const struct overview *o, struct json *j)
{
    json_put_array(j, "certificates");
    for (size_t i = 0; i < o->loaded->end_count; i++) {
        const struct expiry *e = &o->loaded->ends[i];
        char when[CLOCK_TEXT_SIZE];
        clock_format_seconds(e->end, when);
        json_put_object(j, NULL);
        json_put_string(j, "what", e->what);
        json_put_string(j, "ends", when);
        json_put_number(j, "days_left", overview_days_left(o, e->end));
        json_put_bool(j, "soon", o->now >= e->warn_from);
        json_end_object(j);
    }
    json_end_array(j);
}

static void put_log(const struct overview *o, struct json *j)
{
    json_put_object(j, "log");
    json_put_bool(j, "failing", o->log->failing != 0);
    json_put_number(j, "written", (int64_t)o->log->written);
    json_put_number(j, "waiting", (int64_t)o->log->waiting);
    json_put_number(j, "sequence", (int64_t)o->log->sequence);
    json_put_optional(j, "head", o->log->head);
    json_put_array(j, "sinks");
    for (size_t i = 0; i < o->log->sink_count; i++) {
        const struct log_sink *s = &o->log->sinks[i];
        json_put_object(j, NULL);
        json_put_string(j, "name", s->name);
        json_put_number(j, "written", (int64_t)s->written);
        json_put_number(j, "waiting", (int64_t)s->waiting);
        json_put_number(j, "dropped", (int64_t)s->dropped);
        json_end_object(j);
    }
    json_end_array(j);
    json_end_object(j);
}

static void put_time(struct json *j, const char *key, unsigned long seconds)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format_seconds((time_t)seconds, when);
    if (seconds) json_put_string(j, key, when);
}

void status_put_json(const struct overview *o, struct text *out)
{
    struct json j = json_of(out);
    json_put_object(&j, NULL);
    json_put_string(&j, "version", SUITEGATE_VERSION);
    put_time(&j, "time", (unsigned long)o->now);
    put_time(&j, "started", o->keeper->started);
    put_time(&j, "configuration_loaded", o->keeper->loaded);
    json_put_bool(&j, "ready", o->ready && !o->fault);
    json_put_optional(&j, "fault", o->fault);
    put_connections(o, &j);
    put_listeners(o, &j);
    put_refusals(o, &j);
    json_put_array(&j, "newest_refusals");
    refusals_each(o->refusals, OVERVIEW_ROWS, put_newest, &j);
    json_end_array(&j);
    put_upstreams(o, &j);
    put_ends(o, &j);
    put_log(o, &j);
    json_end_object(&j);
    text_add(out, "\n");
}

/* ---- text ---- */

/* A name that may have any character. */
static void say_named(struct text *out, const char *what, const char *name)
{
    enum { NAME_COLUMNS = 120 };
    text_printf(out, "%-14s", what);
    text_add_visible(out, name, NAME_COLUMNS);
}

static void say_newest(void *arg, const struct refusal *e)
{
    struct text *out = arg;
    const struct refusal_text t = overview_refusal(e);
    text_printf(out, "  %.19sZ  %s at %s", t.when, t.from, e->listener);
    if (t.destination[0]) {
        text_add(out, " to ");
        text_add_visible(out, t.destination, 80);
    }
    text_printf(out, ": %s\n", reason_row(e->reason)->code);
    text_add_wrapped(out, 4, reason_remedy(e->reason, e->alert_received));
}

static void say_connections(const struct overview *o, struct text *out)
{
    struct overview_rate minute = overview_rate(o, 60);
    text_printf(out,
                "connections   %u open of %u; since the start %lu allowed, %lu refused, %lu "
                "silent\n",
                o->active, o->loaded->config->proxy.max_connections, o->counts->opened,
                overview_refused(o->counts), o->counts->silent);
    text_printf(out, "per minute    %.0f allowed, %.0f refused, by the last one\n",
                minute.opened * 60, minute.refused * 60);
}

static void say_listeners(const struct overview *o, struct text *out)
{
    for (size_t i = 0; i < o->loaded->config->listener_count; i++) {
        const struct listen_config *l = &o->loaded->config->listeners[i];
        char where[ADDR_TEXT_SIZE];
        addr_format(&o->loaded->listener_addresses[i], where);
        text_printf(out, "listener      %s (%s%s) on %s: %u open\n", l->name,
                    listen_type_name(l->type), l->mode == MODE_OBSERVE ? ", only observes" : "",
                    where, overview_connections(o, l->name));
    }
}

static void say_log(const struct overview *o, struct text *out)
{
    const struct log_state *log = o->log;
    if (o->state_age_s < 0) {
        text_add(out, "log           not known yet\n");
        return;
    }
    text_printf(out, "log           %s%lu records written, %lu waiting\n",
                log->failing ? "CANNOT BE WRITTEN; " : "", log->written, log->waiting);
    text_printf(out, "chain         record %lu, %s\n", log->sequence, log->head);
    for (size_t i = 0; i < log->sink_count; i++) {
        say_named(out, "sink", log->sinks[i].name);
        text_printf(out, ": %lu written, %lu waiting, %lu dropped\n", log->sinks[i].written,
                    log->sinks[i].waiting, log->sinks[i].dropped);
    }
}

static void say_ends(const struct overview *o, struct text *out)
{
    for (size_t i = 0; i < o->loaded->end_count; i++) {
        const struct expiry *e = &o->loaded->ends[i];
        char when[CLOCK_TEXT_SIZE];
        clock_format_seconds(e->end, when);
        say_named(out, "certificate", e->what);
        text_printf(out, ": %ld days left, until %.10s%s\n", overview_days_left(o, e->end), when,
                    o->now >= e->warn_from ? " (SOON)" : "");
    }
}

void status_put_text(const struct overview *o, struct text *out)
{
    char when[CLOCK_TEXT_SIZE];
    enum reason codes[REASON_COUNT];
    const struct census_upstream *rows[OVERVIEW_ROWS];
    unsigned others;
    clock_format_seconds((time_t)o->keeper->started, when);
    text_printf(out, "suitegate %s, %s", SUITEGATE_VERSION,
                o->fault   ? o->fault
                : o->ready ? "serving"
                           : "draining: it accepts no new connections");
    if (o->keeper->started) text_printf(out, ", since %s", when);
    text_add(out, "\n");
    say_connections(o, out);
    say_listeners(o, out);
    size_t n = overview_upstreams(o, rows, &others);
    for (size_t i = 0; i < n; i++) {
        say_named(out, "upstream", rows[i]->name);
        text_printf(out, ": %u open\n", rows[i]->relays);
    }
    if (others) text_printf(out, "upstream      others: %u open\n", others);
    say_log(o, out);
    say_ends(o, out);
    n = overview_refusals(o, codes);
    for (size_t i = 0; i < n; i++)
        text_printf(out, "refused       %lu %s (blame: %s)\n", o->counts->refused[codes[i]],
                    reason_row(codes[i])->code, reason_blame_name(reason_row(codes[i])->blame));
    if (n > 0) text_add(out, "newest refusals\n");
    refusals_each(o->refusals, OVERVIEW_ROWS / 2, say_newest, out);
}
