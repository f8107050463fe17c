#include "check/scan.h"

#include "ask.h"
#include "parts.h"

#include <pthread.h>
#include <stdlib.h>

static const uint16_t versions[SCAN_VERSIONS] = {SSL_2_0, SSL_3_0, TLS_1_0,
                                                 TLS_1_1, TLS_1_2, TLS_1_3};

/* A retry that wants to be alone is next, however many others ask. */
static void init_asking(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

void scan_run(struct probe_target *t, const struct scan_trust *trust, unsigned threads,
              struct scan *out)
{
    struct scanning *g = calloc(1, sizeof *g);
    out->address = t->address;
    out->first_alert = -1;
    for (size_t i = 0; i < SCAN_VERSIONS; i++) out->versions[i].version = versions[i];
    if (!g) {
        out->outcome = PROBE_FAILED;
        return;
    }
    *g = (struct scanning){.target = t, .trust = trust, .scan = out, .chunk = CHUNK_LARGEST};
    pthread_mutex_init(&g->lock, NULL);
    init_asking(&g->asking);
    for (size_t i = 0; i < SUITE_COUNT; i++) g->ciphers[g->cipher_count++] = suites[i].id;
    g->cipher_count += other_ciphers(g->ciphers + g->cipher_count, OTHER_CIPHERS);
    g->group_count = other_curves(g->groups, OTHER_CURVES - GROUP_COUNT);
    for (size_t i = 0; i < GROUP_COUNT; i++) g->groups[g->group_count++] = group_at(i);
    if (contact_make(g)) {
        versions_find(g, threads);
        detail_find(g, threads);
    }
    pthread_rwlock_destroy(&g->asking);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

size_t scan_accepted(const struct scan *s, size_t out[SUITE_COUNT])
{
    bool listed[SUITE_COUNT] = {false};
    size_t n = 0;
    for (size_t i = 0; i < s->order_count; i++) {
        const struct suite *suite = suite_by_id(s->order[i]);
        if (!suite || listed[suite - suites]) continue;
        listed[suite - suites] = true;
        out[n++] = (size_t)(suite - suites);
    }
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (!listed[i] && s->approved[i].accepted == FACT_YES) out[n++] = i;
    return n;
}

void scan_fini(struct scan *s)
{
    for (size_t i = 0; i < SCAN_KEYS; i++) buf_fini(&s->certificates[i].der);
}
