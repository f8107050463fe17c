#include "operate/overview.h"

#include <string.h>

unsigned long overview_refused(const struct counts *c)
{
    unsigned long sum = 0;
    for (int r = 0; r < REASON_COUNT; r++) sum += c->refused[r];
    return sum;
}

struct overview_rate overview_rate(const struct overview *o, int seconds)
{
    size_t n = o->sample_count;
    if (n < 2) return (struct overview_rate){0, 0};
    const struct overview_sample *last = &o->samples[n - 1], *first = last;
    while (first > o->samples && last->at - first->at < seconds) first--;
    double took = (double)(last->at - first->at);
    if (took <= 0) return (struct overview_rate){0, 0};
    return (struct overview_rate){(double)(last->opened - first->opened) / took,
                                  (double)(last->refused - first->refused) / took};
}

long overview_days_left(const struct overview *o, time_t end)
{
    enum { DAY = 86400 };
    time_t left = end - o->now;
    return (long)(left >= 0 ? left / DAY : -((-left + DAY - 1) / DAY));
}

size_t overview_expiring(const struct overview *o)
{
    size_t n = 0;
    for (size_t i = 0; i < o->loaded->end_count; i++) n += o->now >= o->loaded->ends[i].warn_from;
    return n;
}

size_t overview_upstreams(const struct overview *o, const struct census_upstream **out,
                          unsigned *others)
{
    size_t n = 0;
    *others = o->census->other_relays;
    for (size_t i = 0; i < CENSUS_UPSTREAMS; i++) {
        const struct census_upstream *u = &o->census->upstreams[i];
        if (!u->name[0]) continue;
        if (n == OVERVIEW_ROWS && out[n - 1]->relays >= u->relays) {
            *others += u->relays;
            continue;
        }
        if (n == OVERVIEW_ROWS) *others += out[--n]->relays;
        size_t at = n++;
        for (; at > 0 && out[at - 1]->relays < u->relays; at--) out[at] = out[at - 1];
        out[at] = u;
    }
    return n;
}

size_t overview_refusals(const struct overview *o, enum reason out[REASON_COUNT])
{
    size_t n = 0;
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        if (o->counts->refused[r] == 0) continue;
        size_t at = n++;
        for (; at > 0 && o->counts->refused[out[at - 1]] < o->counts->refused[r]; at--)
            out[at] = out[at - 1];
        out[at] = (enum reason)r;
    }
    return n;
}

struct refusal_text overview_refusal(const struct refusal *e)
{
    struct refusal_text t = {.destination = ""};
    struct target target = {.port = e->port, .is_ip = e->is_ip};
    clock_format(e->at, t.when);
    addr_format_ip(&e->source, t.from);
    memcpy(target.host, e->host, sizeof target.host);
    if (e->host[0]) target_format(&target, t.destination);
    return t;
}

unsigned overview_connections(const struct overview *o, const char *listener)
{
    unsigned sum = 0;
    for (size_t i = 0; i < o->census->listener_count; i++)
        for (size_t s = 0; s < CONN_STATES; s++)
            if (strcmp(o->census->listeners[i].name, listener) == 0)
                sum += o->census->listeners[i].states[s];
    return sum;
}
