#include "cli/log_report.h"

#include "base/clock.h"
#include "base/json.h"

static void json_u64(struct json *j, const char *key, uint64_t v)
{
    json_put_number(j, key, (int64_t)v);
}

static void json_reasons(struct json *j, const uint64_t counts[REASON_COUNT])
{
    enum reason order[REASON_COUNT];
    size_t n = report_order_reasons(counts, order);
    json_put_object(j, "reasons");
    for (size_t i = 0; i < n; i++) json_u64(j, reason_row(order[i])->code, counts[order[i]]);
    json_end_object(j);
}

static void json_time(struct json *j, const char *key, struct timespec at)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format(at, when);
    json_put_string(j, key, when);
}

static void json_evidence(struct json *j, const struct report_evidence *e, const char *other)
{
    if (e->reason == REASON_OK) return;
    json_put_object(j, "newest");
    json_time(j, "time", e->at);
    json_u64(j, "record", e->sequence);
    json_put_optional(j, "instance", e->instance);
    json_put_optional(j, "connection_id", e->connection_id);
    json_put_optional(j, other, e->other);
    json_put_string(j, "code", reason_row(e->reason)->code);
    json_put_optional(j, "offer", e->offer);
    json_put_optional(j, "detail", e->detail);
    json_end_object(j);
    json_put_string(j, "to_change", reason_row(e->reason)->remedy);
}

static void json_table(struct json *j, const char *key, const struct report_table *t,
                       const char *other)
{
    json_put_object(j, key);
    json_put_array(j, "rows");
    for (size_t i = 0; i < t->n; i++) {
        const struct report_row *row = t->rows[i];
        json_put_object(j, NULL);
        json_put_string(j, "name", row->name);
        json_u64(j, "allowed", row->allowed);
        json_u64(j, "refused", row->refused);
        json_u64(j, "to_blame", row->blamed);
        json_u64(j, "downgrades", row->downgrades);
        json_time(j, "last", row->last);
        json_reasons(j, row->reasons);
        json_evidence(j, &row->newest, other);
        if (row->weak_count) {
            json_put_object(j, "weak_offers");
            for (size_t k = 0; k < row->weak_count; k++)
                json_u64(j, row->weak[k].name, row->weak[k].count);
            json_end_object(j);
        }
        json_end_object(j);
    }
    json_end_array(j);
    json_u64(j, "counted_together", t->others);
    json_u64(j, "counted_together_allowed", t->others_allowed);
    json_u64(j, "counted_together_refused", t->others_refused);
    json_end_object(j);
}

static void json_instances(struct json *j, const struct report_table *t)
{
    json_put_array(j, "instances");
    for (size_t i = 0; i < t->n; i++) {
        const struct report_row *row = t->rows[i];
        json_put_object(j, NULL);
        json_put_string(j, "name", row->name);
        json_u64(j, "records", row->records);
        json_u64(j, "allowed", row->allowed);
        json_u64(j, "refused", row->refused);
        json_u64(j, "downgrades", row->downgrades);
        json_reasons(j, row->reasons);
        json_end_object(j);
    }
    json_end_array(j);
}

static void json_outlook(struct json *j, const struct report_outlook *o)
{
    json_put_object(j, "if_enforced");
    json_u64(j, "pass", o->pass);
    json_u64(j, "refuse", o->refuse);
    json_u64(j, "unknown", o->unknown);
    json_reasons(j, o->reasons);
    json_table(j, "clients", &o->clients, "endpoint");
    json_table(j, "endpoints", &o->endpoints, "client");
    json_put_array(j, "unknown_endpoints");
    for (size_t i = 0; i < o->unknown_endpoints.n; i++)
        json_put_string(j, NULL, o->unknown_endpoints.rows[i]->name);
    json_end_array(j);
    json_end_object(j);
}

static void json_timeline(struct json *j, const struct report *r)
{
    json_put_number(j, "bucket_seconds", r->bucket_seconds);
    json_put_array(j, "timeline");
    for (size_t i = 0; i < r->bucket_count; i++) {
        const struct report_bucket *b = &r->buckets[i];
        json_put_object(j, NULL);
        json_time(j, "start", (struct timespec){.tv_sec = b->start});
        json_u64(j, "allowed", b->allowed);
        json_u64(j, "refused", b->refused);
        json_reasons(j, b->reasons);
        json_end_object(j);
    }
    json_end_array(j);
}

static void json_totals(struct json *j, const struct report *r)
{
    if (r->records) json_time(j, "first", r->first);
    if (r->records) json_time(j, "last", r->last);
    json_u64(j, "records", r->records);
    json_u64(j, "unreadable_lines", r->unreadable);
    json_put_object(j, "attempts");
    json_u64(j, "allowed", r->allowed);
    json_u64(j, "refused", r->refused);
    json_u64(j, "downgrades", r->downgrades);
    json_u64(j, "fallback_retries", r->retries);
    json_u64(j, "closed", r->closed);
    json_u64(j, "closed_with_incident", r->incidents);
    json_end_object(j);
    json_reasons(j, r->reasons);
    json_put_object(j, "legs");
    for (int l = LEG_CLIENT; l <= LEG_EITHER; l++)
        json_u64(j, reason_leg_name((enum reason_leg)l), r->legs[l]);
    json_end_object(j);
    json_put_object(j, "blames");
    for (int b = BLAME_CLIENT; b <= BLAME_OPERATOR; b++)
        json_u64(j, reason_blame_name((enum reason_blame)b), r->blames[b]);
    json_end_object(j);
}

void log_report_json(struct text *out, const struct report *r)
{
    struct json j = json_of(out);
    json_put_object(&j, NULL);
    json_totals(&j, r);
    json_instances(&j, &r->instances);
    json_outlook(&j, &r->outlook);
    json_put_object(&j, "process");
    json_u64(&j, "starts", r->starts);
    json_u64(&j, "stops", r->stops);
    json_u64(&j, "reloads", r->reloads);
    json_u64(&j, "rejected_reloads", r->rejected_reloads);
    json_u64(&j, "checkpoints", r->checkpoints);
    json_u64(&j, "repairs", r->repairs);
    json_u64(&j, "dropped", r->dropped);
    json_end_object(&j);
    json_table(&j, "clients", &r->clients, "endpoint");
    json_table(&j, "endpoints", &r->endpoints, "client");
    json_put_object(&j, "weak_offers");
    for (size_t i = 0; i < r->weak_count; i++) json_u64(&j, r->weak[i].name, r->weak[i].count);
    json_end_object(&j);
    json_timeline(&j, r);
    json_end_object(&j);
    text_add(out, "\n");
}
