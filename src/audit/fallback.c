#include "audit/fallback.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES = 1024, WAYS = 4 };
static const int64_t window_ns = (int64_t)60 * 1000000000;

struct attempt {
    int64_t at_ns; /* 0: empty */
    struct audit_offer offer;
};

struct fallback_memory {
    struct attempt attempts[PLACES][WAYS];
};

struct fallback_memory *fallback_memory_new(void)
{
    return calloc(1, sizeof(struct fallback_memory));
}

void fallback_memory_free(struct fallback_memory *m)
{
    free(m);
}

/* FNV-1a; a peer that makes others collide only makes us forget sooner. */
static size_t place_of(const struct audit_offer *o)
{
    uint8_t ip[16];
    uint32_t h = 2166136261u;
    size_t n = addr_bytes(&o->source, ip);
    for (size_t i = 0; i < n; i++) h = (h ^ ip[i]) * 16777619u;
    for (const char *s = o->identity; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
    return h % PLACES;
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

bool fallback_notice(struct fallback_memory *m, const struct audit_offer *now, int64_t now_ns,
                     struct audit_offer *before)
{
    struct attempt *ways = m->attempts[place_of(now)], *mine = NULL, *oldest = ways;
    for (size_t i = 0; i < WAYS; i++) {
        if (ways[i].at_ns && same_client(&ways[i].offer, now)) mine = &ways[i];
        if (ways[i].at_ns < oldest->at_ns) oldest = &ways[i];
    }
    bool less = mine && now_ns - mine->at_ns <= window_ns && offers_less(now, &mine->offer);
    if (less) *before = mine->offer;
    struct attempt *place = mine ? mine : oldest;
    if (now->failed)
        *place = (struct attempt){.at_ns = now_ns, .offer = *now};
    else if (mine)
        mine->at_ns = 0;
    return less;
}
