#include "ledger/entry.h"

#include "audit/open_line.h"
#include "base/clock.h"

#include <jansson.h>

#include <string.h>

void entry_peek_action(const struct line_view *line, char out[ENTRY_ACTION], bool *plain_close)
{
    static const char member[] = OPEN_LINE_ACTION "\"";
    static const char closed[] = "connection-closed\",\"outcome\":\"success\",\"duration\":";
    enum { WINDOW = 800, MEMBER = sizeof member - 1 };
    size_t from = line->n > WINDOW ? line->n - WINDOW : 0, n = 0;
    const char *at = memmem(line->p + from, line->n - from, member, MEMBER);
    *plain_close = at && strncmp(at + MEMBER, closed, sizeof closed - 1) == 0;
    for (at = at ? at + MEMBER : ""; n < ENTRY_ACTION - 1 && *at && *at != '"'; n++) out[n] = *at++;
    out[n] = '\0';
}

bool entry_peek_time(const char *line, size_t n, char out[ENTRY_TIME])
{
    static const char start[] = "{\"@timestamp\":\"";
    enum { FROM = sizeof start - 1, LENGTH = ENTRY_TIME - 1 };
    bool there = n > FROM + LENGTH && memcmp(line, start, FROM) == 0 && line[FROM + LENGTH] == '"';
    for (size_t i = FROM; there && i < FROM + LENGTH; i++)
        there = line[i] >= '-' && line[i] <= 'Z'; /* no control characters */
    if (there) memcpy(out, line + FROM, LENGTH);
    out[there ? LENGTH : 0] = '\0';
    return there;
}

/* A peer's text has no such member: its quotation marks are escaped. */
bool entry_peek_instance(const struct line_view *line, char out[ENTRY_INSTANCE])
{
    static const char member[] = "\"service\":{\"node\":{\"name\":\"";
    const char *at = memmem(line->p, line->n, member, sizeof member - 1);
    const char *from = at ? at + sizeof member - 1 : NULL;
    const char *end = from ? memchr(from, '"', (size_t)(line->p + line->n - from)) : NULL;
    bool there = end && end > from && end - from < ENTRY_INSTANCE;
    if (there) memcpy(out, from, (size_t)(end - from));
    out[there ? end - from : 0] = '\0';
    return there;
}

static const char *string_at(json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static int number_at(json_t *object, const char *key, int standard)
{
    json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? (int)json_integer_value(v) : standard;
}

static void read_event(struct log_entry *e, json_t *event)
{
    e->action = string_at(event, "action");
    e->code = string_at(event, "code");
    e->sequence = (uint64_t)json_integer_value(json_object_get(event, "sequence"));
    e->reason = reason_by_code(e->code);
}

static void read_ends(struct log_entry *e)
{
    json_t *destination = json_object_get(e->root, "destination");
    json_t *source = json_object_get(e->root, "source");
    json_t *service = json_object_get(e->root, "service");
    e->instance = string_at(json_object_get(service, "node"), "name");
    e->source = string_at(source, "ip");
    e->source_bytes = (uint64_t)json_integer_value(json_object_get(source, "bytes"));
    e->destination = string_at(destination, "domain");
    if (!e->destination[0]) e->destination = string_at(destination, "ip");
    int port = number_at(destination, "port", 0);
    e->destination_port = port > 0 && port < 65536 ? (uint16_t)port : 0;
}

static void read_outlook(struct log_entry *e, json_t *would)
{
    const char *outcome = string_at(would, "outcome");
    e->observed = json_is_object(would);
    e->would_refuse = reason_by_code(string_at(would, "code"));
    e->outlook = OUTLOOK_UNKNOWN;
    if (strcmp(outcome, outlook_kind_name(OUTLOOK_PASS)) == 0) e->outlook = OUTLOOK_PASS;
    if (e->would_refuse != REASON_OK) e->outlook = OUTLOOK_REFUSE;
}

static void read_suitegate(struct log_entry *e, json_t *suitegate)
{
    json_t *alert = json_object_get(suitegate, "alert");
    read_outlook(e, json_object_get(suitegate, "would_refuse"));
    e->leg = string_at(suitegate, "leg");
    e->blame = string_at(suitegate, "blame");
    e->downgrade = string_at(suitegate, "downgrade");
    e->identity = string_at(suitegate, "identity");
    e->listener = string_at(suitegate, "listener");
    e->connection_id = string_at(suitegate, "connection_id");
    e->detail = string_at(suitegate, "detail");
    json_t *count = json_object_get(json_object_get(suitegate, "repeated"), "count");
    e->count = json_integer_value(count) > 0 ? (uint64_t)json_integer_value(count) : 1;
    e->alert_sent = number_at(alert, "sent", -1);
    e->alert_received = number_at(alert, "received", -1);
    json_t *tls = json_object_get(e->root, "tls");
    if (strcmp(e->leg, "upstream") == 0)
        tls = json_object_get(json_object_get(suitegate, "upstream"), "tls");
    e->version = string_at(tls, "version");
    e->cipher = string_at(tls, "cipher");
}

bool entry_read(const struct line_view *line, struct log_entry *out)
{
    *out = (struct log_entry){.root = json_loadb(line->p, line->n, JSON_ALLOW_NUL, NULL)};
    json_t *event = json_object_get(out->root, "event");
    if (json_is_object(event) && strcmp(string_at(event, "dataset"), "suitegate.audit") == 0) {
        out->time = string_at(out->root, "@timestamp");
        out->message = string_at(out->root, "message");
        read_event(out, event);
        read_ends(out);
        read_suitegate(out, json_object_get(out->root, "suitegate"));
        if (clock_parse(out->time, &out->at)) return true;
    }
    entry_fini(out);
    return false;
}

void entry_fini(struct log_entry *e)
{
    json_decref(e->root);
    e->root = NULL;
}

static json_t *list_of(const struct log_entry *e, enum entry_list list)
{
    json_t *hello = json_object_get(json_object_get(e->root, "suitegate"), "client");
    json_t *tls = json_object_get(json_object_get(e->root, "tls"), "client");
    switch (list) {
    case ENTRY_WEAK_OFFERS:
        return json_object_get(hello, "weak_offers");
    case ENTRY_VERSIONS:
        return json_object_get(hello, "supported_versions");
    default:
        return json_object_get(tls, "supported_ciphers");
    }
}

void entry_each(const struct log_entry *e, enum entry_list list,
                void (*each)(void *arg, const char *s), void *arg)
{
    json_t *array = list_of(e, list);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *s = json_string_value(json_array_get(array, i));
        if (s) each(arg, s);
    }
}

static void join(struct text *out, json_t *array, size_t most)
{
    size_t n = json_array_size(array);
    for (size_t i = 0; i < n && i < most; i++) {
        const char *s = json_string_value(json_array_get(array, i));
        text_printf(out, "%s%s", i ? ", " : "", s ? s : "?");
    }
    if (n > most) text_printf(out, " and %zu more", n - most);
}

static void describe_client(const struct log_entry *e, struct text *out)
{
    json_t *hello = json_object_get(json_object_get(e->root, "suitegate"), "client");
    json_t *now = json_object_get(hello, "offer"),
           *before = json_object_get(hello, "previous_offer");
    json_t *ciphers = list_of(e, ENTRY_CIPHERS), *versions = list_of(e, ENTRY_VERSIONS);
    if (now && before) {
        text_printf(out, "offered %s with %zu allowed suites, then %s with %zu",
                    string_at(before, "highest_version"),
                    json_array_size(json_object_get(before, "approved")),
                    string_at(now, "highest_version"),
                    json_array_size(json_object_get(now, "approved")));
        return;
    }
    if (!json_array_size(ciphers)) return;
    text_add(out, "offered ");
    if (json_array_size(versions))
        join(out, versions, 4);
    else
        text_add(out, string_at(hello, "hello_version"));
    text_add(out, " with ");
    join(out, ciphers, 2);
}

static void describe_upstream(const struct log_entry *e, struct text *out)
{
    json_t *tls =
        json_object_get(json_object_get(json_object_get(e->root, "suitegate"), "upstream"), "tls");
    json_t *server = json_object_get(tls, "server");
    if (e->version[0]) text_printf(out, "chose TLS %s with %s", e->version, e->cipher);
    if (server)
        text_printf(out, "%sits certificate is %s by %s until %s", out->size ? "; " : "",
                    string_at(server, "subject"), string_at(server, "issuer"),
                    string_at(server, "not_after"));
    if (e->alert_received >= 0)
        text_printf(out, "%ssent alert %d (%s)", out->size ? "; " : "", e->alert_received,
                    reason_alert_name(e->alert_received));
}

void entry_describe_offer(const struct log_entry *e, struct text *out)
{
    if (strcmp(e->leg, "upstream") == 0)
        describe_upstream(e, out);
    else
        describe_client(e, out);
}
