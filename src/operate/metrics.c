#include "operate/overview.h"

#include "base/json.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "suitegate_"

static const char *const leg_labels[] = {
    [COUNTS_CLIENT] = "client", [COUNTS_UPSTREAM] = "upstream"};

/* ---- lines ---- */

/* A label's value (exposition format: valid UTF-8; \\, \" and \n are escaped). What no name should
 * have becomes a question mark. */
static void put_label(struct text *out, const char *name, const char *value)
{
    size_t left = strlen(value);
    text_printf(out, "%s=\"", name);
    for (size_t n; left > 0; value += n, left -= n) {
        n = utf8_length((const uint8_t *)value, left);
        bool plain = n > 0 && (unsigned char)*value >= ' ' && *value != 0x7f;
        if (*value == '\\' || *value == '"') text_add(out, "\\");
        if (plain)
            text_add_bytes(out, value, n);
        else
            text_add(out, "?");
        if (n == 0) n = 1;
    }
    text_add(out, "\"");
}

struct labels {
    const char *names[4], *values[4];
};

static void put_labels(struct text *out, const struct labels *l, const char *more)
{
    bool any = false;
    for (size_t i = 0; l && i < COUNT_OF(l->names) && l->names[i]; i++) {
        text_add(out, any ? "," : "{");
        put_label(out, l->names[i], l->values[i]);
        any = true;
    }
    if (more) text_printf(out, "%sle=\"%s\"", any ? "," : "{", more);
    if (any || more) text_add(out, "}");
}

static void put_line(struct text *out, const char *name, const struct labels *l, double value)
{
    text_printf(out, PREFIX "%s", name);
    put_labels(out, l, NULL);
    text_printf(out, " %.15g\n", value);
}

static void put_histogram(struct text *out, const char *name, const struct labels *l,
                          const struct histogram *h)
{
    unsigned long sum = 0;
    for (size_t i = 0; i <= HISTOGRAM_CLASSES; i++) {
        char end[32] = "+Inf";
        sum += h->classes[i];
        if (i < HISTOGRAM_CLASSES)
            snprintf(end, sizeof end, "%.4g", (double)histogram_class_ns[i] / 1e9);
        text_printf(out, PREFIX "%s_bucket", name);
        put_labels(out, l, end);
        text_printf(out, " %lu\n", sum);
    }
    text_printf(out, PREFIX "%s_sum", name);
    put_labels(out, l, NULL);
    text_printf(out, " %.9f\n" PREFIX "%s_count", (double)h->sum_ns / 1e9, name);
    put_labels(out, l, NULL);
    text_printf(out, " %lu\n", sum);
}

/* ---- the metrics ---- */

#define PUT(metric) \
    static void put_##metric(const struct overview *o, const char *name, struct text *out)
#define PUT_VALUE(metric, value)                    \
    PUT(metric)                                     \
    {                                               \
        put_line(out, name, NULL, (double)(value)); \
    }

PUT_VALUE(start_time_seconds, o->keeper->started)
PUT_VALUE(ready, o->ready && !o->fault)
PUT_VALUE(workers, o->workers)
PUT_VALUE(connections_limit, o->loaded->config->proxy.max_connections)
PUT_VALUE(certificates_found_total, o->counts->leaf_hits)
PUT_VALUE(certificates_minted_total, o->counts->mints)
PUT_VALUE(log_failing, o->log->failing)
PUT_VALUE(log_sequence, o->log->sequence)
PUT_VALUE(log_state_age_seconds, o->state_age_s)
PUT_VALUE(open_descriptors, o->descriptors)
PUT_VALUE(open_descriptors_limit, o->descriptor_limit)
PUT_VALUE(certificates_expiring, overview_expiring(o))
PUT_VALUE(configuration_loaded_timestamp_seconds, o->keeper->loaded)

PUT(build_info)
{
    (void)o;
    put_line(out, name, &(struct labels){{"version"}, {SUITEGATE_VERSION}}, 1);
}

static void put_states(const char *name, const char *listener, const unsigned states[CONN_STATES],
                       struct text *out)
{
    for (int s = 0; s < CONN_DONE; s++) {
        char state[CONN_STATE_NAME];
        conn_state_name((enum conn_state)s, state);
        put_line(out, name, &(struct labels){{"listener", "state"}, {listener, state}}, states[s]);
    }
}

/* Those of the configuration, and of former ones while they have connections. */
PUT(connections)
{
    static const unsigned none[CONN_STATES];
    for (size_t i = 0; i < o->census->listener_count; i++)
        put_states(name, o->census->listeners[i].name, o->census->listeners[i].states, out);
    for (size_t i = 0; i < o->loaded->config->listener_count; i++) {
        const struct listen_config *l = &o->loaded->config->listeners[i];
        bool told = l->type == LISTEN_PUBLISH;
        for (size_t k = 0; k < o->census->listener_count; k++)
            told = told || strcmp(o->census->listeners[k].name, l->name) == 0;
        if (!told) put_states(name, l->name, none, out);
    }
}

static void put_outcome(struct text *out, const char *name, const char *outcome, unsigned long n)
{
    put_line(out, name, &(struct labels){{"outcome"}, {outcome}}, (double)n);
}

PUT(connections_total)
{
    put_outcome(out, name, "opened", o->counts->opened);
    put_outcome(out, name, "refused", overview_refused(o->counts));
    put_outcome(out, name, "silent", o->counts->silent);
}

/* All codes, also those that have not occurred: a rate needs a first value. */
static void put_codes(struct text *out, const char *name, const unsigned long counts[REASON_COUNT],
                      bool with_none)
{
    if (with_none)
        put_line(out, name, &(struct labels){{"code", "leg", "blame"}, {"none", "", ""}},
                 (double)counts[REASON_OK]);
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        put_line(
            out, name,
            &(struct labels){{"code", "leg", "blame"},
                             {row->code, reason_leg_name(row->leg), reason_blame_name(row->blame)}},
            (double)counts[r]);
    }
}

PUT(refusals_total)
{
    put_codes(out, name, o->counts->refused, false);
}

PUT(closed_total)
{
    put_codes(out, name, o->counts->closed, true);
}

PUT(observed_total)
{
    put_codes(out, name, o->counts->outlook, true);
}

static void put_handshakes_of(const struct overview *o, const char *name, int leg, int suite,
                              int group, struct text *out)
{
    for (int resumed = 0; resumed < 2; resumed++) {
        unsigned long n = o->counts->handshakes[leg][suite][group][resumed];
        if (n == 0) continue;
        put_line(out, name,
                 &(struct labels){{"leg", "suite", "group", "resumed"},
                                  {leg_labels[leg], suites[suite].iana,
                                   group ? group_name(group_at((size_t)group - 1)) : "none",
                                   resumed ? "yes" : "no"}},
                 (double)n);
    }
}

PUT(handshakes_total)
{
    for (int leg = 0; leg < COUNTS_LEGS; leg++)
        for (int suite = 0; suite < SUITE_COUNT; suite++)
            for (int group = 0; group <= GROUP_COUNT; group++)
                put_handshakes_of(o, name, leg, suite, group, out);
}

PUT(handshake_seconds)
{
    for (int leg = 0; leg < COUNTS_LEGS; leg++)
        put_histogram(out, name, &(struct labels){{"leg"}, {leg_labels[leg]}},
                      &o->counts->handshake_time[leg]);
}

PUT(payload_bytes_total)
{
    for (int leg = 0; leg < COUNTS_LEGS; leg++)
        put_line(out, name, &(struct labels){{"from"}, {leg_labels[leg]}},
                 (double)o->counts->bytes[leg]);
}

PUT(lookups_total)
{
    static const char *const results[LOOKUP_STATUSES] = {
        [LOOKUP_FOUND] = "found",         [LOOKUP_NOT_FOUND] = "not_found",
        [LOOKUP_FAILED] = "failed",       [LOOKUP_UNANSWERED] = "unanswered",
        [LOOKUP_NO_MEMORY] = "no_memory",
    };
    for (int i = 0; i < LOOKUP_STATUSES; i++)
        put_line(out, name, &(struct labels){{"result"}, {results[i]}},
                 (double)o->counts->lookups[i]);
}

static void put_sink(struct text *out, const char *name, const char *sink, unsigned long n)
{
    put_line(out, name, &(struct labels){{"sink"}, {sink}}, (double)n);
}

/* Two with one name are one series. */
static void put_sinks(const struct overview *o, const char *name, size_t member, struct text *out)
{
    const struct log_state *log = o->log;
    for (size_t i = 0; i < log->sink_count; i++) {
        unsigned long sum = 0;
        bool told = false;
        for (size_t k = 0; k < log->sink_count; k++) {
            if (strcmp(log->sinks[k].name, log->sinks[i].name) != 0) continue;
            told = told || k < i;
            sum += *(const unsigned long *)((const char *)&log->sinks[k] + member);
        }
        if (!told) put_sink(out, name, log->sinks[i].name, sum);
    }
}

PUT(records_written_total)
{
    put_sink(out, name, "log", o->log->written);
    put_sinks(o, name, offsetof(struct log_sink, written), out);
}

PUT(records_waiting)
{
    put_sink(out, name, "log", o->log->waiting);
    put_sinks(o, name, offsetof(struct log_sink, waiting), out);
}

PUT(records_dropped_total)
{
    put_sinks(o, name, offsetof(struct log_sink, dropped), out);
}

PUT(log_sync_seconds)
{
    put_histogram(out, name, NULL, &o->log->syncs);
}

/* Two that are described alike would be one series. */
PUT(certificate_expiry_timestamp_seconds)
{
    const struct loaded_config *loaded = o->loaded;
    for (size_t i = 0; i < loaded->end_count; i++) {
        bool told = false;
        for (size_t k = 0; k < i; k++)
            told = told || strcmp(loaded->ends[k].what, loaded->ends[i].what) == 0;
        if (!told)
            put_line(out, name, &(struct labels){{"what"}, {loaded->ends[i].what}},
                     (double)loaded->ends[i].end);
    }
}

PUT(configuration_loads_total)
{
    put_line(out, name, &(struct labels){{"result"}, {"used"}}, (double)o->keeper->loads);
    put_line(out, name, &(struct labels){{"result"}, {"rejected"}}, (double)o->keeper->rejections);
}

PUT(process_starts_total)
{
    put_line(out, name, &(struct labels){{"process"}, {"proxy"}}, (double)o->keeper->proxy_starts);
    put_line(out, name, &(struct labels){{"process"}, {"clerk"}}, (double)o->keeper->clerk_starts);
}

/* ---- the table ---- */

#define GAUGE "gauge"
#define COUNTER "counter"
#define HISTOGRAM "histogram"

static const struct metric {
    const char *name, *type, *help;
    void (*put)(const struct overview *o, const char *name, struct text *out);
} metrics[] = {
#define METRIC(name, type, help) {#name, type, help, put_##name},
#include "operate/metrics.def"
#undef METRIC
};

void metrics_put(const struct overview *o, struct text *out)
{
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        const struct metric *m = &metrics[i];
        text_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", m->name, m->help,
                    m->name, m->type);
        m->put(o, m->name, out);
    }
}

void metrics_describe(void (*each)(void *arg, const char *name, const char *type, const char *help),
                      void *arg)
{
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        struct text name = {0};
        text_printf(&name, PREFIX "%s", metrics[i].name);
        each(arg, text_string(&name), metrics[i].type, metrics[i].help);
        text_fini(&name);
    }
}
