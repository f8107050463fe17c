/* Which versions a server accepts, and which suites in each. */
#include "parts.h"

#include <errno.h>
#include <stdlib.h>

enum { CHUNKS = OTHER_CIPHERS / CHUNK_SMALLEST };

/* Finds all of these suites that it accepts: removes each chosen one until it chooses none. */
static void enumerate(struct scanning *g, struct scan_version *v, uint16_t *list, size_t n)
{
    while (n > 0) {
        struct offer offer = ask_offer_of(g, v->version, list, n);
        struct probe p;
        ask(g, &offer, PROBE_HELLO, &p);
        bool picked = ask_is_hello(&p, v->version) && list_take(list, &n, p.reply.suite);
        probe_fini(&p);
        if (!picked) return;
    }
}

/* arg: which version and which chunk. */
static void enumerate_chunk(void *context, size_t arg)
{
    struct scanning *g = context;
    struct scan_version *v = &g->scan->versions[arg / CHUNKS];
    size_t from = arg % CHUNKS * g->chunk;
    uint16_t list[CHUNK_LARGEST];
    size_t n = g->cipher_count - from < g->chunk ? g->cipher_count - from : g->chunk;
    memcpy(list, g->ciphers + from, n * sizeof *list);
    enumerate(g, v, list, n);
}

static void enumerate_tls13(void *context, size_t arg)
{
    struct scanning *g = context;
    uint16_t list[ASK_TLS13];
    memcpy(list, ask_tls13, sizeof list);
    enumerate(g, &g->scan->versions[arg], list, COUNT_OF(list));
}

static void ask_sslv2(void *context, size_t arg)
{
    struct scanning *g = context;
    struct scan_version *v = &g->scan->versions[arg];
    struct probe p;
    ask(g, NULL, PROBE_FLIGHT, &p);
    if (p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_SSLV2) {
        v->accepted = FACT_YES;
        v->kind_count = p.reply.kind_count;
        memcpy(v->kinds, p.reply.kinds, sizeof v->kinds);
    }
    probe_fini(&p);
}

void versions_find(struct scanning *g, unsigned threads)
{
    struct job *jobs = calloc(SCAN_VERSIONS * CHUNKS, sizeof *jobs);
    size_t n = 0;
    if (!jobs) {
        ask_note_incomplete(g, ENOMEM);
        return;
    }
    /* The newest first: a server may hang at old ones. */
    for (size_t i = SCAN_VERSIONS; i-- > 0;) {
        uint16_t version = g->scan->versions[i].version;
        if (version == TLS_1_3) jobs[n++] = (struct job){enumerate_tls13, i};
        if (version == SSL_2_0) jobs[n++] = (struct job){ask_sslv2, i};
        if (version == TLS_1_3 || version == SSL_2_0) continue;
        for (size_t from = 0; from < g->cipher_count; from += g->chunk)
            jobs[n++] = (struct job){enumerate_chunk, i * CHUNKS + from / g->chunk};
    }
    jobs_run(jobs, n, g, threads);
    free(jobs);
    for (size_t i = 0; i < SCAN_VERSIONS; i++) {
        struct scan_version *v = &g->scan->versions[i];
        list_sort(v->suites, v->suite_count);
        if (v->accepted == FACT_UNKNOWN && !g->scan->incomplete) v->accepted = FACT_NO;
    }
}
