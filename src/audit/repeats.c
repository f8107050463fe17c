#include "repeats.h"

#include "pki/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 512, WAYS = 4 };
static const int64_t second_ns = 1000000000;
static const int64_t interval_ns = (int64_t)1000000000 / REPEATS_PER_SECOND;

struct repeat {
    bool used;
    int64_t paid_until_ns; /* the time up to which the records have used the rate */
    int64_t due_ns;        /* of the count, if that is not 0 */
    struct audit_repeated counted;
};

struct repeats {
    uint64_t seed;
    int64_t due_ns; /* of the earliest count; 0: none */
    struct repeat places[PLACES][WAYS];
};

struct repeats *repeats_new(void)
{
    struct repeats *r = calloc(1, sizeof *r);
    if (r && random_bytes(&r->seed, sizeof r->seed)) return r;
    free(r);
    return NULL;
}

void repeats_free(struct repeats *r)
{
    free(r);
}

/* FNV-1a from a secret start. */
static size_t place_of(const struct repeats *r, const struct audit_repeated *a)
{
    uint8_t ip[16];
    uint64_t h = r->seed ^ (uint64_t)a->reason;
    size_t n = addr_bytes(&a->source, ip);
    for (size_t i = 0; i < n; i++) h = (h ^ ip[i]) * 1099511628211u;
    for (const char *s = a->listener; *s; s++) h = (h ^ (uint8_t)*s) * 1099511628211u;
    return (size_t)(h >> 32) % PLACES;
}

static bool same(const struct audit_repeated *a, const struct audit_repeated *b)
{
    return a->reason == b->reason && addr_same_ip(&a->source, &b->source) &&
           strcmp(a->listener, b->listener) == 0;
}

/* The refusal's own place, else a free one, else the least recently used one. */
static struct repeat *find(struct repeat ways[WAYS], const struct audit_repeated *refusal)
{
    struct repeat *found = ways;
    for (size_t i = 0; i < WAYS; i++) {
        if (!ways[i].used) return &ways[i];
        if (same(&ways[i].counted, refusal)) return &ways[i];
        if (ways[i].paid_until_ns < found->paid_until_ns) found = &ways[i];
    }
    return found;
}

static void note_due(struct repeats *r, int64_t due_ns)
{
    if (!r->due_ns || due_ns < r->due_ns) r->due_ns = due_ns;
}

static void note_destination(struct audit_repeated *r, const char *destination)
{
    if (!*destination || r->destinations_cut) return;
    for (size_t i = 0; i < r->destination_count; i++)
        if (strcmp(r->destinations[i], destination) == 0) return;
    if (r->destination_count == AUDIT_REPEATED_DESTINATIONS) {
        r->destinations_cut = true;
        return;
    }
    char *to = r->destinations[r->destination_count++];
    snprintf(to, sizeof r->destinations[0], "%s", destination);
}

static void start_over(struct audit_repeated *r)
{
    r->count = 0;
    r->destination_count = 0;
    r->destinations_cut = false;
}

bool repeats_count(struct repeats *r, const struct audit_repeated *refusal, const char *destination,
                   int64_t now_ns, struct audit_repeated *displaced)
{
    struct repeat *p = find(r->places[place_of(r, refusal)], refusal);
    displaced->count = 0;
    if (!p->used || !same(&p->counted, refusal)) {
        if (p->used) *displaced = p->counted;
        *p = (struct repeat){.used = true, .counted = *refusal};
        start_over(&p->counted);
    }
    if (p->paid_until_ns < now_ns) p->paid_until_ns = now_ns;
    if (p->paid_until_ns - now_ns < REPEATS_BURST * interval_ns) {
        p->paid_until_ns += interval_ns;
        return false;
    }
    if (p->counted.count++ == 0) {
        p->counted.first = refusal->first;
        p->due_ns = now_ns + REPEATS_SUMMARY_S * second_ns;
        note_due(r, p->due_ns);
    }
    p->counted.last = refusal->last;
    note_destination(&p->counted, destination);
    return true;
}

bool repeats_take(struct repeats *r, int64_t now_ns, struct audit_repeated *out)
{
    struct repeat *all = r->places[0];
    bool found = false;
    if (!r->due_ns || now_ns < r->due_ns) return false;
    r->due_ns = 0;
    for (size_t i = 0; i < PLACES * WAYS; i++) {
        if (!all[i].counted.count) continue;
        if (found || all[i].due_ns > now_ns) {
            note_due(r, all[i].due_ns);
            continue;
        }
        *out = all[i].counted;
        start_over(&all[i].counted);
        found = true;
    }
    return found;
}

int64_t repeats_due(const struct repeats *r)
{
    return r->due_ns;
}
