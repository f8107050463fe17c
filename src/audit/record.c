#include "audit/record.h"

#include "record_log.h"
#include "record_offer.h"
#include "record_sentence.h"

#include "audit/open_line.h"
#include "audit/receipt.h"
#include "base/clock.h"
#include "base/json.h"
#include "pki/name.h"
#include "policy/certificate_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The longest strings, as JSON; longer ones are cut. If these and all else have their longest form,
 * LISTS_LEAST bytes are left for the lists (tests/unit/test_record.c). */
enum { ISSUERS_MOST = 6, ISSUER_MOST = 128 };
enum { NAME_MOST = 512, SENTENCE_MOST = 2048, MESSAGE_MOST = 3072 };
/* The room for the lists of the first attempt, and of the last one. */
enum { LISTS_USUAL = 12288, LISTS_LEAST = LISTS_USUAL / 16 };

enum action_outcome { OUTCOME_SUCCESS, OUTCOME_FAILURE };

static const struct action_row {
    const char *name, *type;
    enum action_outcome outcome;
    enum audit_level level;
    bool routine;
    enum audit_sender by;
    const char *sentence;
} actions[] = {
#define ACTION(name, text, type, outcome, level, routine, by, sentence) \
    {text, type, OUTCOME_##outcome, AUDIT_##level, routine, AUDIT_BY_##by, sentence},
#include "audit/actions.def"
#undef ACTION
};

static const char *const level_names[] = {
    [AUDIT_INFO] = "info", [AUDIT_WARNING] = "warning", [AUDIT_ERROR] = "error"};

const char *audit_action_name(enum audit_action action)
{
    return actions[action].name;
}

bool audit_action_is_routine(enum audit_action action)
{
    return actions[action].routine;
}

enum audit_sender audit_action_sender(enum audit_action action)
{
    return actions[action].by;
}

static bool about_connection(const struct audit_event *e)
{
    return e->connection_id != NULL;
}

/* A record without a part of it would be wrong. */
static void note_failure(struct text *record, const struct text *part)
{
    if (part->failed) record->failed = true;
}

static void message(const struct audit_event *e, struct text *out)
{
    if (about_connection(e)) {
        record_sentence(e, out);
        return;
    }
    text_add(out, actions[e->action].sentence);
    if (!e->detail) return;
    size_t n = strlen(e->detail);
    text_printf(out, " %s%s", e->detail, n > 0 && e->detail[n - 1] == '.' ? "" : ".");
}

/* The idle timeout ended the tunnel, not a peer. */
static bool was_cut(const struct audit_event *e)
{
    return e->closed_by && strcmp(e->closed_by, "idle_timeout") == 0;
}

static enum audit_level level(const struct audit_event *e)
{
    enum audit_level own = actions[e->action].level;
    enum audit_level verdict = e->reason == REASON_INTERNAL_ERROR     ? AUDIT_ERROR
                               : e->reason != REASON_OK || was_cut(e) ? AUDIT_WARNING
                                                                      : AUDIT_INFO;
    return own > verdict ? own : verdict;
}

static void put_cut(struct json *j, const char *key, const char *value, size_t most)
{
    json_put_cut(j, key, value, strlen(value), most);
}

static void put_head(struct json *j, struct timespec at)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format(at, when);
    json_put_string(j, "@timestamp", when);
    json_put_object(j, "ecs");
    json_put_string(j, "version", "8.11.0");
    json_end_object(j);
}

/* Comes last and stays open: sequence and hash follow (audit/chain.h). */
static void put_event(struct json *j, enum audit_action action, enum reason reason, bool cut,
                      int64_t duration_ns)
{
    const struct action_row *row = &actions[action];
    bool failure = cut || row->outcome == OUTCOME_FAILURE;
    json_put_object(j, "event");
    json_put_string(j, "kind", "event");
    json_put_array(j, "category");
    json_put_string(j, NULL, "network");
    json_end_array(j);
    json_put_array(j, "type");
    json_put_string(j, NULL, row->type);
    json_end_array(j);
    json_put_string(j, "dataset", "suitegate.audit");
    json_put_string(j, "action", row->name);
    json_put_string(j, "outcome", failure ? "failure" : "success");
    if (reason != REASON_OK) {
        json_put_string(j, "code", reason_row(reason)->code);
        json_put_string(j, "reason", reason_row(reason)->sentence);
    }
    if (duration_ns >= 0) json_put_number(j, "duration", duration_ns);
    text_reserve(j->out, RECEIPT_ROOM + CHAIN_ROOM);
}

static void put_origin(struct json *j, const struct audit_origin *origin)
{
    json_put_object(j, "observer");
    json_put_string(j, "name", "suitegate");
    json_put_string(j, "vendor", "suitegate");
    json_put_string(j, "version", SUITEGATE_VERSION);
    json_end_object(j);
    json_put_object(j, "service");
    json_put_object(j, "node");
    json_put_string(j, "name", origin->instance);
    json_end_object(j);
    json_end_object(j);
    json_put_object(j, "rule");
    json_put_string(j, "ruleset", origin->profile);
    json_end_object(j);
}

static int port_of(uint16_t destination)
{
    return destination ? destination : -1;
}

/* port: -1 for none. A source that a PROXY header named may have port 0. */
static void put_end(struct json *j, const char *key, const struct addr *a, int port,
                    const char *domain, bool has_bytes, uint64_t bytes)
{
    char ip[ADDR_TEXT_SIZE];
    bool known = a && a->length;
    if (!known && !(domain && *domain)) return;
    json_put_object(j, key);
    if (known) {
        addr_format_ip(a, ip);
        json_put_string(j, "ip", ip);
    }
    if (port >= 0) json_put_number(j, "port", port);
    json_put_optional(j, "domain", domain);
    if (has_bytes) json_put_number(j, "bytes", (int64_t)bytes);
    json_end_object(j);
}

static void put_version(struct json *j, const struct audit_leg *leg)
{
    char scratch[VERSION_TEXT_SIZE];
    if (leg->version == 0) return;
    const char *name = version_name(leg->version, scratch);
    bool named = leg->version >= 0x0300 && leg->version <= 0x0304;
    json_put_string(j, "version", named ? name + 4 : name);
    json_put_string(j, "version_protocol", leg->version == 0x0300 ? "ssl" : "tls");
}

static void put_certificate(struct json *j, const struct audit_certificate *c)
{
    char when[CLOCK_TEXT_SIZE];
    if (!c->subject) return;
    put_cut(j, "subject", c->subject, NAME_MOST);
    if (c->issuer && *c->issuer) put_cut(j, "issuer", c->issuer, NAME_MOST);
    clock_format_seconds(c->not_before, when);
    json_put_string(j, "not_before", when);
    clock_format_seconds(c->not_after, when);
    json_put_string(j, "not_after", when);
    json_put_object(j, "hash");
    json_put_optional(j, "sha256", c->sha256);
    json_end_object(j);
    json_put_object(j, "x509");
    json_put_optional(j, "serial_number", c->serial);
    json_end_object(j);
}

static void put_leg(struct json *j, const struct audit_leg *leg)
{
    put_version(j, leg);
    if (leg->suite) record_put_id(j, "cipher", cipher_name(leg->suite), leg->suite);
    if (leg->group) json_put_optional(j, "curve", group_name(leg->group));
    if (!leg->observed) json_put_bool(j, "established", leg->established);
    if (leg->established) {
        json_put_bool(j, "resumed", leg->resumed);
        json_put_bool(j, "extended_master_secret", leg->extended_master_secret);
        json_put_bool(j, "encrypt_then_mac", leg->encrypt_then_mac);
    }
    json_put_optional(j, "next_protocol", leg->next_protocol);
}

static void put_client_tls(struct json *j, const struct audit_event *e, struct offer_lists *lists)
{
    const struct hello *h = e->hello;
    if (!h && !e->client.known) return;
    json_put_object(j, "tls");
    put_leg(j, &e->client);
    if (h || e->client.certificate.subject) {
        json_put_object(j, "client");
        if (h) record_put_tls_client(j, h, e->ja4, lists);
        put_certificate(j, &e->client.certificate);
        json_end_object(j);
    }
    json_end_object(j);
}

static void put_alerts(struct json *j, int sent, int received)
{
    if (sent < 0 && received < 0) return;
    json_put_object(j, "alert");
    if (sent >= 0) json_put_number(j, "sent", sent);
    if (received >= 0) json_put_number(j, "received", received);
    json_end_object(j);
}

static void put_verdict(struct json *j, enum reason reason)
{
    if (reason == REASON_OK) return;
    const struct reason_row *row = reason_row(reason);
    json_put_string(j, "leg", reason_leg_name(row->leg));
    json_put_string(j, "blame", reason_blame_name(row->blame));
    json_put_string(j, "downgrade", reason_downgrade_name(row->downgrade));
}

static void put_digest(struct json *j, const struct audit_origin *origin)
{
    json_put_object(j, "policy");
    json_put_string(j, "digest", origin->digest);
    json_end_object(j);
}

/* With the command that would tell, where it is not known. */
static void put_outlook(struct json *j, const struct audit_event *e)
{
    const struct outlook *outlook = e->outlook;
    struct text command = {0};
    json_put_object(j, "would_refuse");
    json_put_string(j, "outcome", outlook_kind_name(outlook->kind));
    if (outlook->kind == OUTLOOK_REFUSE) {
        const struct reason_row *row = reason_row(outlook->reason);
        json_put_string(j, "code", row->code);
        json_put_string(j, "leg", reason_leg_name(row->leg));
        json_put_string(j, "blame", reason_blame_name(row->blame));
    }
    if (outlook->kind == OUTLOOK_UNKNOWN) {
        text_add(&command, "suitegate check ");
        record_destination(e, &command);
        json_put_string(j, "command", text_string(&command));
        note_failure(j->out, &command);
    }
    json_end_object(j);
    text_fini(&command);
}

/* CAs beyond the room are only counted. */
static void put_request(struct json *j, const struct audit_request *request)
{
    struct reader names = reader_of(request->authorities);
    size_t count = 0;
    if (!request->asked) return;
    json_put_object(j, "client_certificate");
    json_put_bool(j, "asked", true);
    json_put_bool(j, "sent", request->identity != NULL);
    json_put_optional(j, "identity", request->identity);
    json_put_array(j, "issuers");
    for (struct span name; (name = certificate_request_next(&names)).n > 0; count++) {
        struct text text = {0};
        if (count >= ISSUERS_MOST) continue;
        name_format(name, &text);
        put_cut(j, NULL, text_string(&text), ISSUER_MOST);
        note_failure(j->out, &text);
        text_fini(&text);
    }
    json_end_array(j);
    if (count > ISSUERS_MOST) json_put_number(j, "issuers_count", (int64_t)count);
    json_end_object(j);
}

static void put_upstream(struct json *j, const struct audit_event *e)
{
    json_put_object(j, "upstream");
    json_put_object(j, "tls");
    put_leg(j, &e->upstream);
    if (e->upstream.certificate.subject) {
        json_put_object(j, "server");
        put_certificate(j, &e->upstream.certificate);
        json_end_object(j);
    }
    json_end_object(j);
    if (e->upstream.version) json_put_bool(j, "speaks_tls13", e->upstream.speaks_tls13);
    put_request(j, &e->request);
    json_end_object(j);
}

static void put_suitegate(struct json *j, const struct audit_event *e, struct offer_lists *lists)
{
    json_put_object(j, "suitegate");
    put_digest(j, e->origin);
    if (about_connection(e)) {
        json_put_string(j, "listener", e->listener);
        json_put_string(j, "connection_id", e->connection_id);
        json_put_string(j, "identity", e->identity ? e->identity : "");
    } else {
        json_put_optional(j, "listener", e->listener);
    }
    json_put_optional(j, "mode", e->mode);
    if (e->outlook) put_outlook(j, e);
    json_put_optional(j, "parent", e->parent);
    if (e->via) {
        char ip[ADDR_TEXT_SIZE];
        addr_format_ip(e->via, ip);
        json_put_string(j, "via", ip);
    }
    put_verdict(j, e->reason);
    json_put_optional(j, "closed_by", e->closed_by);
    if (e->detail && *e->detail) put_cut(j, "detail", e->detail, SENTENCE_MOST);
    if (e->log) record_put_log(j, e->log);
    if (e->cut) record_put_cut(j, e->cut);
    put_alerts(j, e->alert_sent, e->alert_received);
    if (e->hello) record_put_client(j, e->hello, e->offered, lists);
    if (e->upstream.known) put_upstream(j, e);
    json_put_optional(j, "channel_binding", e->channel_binding);
    json_end_object(j);
}

static void render(const struct audit_event *e, const struct text *sentence, size_t room,
                   struct text *out)
{
    struct json j = json_of(out);
    struct offer_lists lists = {.room = room};
    json_put_object(&j, NULL);
    put_head(&j, e->at);
    json_put_object(&j, "log");
    json_put_string(&j, "level", level_names[level(e)]);
    json_end_object(&j);
    json_put_cut(&j, "message", sentence->data, sentence->size, MESSAGE_MOST);
    put_origin(&j, e->origin);
    if (about_connection(e)) {
        put_end(&j, "source", e->source, e->source ? addr_port(e->source) : -1, NULL, e->has_bytes,
                e->source_bytes);
        put_end(&j, "destination", e->destination, port_of(e->destination_port), e->domain,
                e->has_bytes, e->destination_bytes);
        put_client_tls(&j, e, &lists);
    }
    put_suitegate(&j, e, &lists);
    put_event(&j, e->action, e->reason, was_cut(e), e->duration_ns);
}

/* A record that is too long is rendered again with shorter lists. */
struct audit_stamp audit_render(const struct audit_event *e, struct text *out)
{
    enum { USUAL_SIZE = 6144, OPEN_LIMIT = OPEN_LINE_LIMIT };
    struct text sentence = {0};
    size_t before = out->size;
    text_reserve(out, USUAL_SIZE);
    message(e, &sentence);
    for (size_t room = LISTS_USUAL; room >= LISTS_LEAST; room /= 2) {
        out->size = before;
        render(e, &sentence, room, out);
        note_failure(out, &sentence);
        if (out->failed || out->size - before <= OPEN_LIMIT) break;
    }
    text_fini(&sentence);
    return (struct audit_stamp){e->action, level(e), e->at};
}

static struct audit_stamp stamp_of(enum audit_action action, struct timespec at)
{
    return (struct audit_stamp){action, actions[action].level, at};
}

/* The members before the record's own. */
static void put_start(struct json *j, enum audit_action action, struct timespec at,
                      const struct text *sentence, const struct audit_origin *origin)
{
    json_put_object(j, NULL);
    put_head(j, at);
    json_put_object(j, "log");
    json_put_string(j, "level", level_names[actions[action].level]);
    json_end_object(j);
    json_put_string(j, "message", text_string(sentence));
    put_origin(j, origin);
}

struct audit_stamp audit_render_fallback(const struct audit_offer *before,
                                         const struct audit_offer *now, struct timespec at,
                                         const struct audit_origin *origin, struct text *out)
{
    struct json j = json_of(out);
    struct text sentence = {0};
    char ip[ADDR_TEXT_SIZE];
    const enum reason reason = REASON_CLIENT_FALLBACK_RETRY;
    addr_format_ip(&now->source, ip);
    text_printf(&sentence, "Possible fallback from %s to %s port %u: %s.", ip, now->host, now->port,
                reason_row(reason)->sentence);
    put_start(&j, AUDIT_CLIENT_FALLBACK_RETRY, at, &sentence, origin);
    put_end(&j, "source", &now->source, addr_port(&now->source), NULL, false, 0);
    struct addr named = {0};
    bool is_ip = addr_from_ip(now->host, 0, &named);
    put_end(&j, "destination", is_ip ? &named : NULL, port_of(now->port), is_ip ? NULL : now->host,
            false, 0);
    json_put_object(&j, "suitegate");
    put_digest(&j, origin);
    json_put_string(&j, "listener", now->listener);
    json_put_string(&j, "connection_id", now->connection_id);
    json_put_string(&j, "identity", now->identity);
    put_verdict(&j, reason);
    json_put_object(&j, "client");
    record_put_offer(&j, "previous_offer", before);
    record_put_offer(&j, "offer", now);
    json_end_object(&j);
    json_end_object(&j);
    put_event(&j, AUDIT_CLIENT_FALLBACK_RETRY, reason, false, -1);
    note_failure(out, &sentence);
    text_fini(&sentence);
    return stamp_of(AUDIT_CLIENT_FALLBACK_RETRY, at);
}

static void put_repeated(struct json *j, const struct audit_repeated *r)
{
    char when[CLOCK_TEXT_SIZE];
    json_put_object(j, "repeated");
    json_put_number(j, "count", (int64_t)r->count);
    clock_format(r->first, when);
    json_put_string(j, "first", when);
    clock_format(r->last, when);
    json_put_string(j, "last", when);
    json_put_array(j, "destinations");
    for (size_t i = 0; i < r->destination_count; i++) json_put_string(j, NULL, r->destinations[i]);
    json_end_array(j);
    if (r->destinations_cut) json_put_bool(j, "destinations_cut", true);
    json_end_object(j);
}

struct audit_stamp audit_render_repeated(const struct audit_repeated *r, struct timespec at,
                                         const struct audit_origin *origin, struct text *out)
{
    struct json j = json_of(out);
    struct text sentence = {0};
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(&r->source, ip);
    text_printf(&sentence, "Refused %s%s %" PRIu64 " more times at listener %s: %s.", ip,
                strchr(ip, ':') ? "/64" : "", r->count, r->listener,
                reason_row(r->reason)->sentence);
    put_start(&j, AUDIT_CONNECTION_REFUSED_REPEATED, at, &sentence, origin);
    put_end(&j, "source", &r->source, -1, NULL, false, 0);
    json_put_object(&j, "suitegate");
    put_digest(&j, origin);
    json_put_string(&j, "listener", r->listener);
    put_verdict(&j, r->reason);
    put_repeated(&j, r);
    json_end_object(&j);
    put_event(&j, AUDIT_CONNECTION_REFUSED_REPEATED, r->reason, false, -1);
    note_failure(out, &sentence);
    text_fini(&sentence);
    return stamp_of(AUDIT_CONNECTION_REFUSED_REPEATED, at);
}
