#include "cli/log_report.h"

#include "base/clock.h"
#include "base/units.h"
#include "cli/log.h"
#include "ledger/lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_SHOWN = 10, TEXT_BUCKETS = 24, BAR = 24 };

static const char help[] =
    "Usage: suitegate log report [--since T] [--until T] [--json | --html] FILE...\n\n"
    "Sums up audit logs: attempts, refusals, and which clients and endpoints to fix first.\n"
    "FILE may be -, standard input.\n\n"
    "      --since T   records from T on: 2026-11-21, 2026-11-21T08:30Z (UTC), or how long\n"
    "                  ago: 90m, 24h, 7d\n"
    "      --until T   records before T\n"
    "      --json      as one JSON object\n"
    "      --html      as one self-contained page\n"
    "  -h, --help      this text\n\n"
    "Exit status: 0 done, 2 could not (a file cannot be read), 64 wrong usage.\n";

static const char *const blame_words[] = {"the clients", "the endpoints", "this proxy's set-up"};

/* ---- text ---- */

/* Words that may contain text from peers. */
static void put_visible(struct text *out, int indent, const char *words)
{
    struct text visible = {0};
    text_add_visible(&visible, words, 400);
    text_add_wrapped(out, indent, text_string(&visible));
    text_fini(&visible);
}

static void put_heading(struct text *out, const char *heading)
{
    text_printf(out, "\n%s\n", heading);
}

static void put_seconds(struct text *out, struct timespec at)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format_seconds(at.tv_sec, when);
    text_add(out, when);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100. * (double)part / (double)whole : 0.;
}

static void put_attempts(struct text *out, const struct report *r)
{
    uint64_t all = r->allowed + r->refused;
    put_heading(out, "ATTEMPTS");
    text_printf(
        out, "  %" PRIu64 " in all: %" PRIu64 " allowed (%.1f%%), %" PRIu64 " refused (%.1f%%)\n",
        all, r->allowed, percent(r->allowed, all), r->refused, percent(r->refused, all));
    if (r->downgrades)
        text_printf(out, "  %" PRIu64 " refusals were attempts to go below the policy\n",
                    r->downgrades);
    if (r->retries)
        text_printf(out,
                    "  %" PRIu64 " possible fallbacks: less was offered after a failed attempt\n",
                    r->retries);
    if (r->incidents)
        text_printf(out, "  %" PRIu64 " allowed connections ended with an incident\n",
                    r->incidents);
}

static void put_each_reason(struct text *out, const uint64_t *reasons)
{
    enum reason order[REASON_COUNT];
    size_t n = report_order_reasons(reasons, order);
    for (size_t i = 0; i < n; i++) {
        text_printf(out, "  %8" PRIu64 "  %s\n", reasons[order[i]], reason_row(order[i])->code);
        text_add_wrapped(out, 12, reason_row(order[i])->sentence);
    }
}

static void put_reasons(struct text *out, const struct report *r)
{
    put_heading(out, "REFUSALS BY REASON");
    put_each_reason(out, r->reasons);
    put_heading(out, "REFUSALS BY LEG AND BLAME");
    text_printf(out,
                "  on the client leg %" PRIu64 ", on the upstream leg %" PRIu64
                ", on either %" PRIu64 "\n",
                r->legs[LEG_CLIENT], r->legs[LEG_UPSTREAM], r->legs[LEG_EITHER]);
    for (int b = BLAME_CLIENT; b <= BLAME_OPERATOR; b++)
        text_printf(out, "  %8" PRIu64 "  to be mended in %s\n", r->blames[b], blame_words[b]);
}

static void put_row_reasons(struct text *out, const struct report_row *row)
{
    struct text words = {0};
    enum reason order[REASON_COUNT];
    size_t n = report_order_reasons(row->reasons, order);
    for (size_t i = 0; i < n && i < 4; i++)
        text_printf(&words, "%s%s %" PRIu64, i ? ", " : "", reason_row(order[i])->code,
                    row->reasons[order[i]]);
    if (n > 4) text_printf(&words, " and %zu other reasons", n - 4);
    text_add_wrapped(out, 6, text_string(&words));
    text_fini(&words);
}

static void put_evidence(struct text *out, const struct report_evidence *e)
{
    struct text words = {0};
    text_add(&words, "Newest: ");
    put_seconds(&words, e->at);
    text_printf(&words, ", record %" PRIu64, e->sequence);
    if (e->instance) text_printf(&words, " of %s", e->instance);
    if (e->other) text_printf(&words, ", %s", e->other);
    if (e->connection_id) text_printf(&words, ", connection %s", e->connection_id);
    put_visible(out, 6, text_string(&words));
    text_fini(&words);
    if (e->offer) put_visible(out, 6, e->offer);
    if (e->detail) put_visible(out, 6, e->detail);
    text_printf(&words, "To change: %s", reason_row(e->reason)->remedy);
    text_add_wrapped(out, 6, text_string(&words));
    text_fini(&words);
}

static void put_first(struct text *out, const char *heading, const struct report_table *t)
{
    size_t shown = 0, left = 0;
    put_heading(out, heading);
    for (size_t i = 0; i < t->n; i++) {
        const struct report_row *row = t->rows[i];
        if (!row->blamed) continue;
        if (shown == NAMES_SHOWN) {
            left++;
            continue;
        }
        text_printf(out, "  %2zu. ", ++shown);
        text_add_visible(out, row->name, 40);
        text_printf(out, ": %" PRIu64 " refused, %" PRIu64 " allowed\n", row->refused,
                    row->allowed);
        put_row_reasons(out, row);
        put_evidence(out, &row->newest);
    }
    if (!shown) text_add(out, "  none\n");
    if (left) text_printf(out, "  and %zu more\n", left);
    if (t->others)
        text_printf(out,
                    "  and %" PRIu64 " that were only counted together: %" PRIu64
                    " refused, %" PRIu64 " allowed\n",
                    t->others, t->others_refused, t->others_allowed);
}

static void put_instances(struct text *out, const struct report *r)
{
    enum { SHOWN = 20 };
    put_heading(out, "INSTANCES");
    for (size_t i = 0; i < r->instances.n && i < SHOWN; i++) {
        const struct report_row *row = r->instances.rows[i];
        text_add(out, "      ");
        text_add_visible(out, row->name[0] ? row->name : "(without a name)", 60);
        text_printf(out,
                    ": %" PRIu64 " records, %" PRIu64 " attempts allowed, %" PRIu64 " refused\n",
                    row->records, row->allowed, row->refused);
        if (row->refused) put_row_reasons(out, row);
    }
    if (r->instances.n > SHOWN)
        text_printf(out, "      and %zu more (--json has all)\n", r->instances.n - SHOWN);
}

/* The commands that would tell what is not known. */
static void put_unknown(struct text *out, const struct report_table *t)
{
    text_add_wrapped(out, 2,
                     "What decides was not seen (TLS 1.3, a resumed session, a choice "
                     "beyond the policy). These would tell:");
    for (size_t i = 0; i < t->n && i < NAMES_SHOWN; i++) {
        text_add(out, "      suitegate check ");
        text_add_visible(out, t->rows[i]->name, 100);
        text_add(out, "\n");
    }
    if (t->n > NAMES_SHOWN) text_printf(out, "      and %zu more\n", t->n - NAMES_SHOWN);
}

static void put_outlook(struct text *out, const struct report *r)
{
    const struct report_outlook *o = &r->outlook;
    uint64_t all = o->pass + o->refuse + o->unknown;
    if (!all) return;
    put_heading(out, "IF THIS WERE ENFORCED (listeners with mode = observe)");
    text_printf(out,
                "  %" PRIu64 " observed: %" PRIu64 " would pass (%.1f%%), %" PRIu64
                " would be refused (%.1f%%), %" PRIu64 " not known (%.1f%%)\n",
                all, o->pass, percent(o->pass, all), o->refuse, percent(o->refuse, all), o->unknown,
                percent(o->unknown, all));
    put_each_reason(out, o->reasons);
    put_first(out, "CLIENTS TO FIX BEFORE IT IS", &o->clients);
    put_first(out, "ENDPOINTS TO FIX BEFORE IT IS", &o->endpoints);
    if (o->unknown) put_unknown(out, &o->unknown_endpoints);
}

static void put_set_up(struct text *out, const struct report *r)
{
    enum reason order[REASON_COUNT];
    size_t n = report_order_reasons(r->reasons, order);
    if (!r->blames[BLAME_OPERATOR] && !r->rejected_reloads && !r->repairs && !r->dropped) return;
    put_heading(out, "THIS PROXY'S SET-UP");
    for (size_t i = 0; i < n; i++) {
        const struct reason_row *row = reason_row(order[i]);
        if (row->blame != BLAME_OPERATOR) continue;
        text_printf(out, "  %8" PRIu64 "  %s\n", r->reasons[order[i]], row->code);
        text_add_wrapped(out, 12, reason_remedy(order[i], r->alerts[order[i]]));
    }
    if (r->rejected_reloads)
        text_printf(out, "  %8" PRIu64 "  configurations were rejected\n", r->rejected_reloads);
    if (r->repairs) text_printf(out, "  %8" PRIu64 "  repairs of the log\n", r->repairs);
    if (r->dropped)
        text_printf(out, "  %8" PRIu64 "  times a sink did not get all records\n", r->dropped);
}

static void put_weak(struct text *out, const struct report *r)
{
    size_t shown = 0;
    put_heading(out, "WEAK OFFERS BY CLIENT (they would be negotiated elsewhere)");
    for (size_t i = 0; i < r->clients.n && shown < NAMES_SHOWN; i++) {
        const struct report_row *row = r->clients.rows[i];
        struct text words = {0};
        if (!row->weak_count) continue;
        text_printf(&words, "%s: ", row->name);
        for (size_t k = 0; k < row->weak_count && k < 6; k++)
            text_printf(&words, "%s%s", k ? ", " : "", row->weak[k].name);
        if (row->weak_count > 6)
            text_printf(&words, " and %zu%s more", row->weak_count - 6,
                        row->weak_count == REPORT_WEAK ? " or" : "");
        put_visible(out, 4, text_string(&words));
        text_fini(&words);
        shown++;
    }
    if (!shown) text_add(out, "  none\n");
}

static const char *width_words(int64_t seconds, char out[32])
{
    if (seconds % 86400 == 0)
        snprintf(out, 32, "%" PRId64 " day%s", seconds / 86400, seconds == 86400 ? "" : "s");
    else if (seconds % 3600 == 0)
        snprintf(out, 32, "%" PRId64 " hour%s", seconds / 3600, seconds == 3600 ? "" : "s");
    else
        snprintf(out, 32, "%" PRId64 " minute%s", seconds / 60, seconds == 60 ? "" : "s");
    return out;
}

static void put_timeline(struct text *out, struct report *r)
{
    char width[32], when[CLOCK_TEXT_SIZE];
    uint64_t most = 1;
    report_coarsen(r, TEXT_BUCKETS);
    text_printf(out, "\nTIMELINE (UTC, a row is %s with attempts)\n",
                width_words(r->bucket_seconds, width));
    for (size_t i = 0; i < r->bucket_count; i++)
        if (r->buckets[i].refused > most) most = r->buckets[i].refused;
    for (size_t i = 0; i < r->bucket_count; i++) {
        const struct report_bucket *b = &r->buckets[i];
        int bar = (int)((double)b->refused / (double)most * BAR + .5);
        clock_format_seconds(b->start, when);
        text_printf(out, "  %.10s %.5s %9" PRIu64 " allowed %9" PRIu64 " refused ", when, when + 11,
                    b->allowed, b->refused);
        for (int k = 0; k < bar || (b->refused && k < 1); k++) text_add(out, "#");
        text_add(out, "\n");
    }
    if (!r->bucket_count) text_add(out, "  none\n");
}

static void print_text(struct text *out, struct report *r)
{
    text_add(out, "suitegate audit report\n  ");
    if (r->records) {
        put_seconds(out, r->first);
        text_add(out, " to ");
        put_seconds(out, r->last);
        text_add(out, ", ");
    }
    text_printf(out, "%" PRIu64 " records\n", r->records);
    if (r->unreadable)
        text_printf(out, "  %" PRIu64 " lines are no records of an audit log\n", r->unreadable);
    put_attempts(out, r);
    if (r->instances.n > 1) put_instances(out, r);
    put_outlook(out, r);
    put_reasons(out, r);
    put_first(out, "CLIENTS TO FIX FIRST", &r->clients);
    put_first(out, "ENDPOINTS TO FIX FIRST", &r->endpoints);
    put_set_up(out, r);
    put_weak(out, r);
    put_timeline(out, r);
}

/* ---- the command ---- */

/* Reads a time, or a duration before now. */
static bool parse_time(const char *s, struct timespec *out)
{
    static const uint64_t most = (uint64_t)3650 * 86400000;
    struct text hours = {0};
    uint64_t ms, days;
    size_t n = strlen(s);
    if (clock_parse(s, out)) return true;
    if (n > 1 && s[n - 1] == 'd') {
        text_add_bytes(&hours, s, n - 1);
        bool ok = units_count(text_string(&hours), 3650, &days);
        text_fini(&hours);
        if (!ok) return false;
        ms = days * 86400000;
    } else if (!units_duration(s, most, &ms)) {
        return false;
    }
    clock_gettime(CLOCK_REALTIME, out);
    out->tv_sec -= (time_t)(ms / 1000);
    return true;
}

/* s may be NULL: not given. */
static bool take_time(const char *s, bool *has, struct timespec *out)
{
    *has = s != NULL;
    if (!s || parse_time(s, out)) return true;
    fprintf(stderr,
            "suitegate log report: \"%s\" is no time: 2026-11-21, 2026-11-21T08:30Z, or how long "
            "ago: 90m, 24h, 7d\n",
            s);
    return false;
}

static bool feed(struct report *r, const char *path, struct text *errors)
{
    struct line_view line;
    struct lines *l = lines_open(path, errors);
    if (!l) return false;
    while (lines_next(l, &line)) report_line(r, &line);
    if (lines_failed(l))
        text_printf(errors, "%s cannot be read to its end: %s\n", lines_name(l), lines_fault(l));
    lines_close(l);
    return errors->size == 0;
}

static int print(struct report *r, const struct cli_options *o)
{
    struct text out = {0};
    report_finish(r);
    if (o->json)
        log_report_json(&out, r);
    else if (o->html)
        log_report_html(&out, r);
    else
        print_text(&out, r);
    int status = cli_print(&out, CLI_DONE);
    text_fini(&out);
    return status;
}

static int report_files(struct report *r, const struct cli_options *o)
{
    struct text errors = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < o->operand_count; i++) ok = feed(r, o->operands[i], &errors);
    if (ok && r->failed) text_add(&errors, "out of memory\n");
    if (ok && !r->failed && !r->records && r->unreadable && !r->outside)
        text_add(&errors, "there are no audit records in what was given\n");
    if (errors.size) cli_print_errors(&errors);
    int status = errors.size ? CLI_CANNOT : print(r, o);
    text_fini(&errors);
    return status;
}

int cli_log_report(int argc, char **argv)
{
    static const struct cli_syntax syntax = {
        CLI_WITH(SINCE) | CLI_WITH(UNTIL) | CLI_WITH(HTML) | CLI_WITH(JSON), CLI_FILES, help};
    struct cli_options options;
    struct report r;
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    if (options.json && options.html) {
        fprintf(stderr, "suitegate log report: --json or --html, not both\n");
        return CLI_USAGE;
    }
    report_init(&r);
    bool ok = take_time(options.since, &r.has_since, &r.since) &&
              take_time(options.until, &r.has_until, &r.until);
    status = ok ? report_files(&r, &options) : CLI_USAGE;
    report_fini(&r);
    return status;
}
