#include "audit/fallback.h"

#include "pki/keys.h"

#include <stdlib.h>
#include <string.h>

/* SHARE: how many attempts of one place one source may have. */
enum { PLACES = 1024, WAYS = 4, SHARE = 2 };
static const int64_t window_ns = (int64_t)FALLBACK_WINDOW_S * 1000000000;

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

/* FNV-1a. */
static uint64_t hash(uint64_t h, const void *p, size_t n)
{
    const uint8_t *bytes = p;
    for (size_t i = 0; i < n; i++) h = (h ^ bytes[i]) * 1099511628211u;
    return h;
}

/* Starts from a secret value, so that peers cannot choose whom they push out. */
static size_t place_of(const struct fallback_memory *m, const struct audit_offer *o)
{
    uint8_t ip[16];
    size_t n = addr_bytes(&o->source, ip);
    uint64_t h = hash(m->seed, ip, n);
    h = hash(h, o->host, strlen(o->host));
    return (size_t)(h >> 32) % PLACES;
}

static bool same_attempt(const struct audit_offer *a, const struct audit_offer *b)
{
    return addr_same_ip(&a->source, &b->source) && a->port == b->port &&
           strcmp(a->host, b->host) == 0 && strcmp(a->identity, b->identity) == 0 &&
           strcmp(a->listener, b->listener) == 0;
}

/* ---- what a program keeps ---- */

/* Appends to the current list, without signals and GREASE, which change from attempt to attempt. */
static void keep_id(struct audit_offer *o, enum audit_kept list, size_t *used, uint16_t id)
{
    bool signal = list == KEPT_SUITES && cipher_is_signal(id);
    if (signal || is_grease(id)) return;
    if (*used == AUDIT_KEPT_IDS) {
        o->comparable = false;
        return;
    }
    o->ids[(*used)++] = id;
    o->kept[list]++;
}

/* These depend on the length or on earlier sessions. */
static bool extension_varies(uint16_t type)
{
    enum { PADDING = 21, PRE_SHARED_KEY = 41, EARLY_DATA = 42 };
    return type == PADDING || type == PRE_SHARED_KEY || type == EARLY_DATA;
}

void fallback_describe(const struct hello *h, suite_set approved, struct audit_offer *out)
{
    const struct span lists[] = {h->cipher_suites, h->groups, h->schemes};
    size_t used = 0;
    out->present = out->comparable = true;
    out->highest_version = h->highest_version;
    out->approved = approved;
    for (size_t l = 0; l < COUNT_OF(lists); l++)
        for (size_t i = 0; i < lists[l].n / 2 && out->comparable; i++)
            keep_id(out, (enum audit_kept)l, &used, span_u16(lists[l], i));
    struct reader r = reader_of(h->extensions);
    while (r.left > 0 && out->comparable) {
        uint16_t type = reader_u16(&r);
        reader_vector(&r, 2);
        if (!extension_varies(type)) keep_id(out, KEPT_EXTENSIONS, &used, type);
    }
    out->alpn = hash(0, h->alpn.p, h->alpn.n);
}

/* ---- comparison ---- */

struct id_list {
    const uint16_t *ids;
    size_t n;
};

static struct id_list list_of(const struct audit_offer *o, enum audit_kept list)
{
    struct id_list l = {o->ids, o->kept[list]};
    for (size_t i = 0; i < (size_t)list; i++) l.ids += o->kept[i];
    return l;
}

/* Is a the rest of b after some entries are removed? */
static bool is_part_in_order(struct id_list a, struct id_list b)
{
    size_t found = 0;
    for (size_t i = 0; i < b.n && found < a.n; i++) found += a.ids[found] == b.ids[i];
    return found == a.n;
}

/* The same for extensions, in any order: some clients shuffle them. */
static bool is_part(struct id_list a, struct id_list b)
{
    for (size_t i = 0; i < a.n; i++) {
        size_t k = 0;
        while (k < b.n && b.ids[k] != a.ids[i]) k++;
        if (k == b.n) return false;
    }
    return true;
}

static bool is_reduction(const struct audit_offer *now, const struct audit_offer *before)
{
    bool lower = now->highest_version < before->highest_version;
    bool fewer = now->approved != before->approved, others_same = true;
    if (!now->comparable || !before->comparable || now->alpn != before->alpn) return false;
    if (now->approved & ~before->approved) return false;
    for (size_t l = 0; l < KEPT_LISTS; l++) {
        struct id_list a = list_of(now, (enum audit_kept)l),
                       b = list_of(before, (enum audit_kept)l);
        if (!(l == KEPT_EXTENSIONS ? is_part(a, b) : is_part_in_order(a, b))) return false;
        others_same = others_same && (l == KEPT_SUITES || a.n == b.n);
    }
    return lower || (now->highest_version == before->highest_version && fewer && others_same);
}

/* Chooses the attempt of a full place to replace: the source's own oldest if it has its share, else
 * the oldest of all. So a source that tries many identities replaces its own attempts. */
static struct attempt *choose_replaced(struct attempt ways[WAYS], const struct audit_offer *now)
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
        if (ways[i].at_ns && same_attempt(&ways[i].offer, now)) mine = &ways[i];
    bool less = mine && now_ns - mine->at_ns <= window_ns && is_reduction(now, &mine->offer);
    if (less) *before = mine->offer;
    if (now->failed)
        *(mine ? mine : choose_replaced(ways, now)) =
            (struct attempt){.at_ns = now_ns, .offer = *now};
    else if (mine)
        mine->at_ns = 0;
    return less;
}
