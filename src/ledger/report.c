#include "ledger/report.h"

#include "base/clock.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEAK_LIMIT = 1024, NAME_LIMIT = 300 };

/* Each is a multiple of the previous one. */
static const int64_t widths[] = {60,    300,    900,     3600,     21600,
                                 86400, 604800, 2419200, 29030400, 290304000};

void report_init(struct report *r)
{
    *r = (struct report){.bucket_seconds = widths[0]};
    r->buckets = calloc(REPORT_BUCKETS + 1, sizeof *r->buckets);
    r->weak = calloc(WEAK_LIMIT, sizeof *r->weak);
    r->failed = !r->buckets || !r->weak;
}

static void evidence_fini(struct report_evidence *e)
{
    free(e->connection_id);
    free(e->instance);
    free(e->other);
    free(e->offer);
    free(e->detail);
    *e = (struct report_evidence){0};
}

static void row_free(struct report_row *row)
{
    evidence_fini(&row->newest);
    free(row->name);
    free(row);
}

static int by_name(const void *a, const void *b)
{
    const struct report_row *one = a, *other = b;
    return strcmp(one->name, other->name);
}

static void keep(void *row)
{
    (void)row; /* the array frees it */
}

static void table_fini(struct report_table *t)
{
    tdestroy(t->tree, keep);
    for (size_t i = 0; i < t->n; i++) row_free(t->rows[i]);
    free(t->rows);
    *t = (struct report_table){0};
}

void report_fini(struct report *r)
{
    table_fini(&r->clients);
    table_fini(&r->endpoints);
    table_fini(&r->instances);
    table_fini(&r->outlook.clients);
    table_fini(&r->outlook.endpoints);
    table_fini(&r->outlook.unknown_endpoints);
    tdestroy(r->weak_tree, keep);
    for (size_t i = 0; i < r->weak_count; i++) free((char *)r->weak[i].name);
    free(r->weak);
    free(r->buckets);
}

/* ---- tables of names ---- */

static int compare(uint64_t a, uint64_t b)
{
    return a > b ? -1 : a < b;
}

/* Most urgent first: most refusals that it caused, then most refusals, then most used. */
static int by_weight(const void *a, const void *b)
{
    const struct report_row *one = *(struct report_row *const *)a;
    const struct report_row *other = *(struct report_row *const *)b;
    int order = compare(one->blamed, other->blamed);
    if (!order) order = compare(one->refused, other->refused);
    if (!order) order = compare(one->allowed, other->allowed);
    return order ? order : strcmp(one->name, other->name);
}

/* Merges the lighter half into one count. */
static void table_prune(struct report_table *t)
{
    qsort(t->rows, t->n, sizeof(struct report_row *), by_weight);
    while (t->n > REPORT_ROWS) {
        struct report_row *row = t->rows[--t->n];
        t->others++;
        t->others_allowed += row->allowed;
        t->others_refused += row->refused;
        tdelete(row, &t->tree, by_name);
        row_free(row);
    }
}

static struct report_row *table_row(struct report *r, struct report_table *t, const char *name)
{
    struct report_row probe = {.name = (char *)name};
    struct report_row **found = tfind(&probe, &t->tree, by_name);
    if (found) return *found;
    if (!t->rows) t->rows = calloc(2 * REPORT_ROWS, sizeof(struct report_row *));
    if (t->n == 2 * REPORT_ROWS) table_prune(t);
    struct report_row *row = t->rows ? calloc(1, sizeof *row) : NULL;
    if (row) row->name = text_copy(name, strnlen(name, NAME_LIMIT));
    if (!row || !row->name || !tsearch(row, &t->tree, by_name)) {
        if (row) row_free(row);
        r->failed = true;
        return NULL;
    }
    t->rows[t->n++] = row;
    return row;
}

static char *copy_or_null(const char *s)
{
    return *s ? text_copy(s, strnlen(s, NAME_LIMIT)) : NULL;
}

static bool newer(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec >= b.tv_nsec;
}

static void note_evidence(struct report_row *row, const struct log_entry *e, const char *other)
{
    struct text offer = {0};
    if (row->newest.reason != REASON_OK && !newer(e->at, row->newest.at)) return;
    evidence_fini(&row->newest);
    entry_describe_offer(e, &offer);
    row->newest = (struct report_evidence){.reason = e->reason,
                                           .at = e->at,
                                           .sequence = e->sequence,
                                           .instance = copy_or_null(e->instance),
                                           .connection_id = copy_or_null(e->connection_id),
                                           .other = copy_or_null(other),
                                           .offer = copy_or_null(text_string(&offer)),
                                           .detail = copy_or_null(e->detail)};
    text_fini(&offer);
}

static void count_in_row(struct report_row *row, const struct log_entry *e, bool blamed,
                         const char *other)
{
    if (!row) return;
    if (newer(e->at, row->last)) row->last = e->at;
    if (e->reason == REASON_OK) {
        row->allowed++;
        return;
    }
    row->refused += e->count;
    row->reasons[e->reason] += e->count;
    row->downgrades += strcmp(e->downgrade, "yes") == 0 ? e->count : 0;
    row->blamed += blamed ? e->count : 0;
    if (blamed) note_evidence(row, e, other);
}

/* ---- weak offers ---- */

static int by_weak_name(const void *a, const void *b)
{
    const struct report_weak *one = a, *other = b;
    return strcmp(one->name, other->name);
}

static const char *intern_weak(struct report *r, const char *name)
{
    struct report_weak probe = {.name = name};
    struct report_weak **found = tfind(&probe, &r->weak_tree, by_weak_name);
    if (found) {
        (*found)->count++;
        return (*found)->name;
    }
    char *copy = r->weak_count < WEAK_LIMIT ? copy_or_null(name) : NULL;
    struct report_weak *place = &r->weak[r->weak_count];
    if (!copy) return NULL;
    *place = (struct report_weak){copy, 1};
    if (!tsearch(place, &r->weak_tree, by_weak_name)) {
        free(copy);
        return NULL;
    }
    r->weak_count++;
    return copy;
}

struct weak_target {
    struct report *report;
    struct report_row *row;
};

static void count_weak(void *arg, const char *s)
{
    struct weak_target *target = arg;
    const char *name = intern_weak(target->report, s);
    struct report_row *row = target->row;
    if (!name || !row) return;
    size_t i = 0;
    while (i < row->weak_count && row->weak[i].name != name) i++;
    if (i == REPORT_WEAK) return;
    if (i == row->weak_count) row->weak[row->weak_count++] = (struct report_weak){name, 0};
    row->weak[i].count++;
}

/* ---- the timeline ---- */

static int64_t bucket_start(const struct report *r, int64_t t)
{
    int64_t rest = t % r->bucket_seconds;
    return t - rest - (rest < 0 ? r->bucket_seconds : 0);
}

static void bucket_merge(struct report_bucket *into, const struct report_bucket *from)
{
    into->allowed += from->allowed;
    into->refused += from->refused;
    for (size_t i = 0; i < REASON_COUNT; i++) into->reasons[i] += from->reasons[i];
}

static bool coarsen_once(struct report *r)
{
    size_t w = 0, n = 0;
    while (widths[w] != r->bucket_seconds) w++;
    if (w + 1 == COUNT_OF(widths)) return false;
    r->bucket_seconds = widths[w + 1];
    for (size_t i = 0; i < r->bucket_count; i++) {
        r->buckets[i].start = bucket_start(r, r->buckets[i].start);
        if (n > 0 && r->buckets[n - 1].start == r->buckets[i].start)
            bucket_merge(&r->buckets[n - 1], &r->buckets[i]);
        else
            r->buckets[n++] = r->buckets[i];
    }
    r->bucket_count = n;
    return true;
}

void report_coarsen(struct report *r, size_t most)
{
    while (r->bucket_count > 1 &&
           (r->buckets[r->bucket_count - 1].start - r->buckets[0].start) / r->bucket_seconds >=
               (int64_t)most &&
           coarsen_once(r))
        ;
}

static struct report_bucket *bucket_of(struct report *r, int64_t t)
{
    for (;;) {
        int64_t start = bucket_start(r, t);
        size_t i = r->bucket_count;
        while (i > 0 && r->buckets[i - 1].start > start) i--;
        if (i > 0 && r->buckets[i - 1].start == start) return &r->buckets[i - 1];
        if (r->bucket_count == REPORT_BUCKETS && coarsen_once(r)) continue;
        if (r->bucket_count == REPORT_BUCKETS) return &r->buckets[i > 0 ? i - 1 : 0];
        memmove(&r->buckets[i + 1], &r->buckets[i], (r->bucket_count - i) * sizeof *r->buckets);
        r->bucket_count++;
        r->buckets[i] = (struct report_bucket){.start = start};
        return &r->buckets[i];
    }
}

/* ---- records ---- */

static void name_endpoint(const struct log_entry *e, char out[NAME_LIMIT])
{
    bool v6 = strchr(e->destination, ':') != NULL;
    snprintf(out, NAME_LIMIT, "%s%s%s:%u", v6 ? "[" : "", e->destination, v6 ? "]" : "",
             e->destination_port);
}

static void count_attempt(struct report *r, const struct log_entry *e)
{
    char endpoint[NAME_LIMIT];
    name_endpoint(e, endpoint);
    bool known = e->destination[0] && e->destination_port;
    bool refused = e->reason != REASON_OK;
    enum reason_blame blame = refused ? reason_row(e->reason)->blame : BLAME_OPERATOR;
    struct report_row *client = e->source[0] ? table_row(r, &r->clients, e->source) : NULL;
    count_in_row(client, e, refused && blame == BLAME_CLIENT, known ? endpoint : "");
    if (known)
        count_in_row(table_row(r, &r->endpoints, endpoint), e, refused && blame == BLAME_UPSTREAM,
                     e->source);
    count_in_row(table_row(r, &r->instances, e->instance), e, false, "");
    entry_each(e, ENTRY_WEAK_OFFERS, count_weak, &(struct weak_target){r, client});
    struct report_bucket *bucket = bucket_of(r, e->at.tv_sec);
    bucket->allowed += !refused;
    bucket->refused += refused ? e->count : 0;
    if (!refused) {
        r->allowed++;
        return;
    }
    bucket->reasons[e->reason] += e->count;
    r->refused += e->count;
    r->reasons[e->reason] += e->count;
    r->alerts[e->reason] = e->alert_received;
    r->legs[reason_row(e->reason)->leg] += e->count;
    r->blames[blame] += e->count;
    r->downgrades += strcmp(e->downgrade, "yes") == 0 ? e->count : 0;
}

/* As an attempt, with the verdict that there would have been. */
static void count_observed(struct report *r, const struct log_entry *e)
{
    struct report_outlook *o = &r->outlook;
    char endpoint[NAME_LIMIT];
    struct log_entry would = *e;
    would.reason = e->would_refuse;
    would.downgrade = "";
    name_endpoint(e, endpoint);
    if (e->outlook == OUTLOOK_UNKNOWN) {
        o->unknown++;
        count_in_row(table_row(r, &o->unknown_endpoints, endpoint), &would, false, "");
        return;
    }
    bool refused = would.reason != REASON_OK;
    enum reason_blame blame = refused ? reason_row(would.reason)->blame : BLAME_OPERATOR;
    o->pass += !refused;
    o->refuse += refused;
    o->reasons[would.reason] += refused;
    count_in_row(table_row(r, &o->clients, e->source), &would, refused && blame == BLAME_CLIENT,
                 endpoint);
    count_in_row(table_row(r, &o->endpoints, endpoint), &would, refused && blame == BLAME_UPSTREAM,
                 e->source);
}

static void count_entry(struct report *r, const struct log_entry *e)
{
    static const struct {
        enum audit_action action;
        size_t member;
    } counters[] = {
        {AUDIT_PROXY_STARTED, offsetof(struct report, starts)},
        {AUDIT_PROXY_STOPPED, offsetof(struct report, stops)},
        {AUDIT_CONFIGURATION_LOADED, offsetof(struct report, reloads)},
        {AUDIT_CONFIGURATION_REJECTED, offsetof(struct report, rejected_reloads)},
        {AUDIT_LOG_CHECKPOINT, offsetof(struct report, checkpoints)},
        {AUDIT_LOG_REPAIRED, offsetof(struct report, repairs)},
        {AUDIT_LOG_DROPPED, offsetof(struct report, dropped)},
        {AUDIT_CLIENT_FALLBACK_RETRY, offsetof(struct report, retries)},
    };
    bool opened = strcmp(e->action, audit_action_name(AUDIT_CONNECTION_OPENED)) == 0;
    bool refused = strcmp(e->action, audit_action_name(AUDIT_CONNECTION_REFUSED)) == 0 ||
                   strcmp(e->action, audit_action_name(AUDIT_CONNECTION_REFUSED_REPEATED)) == 0;
    if (opened || (refused && e->reason != REASON_OK)) count_attempt(r, e);
    if (e->observed) count_observed(r, e);
    r->unreadable += refused && e->reason == REASON_OK; /* of another version */
    if (strcmp(e->action, audit_action_name(AUDIT_CONNECTION_CLOSED)) == 0) {
        r->closed++;
        r->incidents += e->reason != REASON_OK;
    }
    for (size_t i = 0; i < COUNT_OF(counters); i++)
        if (strcmp(e->action, audit_action_name(counters[i].action)) == 0)
            ++*(uint64_t *)((char *)r + counters[i].member);
}

static bool in_range(const struct report *r, struct timespec at)
{
    return (!r->has_since || newer(at, r->since)) && (!r->has_until || !newer(at, r->until));
}

/* Half of all records report only the end of an allowed connection: only their time and their
 * instance count. instance: room for its name. */
static bool read_line(const struct line_view *line, char instance[ENTRY_INSTANCE],
                      struct log_entry *out)
{
    char action[ENTRY_ACTION];
    bool plain_close;
    if (!line->ended) return false;
    entry_peek_action(line, action, &plain_close);
    if (!plain_close) return entry_read(line, out);
    entry_peek_instance(line, instance);
    *out = (struct log_entry){.action = audit_action_name(AUDIT_CONNECTION_CLOSED),
                              .instance = instance};
    char time[ENTRY_TIME];
    return entry_peek_time(line->p, line->n, time) && clock_parse(time, &out->at);
}

void report_line(struct report *r, const struct line_view *line)
{
    struct log_entry e;
    char instance[ENTRY_INSTANCE];
    if (r->failed || line->n == 0) return;
    if (!read_line(line, instance, &e)) {
        r->unreadable++;
        return;
    }
    r->outside += !in_range(r, e.at);
    if (in_range(r, e.at)) {
        if (r->records++ == 0) r->first = r->last = e.at;
        if (!newer(e.at, r->first)) r->first = e.at;
        if (newer(e.at, r->last)) r->last = e.at;
        count_entry(r, &e);
        struct report_row *row = table_row(r, &r->instances, e.instance);
        if (row) row->records++;
    }
    entry_fini(&e);
}

static int by_count(const void *a, const void *b)
{
    const struct report_weak *one = a, *other = b;
    int order = compare(one->count, other->count);
    return order ? order : strcmp(one->name, other->name);
}

void report_finish(struct report *r)
{
    struct report_table *tables[] = {&r->clients,           &r->endpoints,
                                     &r->instances,         &r->outlook.clients,
                                     &r->outlook.endpoints, &r->outlook.unknown_endpoints};
    for (size_t t = 0; t < COUNT_OF(tables); t++) {
        if (tables[t]->n)
            qsort(tables[t]->rows, tables[t]->n, sizeof(struct report_row *), by_weight);
        for (size_t i = 0; i < tables[t]->n; i++)
            qsort(tables[t]->rows[i]->weak, tables[t]->rows[i]->weak_count,
                  sizeof(struct report_weak), by_count);
    }
    tdestroy(r->weak_tree, keep); /* its elements move now */
    r->weak_tree = NULL;
    if (r->weak_count) qsort(r->weak, r->weak_count, sizeof *r->weak, by_count);
}

size_t report_order_reasons(const uint64_t counts[REASON_COUNT], enum reason out[REASON_COUNT])
{
    size_t n = 0;
    for (int i = REASON_OK + 1; i < REASON_COUNT; i++) {
        enum reason reason = (enum reason)i;
        size_t at = n;
        if (!counts[reason]) continue;
        for (; at > 0 && counts[out[at - 1]] < counts[reason]; at--) out[at] = out[at - 1];
        out[at] = reason;
        n++;
    }
    return n;
}
