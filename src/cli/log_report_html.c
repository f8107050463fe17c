#include "cli/log_report.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 60, SERIES = 6, ROWS_SHOWN = 25, FIXES_SHOWN = 10, OFFERS_SHOWN = 40 };

/* Colours that colour-blind people can distinguish (Okabe and Ito). */
static const char style[] =
    ":root{color-scheme:light dark;--fg:#1b1f24;--soft:#57606a;--bg:#fff;--card:#f6f8fa;"
    "--line:#d0d7de;--ok:#009e73;--bad:#d55e00;--s0:#d55e00;--s1:#0072b2;--s2:#cc79a7;"
    "--s3:#e69f00;--s4:#56b4e9;--s5:#6f4e9c;--s6:#8c959f}\n"
    "@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--soft:#9da7b3;--bg:#0d1117;"
    "--card:#161b22;--line:#30363d}}\n"
    "*{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;color:var(--fg);"
    "background:var(--bg);max-width:62rem;margin:0 auto;padding:1.5rem 1rem 4rem}\n"
    "h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem}"
    "h3{font-size:1rem;margin:0 0 .3rem;overflow-wrap:anywhere}p{margin:.3rem 0}"
    ".soft{color:var(--soft)}code{font-size:.92em;overflow-wrap:anywhere}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.7rem;"
    "margin:1rem 0}.card{background:var(--card);border:1px solid var(--line);"
    "border-radius:.5rem;padding:.7rem .9rem}.card b{display:block;font-size:1.6rem;"
    "line-height:1.2}\n"
    ".plot{display:block;width:100%;height:13rem;border-bottom:1px solid var(--line);"
    "border-top:1px dashed var(--line);background:var(--card)}"
    ".axis{display:flex;justify-content:space-between;font-size:.85rem;color:var(--soft)}"
    ".legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.9rem;margin:.4rem 0}"
    ".legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:.15rem;"
    "margin-right:.35rem}\n"
    ".bar{display:flex;height:.8rem;border-radius:.2rem;overflow:hidden;background:var(--line);"
    "min-width:5rem}.bar i{display:block;height:100%}\n"
    "table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;"
    "padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;"
    "overflow-wrap:anywhere}th{color:var(--soft);font-weight:600}.n{text-align:right;"
    "white-space:nowrap;font-variant-numeric:tabular-nums}.k{white-space:nowrap}.scroll{max-height:"
    "26rem;"
    "overflow:auto}\n"
    ".fix{margin:.7rem 0;break-inside:avoid}.fix .to{border-left:.25rem solid var(--bad);"
    "padding-left:.6rem;margin-top:.5rem}\n"
    ".named td:first-child{overflow-wrap:normal}\n"
    "@media(max-width:36rem){body{font-size:15px;padding:1rem .8rem}.wide,.named th{display:none}"
    ".named td{display:block}.named td:first-child{border:0;padding-bottom:0;overflow-wrap:"
    "anywhere}}\n"
    "@media print{:root{--fg:#000;--soft:#444;--bg:#fff;--card:#fff;--line:#999}"
    "body{max-width:none;padding:0;font-size:10.5pt}.scroll{max-height:none;overflow:visible}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}h2{break-after:avoid}"
    "tr,.card{break-inside:avoid}.plot{height:7cm}}\n";

/* Text that peers may have chosen: visible characters only, escaped. */
static void put_foreign(struct text *out, const char *s, size_t most)
{
    struct text visible = {0};
    text_add_visible(&visible, s, most);
    text_add_html(out, text_string(&visible));
    text_fini(&visible);
}

static void put_time(struct text *out, int64_t seconds)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format_seconds((time_t)seconds, when);
    text_printf(out, "%.10s %.5s", when, when + 11);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? 100. * (double)part / (double)whole : 0.;
}

static void put_card(struct text *out, uint64_t n, const char *what)
{
    text_printf(out, "<div class=\"card\"><b>%" PRIu64 "</b>%s</div>\n", n, what);
}

static void put_head(struct text *out, const struct report *r)
{
    text_add(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                  "style-src 'unsafe-inline'\">\n<title>suitegate audit report</title>\n<style>\n");
    text_add(out, style);
    text_add(out, "</style>\n</head>\n<body>\n<h1>suitegate audit report</h1>\n<p class=\"soft\">");
    if (r->records) {
        put_time(out, r->first.tv_sec);
        text_add(out, " to ");
        put_time(out, r->last.tv_sec);
        text_add(out, " UTC, ");
    }
    text_printf(out, "%" PRIu64 " records", r->records);
    if (r->unreadable) text_printf(out, ", and %" PRIu64 " lines that are none", r->unreadable);
    text_add(out, "</p>\n<div class=\"cards\">\n");
    put_card(out, r->allowed + r->refused, "attempts");
    put_card(out, r->allowed, "allowed");
    put_card(out, r->refused, "refused");
    put_card(out, r->downgrades, "tried to go below the policy");
    put_card(out, r->retries, "possible fallbacks");
    text_add(out, "</div>\n");
}

/* ---- refusals over time ---- */

struct series {
    enum reason reasons[REASON_COUNT]; /* most frequent first */
    size_t n;
};

static struct series order_reasons(const uint64_t counts[REASON_COUNT])
{
    struct series s;
    s.n = report_order_reasons(counts, s.reasons);
    return s;
}

static const char *series_name(const struct series *s, size_t i)
{
    return i < SERIES ? reason_row(s->reasons[i])->code : "all others";
}

static size_t series_shown(const struct series *s)
{
    return s->n > SERIES ? SERIES + 1 : s->n;
}

static uint64_t series_count(const struct series *s, const struct report_bucket *b, size_t i)
{
    uint64_t sum = 0;
    if (i < SERIES) return b->reasons[s->reasons[i]];
    for (size_t k = SERIES; k < s->n; k++) sum += b->reasons[s->reasons[k]];
    return sum;
}

static void put_column(struct text *out, const struct report *r, const struct series *s,
                       const struct report_bucket *b, uint64_t most)
{
    double x = (double)(b->start - r->buckets[0].start) / (double)r->bucket_seconds, y = 100.;
    text_add(out, "<g><title>");
    put_time(out, b->start);
    text_printf(out, ": %" PRIu64 " refused, %" PRIu64 " allowed", b->refused, b->allowed);
    for (size_t i = 0; i < series_shown(s); i++)
        if (series_count(s, b, i))
            text_printf(out, "; %s %" PRIu64, series_name(s, i), series_count(s, b, i));
    text_add(out, "</title>");
    for (size_t i = 0; i < series_shown(s); i++) {
        double height = share(series_count(s, b, i), most);
        if (height <= 0.) continue;
        y -= height;
        text_printf(out,
                    "<rect x=\"%.2f\" y=\"%.3f\" width=\".84\" height=\"%.3f\" "
                    "fill=\"var(--s%zu)\"/>",
                    x + .08, y, height, i);
    }
    text_add(out, "</g>\n");
}

static void put_width(struct text *out, int64_t seconds)
{
    if (seconds % 86400 == 0)
        text_printf(out, "%" PRId64 " d", seconds / 86400);
    else if (seconds % 3600 == 0)
        text_printf(out, "%" PRId64 " h", seconds / 3600);
    else
        text_printf(out, "%" PRId64 " min", seconds / 60);
}

static void put_timeline(struct text *out, struct report *r)
{
    struct series s = order_reasons(r->reasons);
    uint64_t most = 0;
    text_add(out, "<h2>Refusals over time, by reason</h2>\n");
    for (size_t i = 0; i < r->bucket_count; i++)
        if (r->buckets[i].refused > most) most = r->buckets[i].refused;
    if (!most) {
        text_add(out, "<p>None.</p>\n");
        return;
    }
    int64_t first = r->buckets[0].start, last = r->buckets[r->bucket_count - 1].start;
    int64_t columns = (last - first) / r->bucket_seconds + 1;
    text_add(out, "<div class=\"legend\">");
    for (size_t i = 0; i < series_shown(&s); i++)
        text_printf(out, "<span><i style=\"background:var(--s%zu)\"></i>%s</span>", i,
                    series_name(&s, i));
    text_printf(out,
                "</div>\n<div class=\"axis\"><span>%" PRIu64 " refusals</span><span>a column is ",
                most);
    put_width(out, r->bucket_seconds);
    text_printf(out,
                "</span></div>\n<svg class=\"plot\" viewBox=\"0 0 %" PRId64
                " 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Refusals over "
                "time; the figures are in the table at the end\">\n",
                columns);
    for (size_t i = 0; i < r->bucket_count; i++) put_column(out, r, &s, &r->buckets[i], most);
    text_add(out, "</svg>\n<div class=\"axis\"><span>");
    put_time(out, first);
    text_add(out, "</span><span>");
    put_time(out, last + r->bucket_seconds);
    text_add(out, "</span></div>\n");
}

static void put_reason_table(struct text *out, const char *counted, const uint64_t *reasons)
{
    struct series s = order_reasons(reasons);
    text_printf(out,
                "<table><tr><th class=\"n\">%s</th><th>reason</th><th class=\"k wide\">leg</th>"
                "<th class=\"k\">to mend by</th></tr>\n",
                counted);
    for (size_t i = 0; i < s.n; i++) {
        const struct reason_row *row = reason_row(s.reasons[i]);
        text_printf(out,
                    "<tr><td class=\"n\">%" PRIu64 "</td><td><code>%s</code><br>"
                    "<span class=\"soft\">",
                    reasons[s.reasons[i]], row->code);
        text_add_html(out, row->sentence);
        text_printf(out, "</span></td><td class=\"k wide\">%s</td><td class=\"k\">%s</td></tr>\n",
                    reason_leg_name(row->leg), reason_blame_name(row->blame));
    }
    text_add(out, "</table>\n");
}

static void put_reasons(struct text *out, const struct report *r)
{
    text_add(out, "<h2>Refusals by reason</h2>\n");
    put_reason_table(out, "refused", r->reasons);
    text_printf(out,
                "<p class=\"soft\">By leg: client %" PRIu64 ", upstream %" PRIu64
                ", either %" PRIu64 ". By blame: client %" PRIu64 ", upstream %" PRIu64
                ", operator %" PRIu64 ".</p>\n",
                r->legs[LEG_CLIENT], r->legs[LEG_UPSTREAM], r->legs[LEG_EITHER],
                r->blames[BLAME_CLIENT], r->blames[BLAME_UPSTREAM], r->blames[BLAME_OPERATOR]);
}

/* ---- clients and endpoints ---- */

static void put_bar(struct text *out, const struct report_row *row)
{
    uint64_t all = row->allowed + row->refused, others = row->refused - row->blamed;
    text_printf(out,
                "<div class=\"bar\"><i style=\"width:%.2f%%;background:var(--ok)\"></i>"
                "<i style=\"width:%.2f%%;background:var(--bad)\"></i>"
                "<i style=\"width:%.2f%%;background:var(--s6)\"></i></div>",
                share(row->allowed, all), share(row->blamed, all), share(others, all));
}

static void put_fix(struct text *out, const struct report_row *row)
{
    const struct report_evidence *e = &row->newest;
    text_add(out, "<div class=\"card fix\"><h3>");
    put_foreign(out, row->name, 200);
    text_printf(out, "</h3>\n<p>%" PRIu64 " refused, %" PRIu64 " allowed</p>\n", row->refused,
                row->allowed);
    text_add(out, "<p class=\"soft\">Newest, ");
    put_time(out, e->at.tv_sec);
    text_printf(out, " UTC, record %" PRIu64, e->sequence);
    if (e->instance) text_add(out, " of ");
    if (e->instance) put_foreign(out, e->instance, 100);
    if (e->other) {
        text_add(out, ", ");
        put_foreign(out, e->other, 100);
    }
    if (e->connection_id) {
        text_add(out, ", connection ");
        put_foreign(out, e->connection_id, 40);
    }
    text_printf(out, ": <code>%s</code></p>\n", reason_row(e->reason)->code);
    if (e->offer) {
        text_add(out, "<p><code>");
        put_foreign(out, e->offer, 300);
        text_add(out, "</code></p>\n");
    }
    if (e->detail) {
        text_add(out, "<p>");
        put_foreign(out, e->detail, 300);
        text_add(out, "</p>\n");
    }
    text_add(out, "<p class=\"to\">");
    text_add_html(out, reason_row(e->reason)->remedy);
    text_add(out, "</p></div>\n");
}

static void put_more(struct text *out, size_t all, size_t shown)
{
    if (all > shown) text_printf(out, "<p class=\"soft\">And %zu more.</p>\n", all - shown);
}

static void put_fixes(struct text *out, const char *heading, const struct report_table *t)
{
    size_t shown = 0, all = 0;
    text_printf(out, "<h2>%s</h2>\n", heading);
    for (size_t i = 0; i < t->n; i++) {
        if (!t->rows[i]->blamed) continue;
        if (all++ < FIXES_SHOWN) {
            put_fix(out, t->rows[i]);
            shown++;
        }
    }
    if (!all) text_add(out, "<p>None.</p>\n");
    put_more(out, all, shown);
}

static void put_state(struct text *out, const char *colour, uint64_t n, const char *what)
{
    text_printf(out, "<span><i style=\"background:var(--%s)\"></i>%" PRIu64 " %s</span>", colour, n,
                what);
}

static void put_endpoints(struct text *out, const struct report_table *t)
{
    uint64_t good = 0, mixed = 0, bad = 0, unknown = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct report_row *row = t->rows[i];
        if (!row->blamed && !row->allowed)
            unknown++;
        else
            *(!row->blamed ? &good : row->allowed ? &mixed : &bad) += 1;
    }
    uint64_t all = good + mixed + bad + unknown;
    text_add(out, "<h2>Endpoints by state</h2>\n<div class=\"legend\">");
    put_state(out, "ok", good, "never failed");
    put_state(out, "s3", mixed, "failed at times");
    put_state(out, "bad", bad, "always failed");
    put_state(out, "s6", unknown, "never asked, refused for another's reason");
    text_printf(out,
                "</div>\n<div class=\"bar\"><i style=\"width:%.2f%%;background:var(--ok)\"></i>"
                "<i style=\"width:%.2f%%;background:var(--s3)\"></i>"
                "<i style=\"width:%.2f%%;background:var(--bad)\"></i>"
                "<i style=\"width:%.2f%%;background:var(--s6)\"></i></div>\n",
                share(good, all), share(mixed, all), share(bad, all), share(unknown, all));
    text_add(out, "<table><tr><th>endpoint</th><th class=\"n\">allowed</th>"
                  "<th class=\"n\">failed</th><th class=\"n wide\">refused else</th>"
                  "<th></th></tr>\n");
    for (size_t i = 0; i < t->n && i < ROWS_SHOWN; i++) {
        const struct report_row *row = t->rows[i];
        text_add(out, "<tr><td>");
        put_foreign(out, row->name, 200);
        text_printf(out,
                    "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
                    "</td><td class=\"n wide\">%" PRIu64 "</td><td>",
                    row->allowed, row->blamed, row->refused - row->blamed);
        put_bar(out, row);
        text_add(out, "</td></tr>\n");
    }
    text_add(out, "</table>\n");
    put_more(out, t->n, ROWS_SHOWN);
    if (t->others)
        text_printf(out, "<p class=\"soft\">And %" PRIu64 " that were only counted together.</p>\n",
                    t->others);
}

static void put_weak(struct text *out, const struct report *r)
{
    size_t shown = 0;
    text_add(out, "<h2>Weak offers by client</h2>\n<p class=\"soft\">What clients offer besides, "
                  "and would negotiate elsewhere.</p>\n<table class=\"named\"><tr><th>client</th>"
                  "<th>offers</th></tr>\n");
    for (size_t i = 0; i < r->clients.n && shown < OFFERS_SHOWN; i++) {
        const struct report_row *row = r->clients.rows[i];
        if (!row->weak_count) continue;
        shown++;
        text_add(out, "<tr><td>");
        put_foreign(out, row->name, 60);
        text_add(out, "</td><td>");
        for (size_t k = 0; k < row->weak_count; k++) {
            text_add(out, k ? ", " : "");
            put_foreign(out, row->weak[k].name, 60);
        }
        text_add(out, row->weak_count == REPORT_WEAK ? ", ..." : "");
        text_add(out, "</td></tr>\n");
    }
    text_add(out, "</table>\n");
    if (!shown) text_add(out, "<p>None.</p>\n");
}

static void put_set_up(struct text *out, const struct report *r)
{
    struct series s = order_reasons(r->reasons);
    if (!r->blames[BLAME_OPERATOR] && !r->repairs && !r->dropped && !r->rejected_reloads) return;
    text_add(out, "<h2>This proxy's set-up</h2>\n<table>\n");
    for (size_t i = 0; i < s.n; i++) {
        const struct reason_row *row = reason_row(s.reasons[i]);
        if (row->blame != BLAME_OPERATOR) continue;
        text_printf(out, "<tr><td class=\"n\">%" PRIu64 "</td><td><code>%s</code><br>",
                    r->reasons[s.reasons[i]], row->code);
        text_add_html(out, reason_remedy(s.reasons[i], r->alerts[s.reasons[i]]));
        text_add(out, "</td></tr>\n");
    }
    const struct {
        uint64_t n;
        const char *what;
    } others[] = {{r->rejected_reloads, "configurations were rejected"},
                  {r->repairs, "repairs of the log"},
                  {r->dropped, "times a sink did not get all records"}};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (others[i].n)
            text_printf(out, "<tr><td class=\"n\">%" PRIu64 "</td><td>%s</td></tr>\n", others[i].n,
                        others[i].what);
    text_add(out, "</table>\n");
}

static void put_figures(struct text *out, const struct report *r)
{
    text_add(out, "<h2>Figures of the timeline</h2>\n<div class=\"scroll\"><table><tr><th>UTC</th>"
                  "<th class=\"n\">allowed</th><th class=\"n\">refused</th><th>most frequent "
                  "reason</th></tr>\n");
    for (size_t i = 0; i < r->bucket_count; i++) {
        const struct report_bucket *b = &r->buckets[i];
        struct series s = order_reasons(b->reasons);
        text_add(out, "<tr><td>");
        put_time(out, b->start);
        text_printf(out,
                    "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
                    "</td><td><code>%s</code></td></tr>\n",
                    b->allowed, b->refused, s.n ? reason_row(s.reasons[0])->code : "");
    }
    text_add(out, "</table></div>\n");
}

static void put_outlook(struct text *out, const struct report_outlook *o)
{
    if (o->pass + o->refuse + o->unknown == 0) return;
    text_printf(out,
                "<h2>If this were enforced</h2>\n<p>Of the connections that listeners with <code>"
                "mode = observe</code> saw, %" PRIu64 " would pass, %" PRIu64
                " would be refused, and of %" PRIu64 " it is not known.</p>\n",
                o->pass, o->refuse, o->unknown);
    if (o->refuse) {
        put_reason_table(out, "would be refused", o->reasons);
        put_fixes(out, "Clients to fix before it is", &o->clients);
        put_fixes(out, "Endpoints to fix before it is", &o->endpoints);
    }
    if (!o->unknown) return;
    text_add(out, "<p class=\"soft\">What decides was not seen of these; a check would tell:</p>\n"
                  "<ul>\n");
    for (size_t i = 0; i < o->unknown_endpoints.n && i < FIXES_SHOWN; i++) {
        text_add(out, "<li><code>suitegate check ");
        put_foreign(out, o->unknown_endpoints.rows[i]->name, 200);
        text_add(out, "</code></li>\n");
    }
    text_add(out, "</ul>\n");
    put_more(out, o->unknown_endpoints.n, FIXES_SHOWN);
}

static void put_instances(struct text *out, const struct report_table *t)
{
    text_add(out, "<h2>Instances</h2>\n<table class=\"named\"><tr><th>instance</th>"
                  "<th class=\"n\">records</th><th class=\"n\">allowed</th>"
                  "<th class=\"n\">refused</th></tr>\n");
    for (size_t i = 0; i < t->n; i++) {
        const struct report_row *row = t->rows[i];
        text_add(out, "<tr><td>");
        put_foreign(out, row->name[0] ? row->name : "(without a name)", 100);
        text_printf(out,
                    "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
                    "</td><td class=\"n\">%" PRIu64 "</td></tr>\n",
                    row->records, row->allowed, row->refused);
    }
    text_add(out, "</table>\n");
}

void log_report_html(struct text *out, struct report *r)
{
    report_coarsen(r, COLUMNS);
    put_head(out, r);
    put_timeline(out, r);
    put_outlook(out, &r->outlook);
    put_fixes(out, "Clients to fix first", &r->clients);
    put_fixes(out, "Endpoints to fix first", &r->endpoints);
    put_endpoints(out, &r->endpoints);
    if (r->instances.n > 1) put_instances(out, &r->instances);
    put_reasons(out, r);
    put_set_up(out, r);
    put_weak(out, r);
    put_figures(out, r);
    text_add(out, "<p class=\"soft\">Whether the log is complete and unaltered is what <code>"
                  "suitegate log verify</code> says.</p>\n</body>\n</html>\n");
}
