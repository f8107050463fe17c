/* The live page. */
#include "operate/overview.h"

#include "base/clock.h"
#include "page/html.h"

#include <string.h>

static const char style[] =
    ".now{display:flex;flex-wrap:wrap;gap:.5rem 2.5rem;margin:1rem 0}"
    ".now b{display:block;font-size:1.5rem;line-height:1.2}"
    ".state{font-size:1.125rem;font-weight:600}"
    "svg{display:block;width:100%;height:9rem;border:solid var(--line);border-width:1px 0}"
    ".axis{display:flex;justify-content:space-between;color:var(--dim);font-size:.875rem}"
    "polyline{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}"
    ".key i{display:inline-block;width:1.25rem;border-top:3px solid;margin:0 .35rem .25rem 0;"
    "vertical-align:middle}.key span{margin-right:1rem}"
    "th.code::first-letter{text-transform:none}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}td.n{width:6rem}"
    "code{overflow-wrap:anywhere}"
    "@media(max-width:40rem){.n{text-align:left}td.n{width:auto}}"
    "@media print{body{max-width:none;margin:0;color:#000;background:#fff}tr{break-inside:avoid}}";

/* Every few seconds, while the page can be seen. */
static const char script[] =
    "'use strict';\n"
    "const seconds = 5;\n"
    "async function renew() {\n"
    "  if (document.hidden) return;\n"
    "  const note = document.getElementById('note');\n"
    "  try {\n"
    "    const answer = await fetch('/', {cache: 'no-store'});\n"
    "    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');\n"
    "    const main = page.querySelector('main');\n"
    "    if (main) document.querySelector('main').replaceWith(document.adoptNode(main));\n"
    "  } catch (e) {\n"
    "    if (note) note.textContent = 'No answer: what you see is old.';\n"
    "  }\n"
    "}\n"
    "setInterval(renew, 1000 * seconds);\n"
    "document.addEventListener('visibilitychange', renew);\n";

const char *overview_script(void)
{
    return script;
}

static void put_state(const struct overview *o, struct text *out)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format_seconds(o->now, when);
    if (o->fault) {
        text_add(out, "<p class=\"state bad\">");
        text_add_html(out, o->fault);
    } else if (o->ready) {
        text_add(out, "<p class=\"state good\">Serving");
    } else {
        text_add(out, "<p class=\"state weak\">Draining: no new connections are accepted");
    }
    text_printf(
        out, "</p>\n<p class=\"dim\">%.10s %.8s UTC, version %s. <span id=\"note\"></span></p>\n",
        when, when + 11, SUITEGATE_VERSION);
}

static void put_number(struct text *out, const char *what, double n)
{
    text_printf(out, "<div><b>%.0f</b>%s</div>\n", n, what);
}

static void put_now(const struct overview *o, struct text *out)
{
    struct overview_rate minute = overview_rate(o, 60);
    text_add(out, "<div class=\"now\">\n");
    put_number(out, "open connections", o->active);
    put_number(out, "allowed per minute", minute.opened * 60);
    put_number(out, "refused per minute", minute.refused * 60);
    put_number(out, "allowed since the start", (double)o->counts->opened);
    put_number(out, "refused since the start", (double)overview_refused(o->counts));
    text_add(out, "</div>\n");
}

/* ---- the last hour ---- */

enum { HOUR = 3600, WIDTH = 600, HEIGHT = 100 };

static double rate_at(const struct overview *o, size_t i, bool refused)
{
    const struct overview_sample *a = &o->samples[i - 1], *b = &o->samples[i];
    double took = (double)(b->at - a->at);
    unsigned long n = refused ? b->refused - a->refused : b->opened - a->opened;
    return took > 0 ? (double)n / took : 0;
}

static void put_curve(const struct overview *o, bool refused, double most, struct text *out)
{
    text_printf(out, "<polyline style=\"stroke:var(--%s)\" points=\"", refused ? "bad" : "good");
    for (size_t i = 1; i < o->sample_count; i++) {
        double x = WIDTH - (double)(o->now - o->samples[i].at) * WIDTH / HOUR;
        double y = HEIGHT - rate_at(o, i, refused) * HEIGHT / most;
        if (x >= 0) text_printf(out, "%.1f,%.1f ", x, y);
    }
    text_add(out, "\"/>\n");
}

static void put_hour(const struct overview *o, struct text *out)
{
    double most = 0;
    for (size_t i = 1; i < o->sample_count; i++)
        for (int refused = 0; refused < 2; refused++)
            if (rate_at(o, i, refused) > most) most = rate_at(o, i, refused);
    text_add(out, "<h2>The last hour</h2>\n");
    text_printf(out, "<p class=\"axis\"><span>at most %.1f connections per second</span></p>\n",
                most);
    text_printf(out,
                "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" "
                "aria-label=\"Allowed and refused connections per second in the last hour\">\n",
                WIDTH, HEIGHT);
    put_curve(o, false, most > 0 ? most : 1, out);
    put_curve(o, true, most > 0 ? most : 1, out);
    text_add(out, "</svg>\n<p class=\"axis\"><span>an hour ago</span><span>half an hour ago</span>"
                  "<span>now</span></p>\n<p class=\"key dim\"><span><i class=\"good\"></i>allowed"
                  "</span><span><i class=\"bad\"></i>refused</span></p>\n");
}

/* ---- tables ---- */

static void begin_table(struct text *out, const char *title, const char *heads)
{
    text_printf(out, "<h2>%s</h2>\n<table>\n<thead><tr>%s</tr></thead>\n<tbody>\n", title, heads);
}

static void end_table(struct text *out)
{
    text_add(out, "</tbody>\n</table>\n");
}

static void put_refusals(const struct overview *o, struct text *out)
{
    enum reason codes[REASON_COUNT];
    size_t n = overview_refusals(o, codes);
    if (n == 0) {
        text_add(out, "<h2>Refused by reason</h2>\n<p>None since the start.</p>\n");
        return;
    }
    begin_table(
        out, "Refused by reason",
        "<th>Code</th><th>What happened</th><th>Whose fault</th><th class=\"n\">Count</th>");
    for (size_t i = 0; i < n; i++) {
        const struct reason_row *row = reason_row(codes[i]);
        text_add(out, "<tr><th scope=\"row\" class=\"code\">");
        html_add_name(out, row->code);
        text_add(out, "</th><td>");
        text_add_html(out, row->sentence);
        text_printf(out,
                    "</td><td><span class=\"narrow\">Fault of the </span>%s</td><td "
                    "class=\"n\"><span class=\"narrow\">Count: </span>%lu</td></tr>\n",
                    reason_blame_name(row->blame), o->counts->refused[codes[i]]);
    }
    end_table(out);
}

static void put_newest(void *arg, const struct refusal *e)
{
    struct text *out = arg;
    const struct refusal_text t = overview_refusal(e);
    text_printf(out, "<tr><th scope=\"row\">%.10s<br>%.8s<br><span class=\"dim\">%s<br>at ", t.when,
                *t.when ? t.when + 11 : "", t.from);
    text_add_html(out, e->listener);
    text_add(out, "</span></th><td><strong class=\"bad\">");
    html_add_name(out, reason_row(e->reason)->code);
    text_add(out, "</strong><br>");
    if (t.destination[0]) {
        text_add(out, "to ");
        text_add_html(out, t.destination);
        text_add(out, "<br>");
    }
    text_add_html(out, reason_row(e->reason)->sentence);
    text_add(out, ".</td><td>");
    text_add_html(out, reason_remedy(e->reason, e->alert_received));
    if (e->detail[0]) {
        text_add(out, "<br><span class=\"dim\">");
        text_add_html(out, e->detail);
        text_add(out, "</span>");
    }
    text_add(out, "</td></tr>\n");
}

static void put_all_newest(const struct overview *o, struct text *out)
{
    if (overview_refused(o->counts) == 0) return;
    begin_table(out, "Newest refusals", "<th>When and who</th><th>What</th><th>What to do</th>");
    refusals_each(o->refusals, OVERVIEW_ROWS, put_newest, out);
    end_table(out);
}

static void put_upstreams(const struct overview *o, struct text *out)
{
    const struct census_upstream *rows[OVERVIEW_ROWS];
    unsigned others;
    size_t n = overview_upstreams(o, rows, &others);
    if (n == 0) return;
    begin_table(out, "Open now, by upstream",
                "<th>Destination</th><th class=\"n\">Connections</th>");
    for (size_t i = 0; i < n; i++) {
        text_add(out, "<tr><th scope=\"row\">");
        text_add_html(out, rows[i]->name);
        text_printf(
            out, "</th><td class=\"n\"><span class=\"narrow\">Connections: </span>%u</td></tr>\n",
            rows[i]->relays);
    }
    if (others)
        text_printf(out, "<tr><th scope=\"row\">others</th><td class=\"n\">%u</td></tr>\n", others);
    end_table(out);
}

static void put_listeners(const struct overview *o, struct text *out)
{
    begin_table(out, "Listeners",
                "<th>Name</th><th>What</th><th>Mode</th><th class=\"n\">Open</th>");
    for (size_t i = 0; i < o->loaded->config->listener_count; i++) {
        const struct listen_config *l = &o->loaded->config->listeners[i];
        char where[ADDR_TEXT_SIZE];
        bool observes = l->mode == MODE_OBSERVE;
        addr_format(&o->loaded->listener_addresses[i], where);
        text_printf(out,
                    "<tr><th scope=\"row\">%s</th><td>%s on %s</td><td%s>%s</td>"
                    "<td class=\"n\"><span class=\"narrow\">Open: </span>%u</td></tr>\n",
                    l->name, listen_type_name(l->type), where, observes ? " class=\"weak\"" : "",
                    observes                    ? "only observes"
                    : l->type == LISTEN_PUBLISH ? ""
                                                : "enforces",
                    overview_connections(o, l->name));
    }
    end_table(out);
}

static void put_ends(const struct overview *o, struct text *out)
{
    if (o->loaded->end_count == 0) return;
    begin_table(out, "Certificates and lists",
                "<th>What</th><th>Until</th><th class=\"n\">Days left</th>");
    for (size_t i = 0; i < o->loaded->end_count; i++) {
        const struct expiry *e = &o->loaded->ends[i];
        char when[CLOCK_TEXT_SIZE];
        clock_format_seconds(e->end, when);
        text_add(out, "<tr><th scope=\"row\">");
        text_add_html(out, e->what);
        text_printf(out,
                    "</th><td>%.10s</td><td class=\"n%s\"><span class=\"narrow\">Days left: "
                    "</span>%ld</td></tr>\n",
                    when, o->now >= e->warn_from ? " bad" : "", overview_days_left(o, e->end));
    }
    end_table(out);
}

static void put_sink(struct text *out, const char *name, const struct log_sink *s)
{
    text_add(out, "<tr><th scope=\"row\">");
    text_add_html(out, name);
    text_printf(out,
                "</th><td class=\"n\"><span class=\"narrow\">Records: </span>%lu</td><td "
                "class=\"n\"><span class=\"narrow\">Waiting: </span>%lu</td><td "
                "class=\"n%s\"><span class=\"narrow\">Dropped: </span>%lu</td>"
                "</tr>\n",
                s->written, s->waiting, s->dropped ? " bad" : "", s->dropped);
}

static void put_log(const struct overview *o, struct text *out)
{
    const struct log_sink log = {.written = o->log->written, .waiting = o->log->waiting};
    if (o->state_age_s < 0) return;
    begin_table(out, "Audit log",
                "<th>Where</th><th class=\"n\">Records</th><th class=\"n\">Waiting</th>"
                "<th class=\"n\">Dropped</th>");
    put_sink(out, o->loaded->config->audit.file, &log);
    for (size_t i = 0; i < o->log->sink_count; i++)
        put_sink(out, o->log->sinks[i].name, &o->log->sinks[i]);
    end_table(out);
    text_printf(out, "<p class=\"dim\">The chain ends with record %lu: <code>%s</code></p>\n",
                o->log->sequence, o->log->head);
}

void overview_put_page(const struct overview *o, struct text *out)
{
    html_begin(out, "suitegate");
    text_printf(out, "<style>%s</style>\n<script src=\"" OVERVIEW_SCRIPT "\" defer></script>\n",
                style);
    put_state(o, out);
    put_now(o, out);
    put_hour(o, out);
    put_refusals(o, out);
    put_all_newest(o, out);
    put_upstreams(o, out);
    put_listeners(o, out);
    put_ends(o, out);
    put_log(o, out);
    html_end(out);
}
