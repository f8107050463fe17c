#include "audit/fallback.h"

#include "pki/keys.h"

#include <stdlib.h>
#include <string.h>

/* SHARE: how many attempts of one place may be one source's. */
enum { PLACES = 1024, WAYS = 4, SHARE = 2 };
static const int64_t window_ns = (int64_t)60 * 1000000000;

struct attempt {
    int64_t at_ns; /* 0: empty */
    struct audit_offer offer;
};

struct fallback_memory {
    uint64_t seed;
    struct attempt attempts[PLACES][WAYS];
};

struct fallback_memory *fallback_memory_new(void)
{
    struct fallback_memory *m = calloc(1, sizeof *m);
    if (m && random_bytes(&m->seed, sizeof m->seed)) return m;
    free(m);
    return NULL;
}

void fallback_memory_free(struct fallback_memory *m)
{
    free(m);
}

/* FNV-1a from a start that peers do not know, so that they cannot choose whom they push out. */
static size_t place_of(const struct fallback_memory *m, const struct audit_offer *o)
{
    uint8_t ip[16];
    uint64_t h = m->seed;
    size_t n = addr_bytes(&o->source, ip);
    for (size_t i = 0; i < n; i++) h = (h ^ ip[i]) * 1099511628211u;
    for (const char *s = o->identity; *s; s++) h = (h ^ (uint8_t)*s) * 1099511628211u;
    return (size_t)(h >> 32) % PLACES;
}

static bool same_client(const struct audit_offer *a, const struct audit_offer *b)
{
    return addr_same_ip(&a->source, &b->source) && strcmp(a->identity, b->identity) == 0;
}

static bool offers_less(const struct audit_offer *now, const struct audit_offer *before)
{
    return now->highest_version < before->highest_version ||
           __builtin_popcount(now->approved) < __builtin_popcount(before->approved);
}

/* Which attempt of a full place gives way: the source's own oldest where it has its share, else
 * the oldest of all. So a source that tries one identity after the other forgets its own. */
static struct attempt *make_way(struct attempt ways[WAYS], const struct audit_offer *now)
{
    struct attempt *oldest = ways, *own = NULL;
    size_t share = 0;
    for (size_t i = 0; i < WAYS; i++) {
        if (ways[i].at_ns < oldest->at_ns) oldest = &ways[i];
        if (!ways[i].at_ns || !addr_same_ip(&ways[i].offer.source, &now->source)) continue;
        share++;
        if (!own || ways[i].at_ns < own->at_ns) own = &ways[i];
    }
    return share >= SHARE ? own : oldest;
}

bool fallback_notice(struct fallback_memory *m, const struct audit_offer *now, int64_t now_ns,
                     struct audit_offer *before)
{
    struct attempt *ways = m->attempts[place_of(m, now)], *mine = NULL;
    for (size_t i = 0; i < WAYS; i++)
        if (ways[i].at_ns && same_client(&ways[i].offer, now)) mine = &ways[i];
    bool less = mine && now_ns - mine->at_ns <= window_ns && offers_less(now, &mine->offer);
    if (less) *before = mine->offer;
    if (now->failed)
        *(mine ? mine : make_way(ways, now)) = (struct attempt){.at_ns = now_ns, .offer = *now};
    else if (mine)
        mine->at_ns = 0;
    return less;
}
