#include "check/scan.h"

#include "scanning.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const uint16_t versions[SCAN_VERSIONS] = {SSL_2_0, SSL_3_0, TLS_1_0,
                                                 TLS_1_1, TLS_1_2, TLS_1_3};
const uint16_t scanning_tls13[SCANNING_TLS13] = {0x1301, 0x1302, 0x1303, 0x1304,
                                                 0x1305, 0x00c6, 0x00c7};

/* Suites that most servers have one of, for the first word: the policy's come before these. */
static const uint16_t common_suites[] = {0xcca8, 0xcca9, 0xc013, 0xc014, 0xc009, 0xc00a, 0x009e,
                                         0x009f, 0x0033, 0x0039, 0x009c, 0x009d, 0x003c, 0x003d,
                                         0x002f, 0x0035, 0x000a, 0x0005, 0x0004};

static const char *server_name(const struct scanning *g)
{
    return g->target->identity_is_ip ? NULL : g->target->identity;
}

struct offer scanning_offer(const struct scanning *g, uint16_t version, const uint16_t *list,
                            size_t n)
{
    return (struct offer){.version = version,
                          .suites = list,
                          .suite_count = n,
                          .server_name = server_name(g),
                          .bare = g->bare};
}

void scanning_ask(struct scanning *g, const struct offer *offer, enum probe_depth depth,
                  struct probe *p)
{
    for (int tries = 0; tries < 2; tries++) {
        if (tries) probe_fini(p);
        probe_run(g->target, offer, depth, p);
        if (p->outcome != PROBE_CLOSED && p->outcome != PROBE_UNREACHABLE) break;
    }
    bool cut_short = p->outcome == PROBE_NO_TIME || p->outcome == PROBE_FAILED ||
                     p->outcome == PROBE_UNREACHABLE || p->outcome == PROBE_SLOW;
    if (cut_short) scanning_incomplete(g);
}

void scanning_incomplete(struct scanning *g)
{
    pthread_mutex_lock(&g->lock);
    g->scan->incomplete = true;
    pthread_mutex_unlock(&g->lock);
}

bool scanning_is_hello(const struct probe *p, uint16_t version)
{
    return p->outcome == PROBE_ANSWERED && p->reply.kind == REPLY_HELLO &&
           p->reply.version == version;
}

static int by_number(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

void scanning_sort(uint16_t *list, size_t n)
{
    qsort(list, n, sizeof *list, by_number);
}

bool scanning_take(uint16_t *list, size_t *n, uint16_t value)
{
    for (size_t i = 0; i < *n; i++) {
        if (list[i] != value) continue;
        memmove(list + i, list + i + 1, (*n - i - 1) * sizeof *list);
        (*n)--;
        return true;
    }
    return false;
}

/* The first word */

static const struct {
    uint16_t version;
    bool bare;
} first_words[] = {
    {TLS_1_2, false}, {TLS_1_3, false}, {TLS_1_2, true}, {TLS_1_0, true}, {SSL_3_0, true}};

/* Which failure says most when nothing succeeds. */
static int weight(enum probe_outcome outcome)
{
    switch (outcome) {
    case PROBE_NOT_TLS:
        return 5;
    case PROBE_SLOW:
        return 4;
    case PROBE_SILENT:
        return 3;
    case PROBE_CLOSED:
        return 2;
    default:
        return 1;
    }
}

static void note_failure(struct scan *s, const struct probe *p)
{
    const char *name = reply_alien_name(&p->reply);
    if (s->outcome != PROBE_ANSWERED && weight(p->outcome) <= weight(s->outcome)) return;
    s->outcome = p->outcome;
    s->fault = p->fault;
    memcpy(s->detail, p->smtp, sizeof s->detail);
    if (p->outcome == PROBE_NOT_TLS && name) strncpy(s->detail, name, sizeof s->detail - 1);
}

static size_t first_suites(uint16_t version, uint16_t *out)
{
    size_t n = 0;
    if (version == TLS_1_3) {
        memcpy(out, scanning_tls13, sizeof scanning_tls13);
        return SCANNING_TLS13;
    }
    for (size_t i = 0; i < SUITE_COUNT && version == TLS_1_2; i++) out[n++] = suites[i].id;
    for (size_t i = 0; i < COUNT_OF(common_suites); i++) out[n++] = common_suites[i];
    return n;
}

/* What the first words have shown: a ServerHello's version and suite, if any. */
struct contact {
    bool alive;
    uint16_t version, suite;
};

static bool is_final(enum probe_outcome outcome)
{
    return outcome == PROBE_UNREACHABLE || outcome == PROBE_SMTP || outcome == PROBE_NO_TIME ||
           outcome == PROBE_FAILED;
}

/* The last thing to try with one that closes at every other word. */
static bool speaks_sslv2(struct scanning *g)
{
    struct probe p;
    if (g->scan->outcome != PROBE_CLOSED) return false;
    scanning_ask(g, NULL, PROBE_FLIGHT, &p);
    bool speaks = p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_SSLV2;
    probe_fini(&p);
    return speaks;
}

/* Until a ServerHello comes. A server that stays silent twice is not asked further. */
static struct contact make_contact(struct scanning *g)
{
    struct contact contact = {0};
    unsigned silent = 0;
    for (size_t i = 0; i < COUNT_OF(first_words) && silent < 2; i++) {
        uint16_t list[SUITE_COUNT + COUNT_OF(common_suites) + SCANNING_TLS13];
        uint16_t version = first_words[i].version;
        struct offer offer = scanning_offer(g, version, list, first_suites(version, list));
        struct probe p;
        offer.bare = first_words[i].bare;
        scanning_ask(g, &offer, PROBE_HELLO, &p);
        bool hello = p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_HELLO;
        bool answered = p.outcome == PROBE_ANSWERED, final = is_final(p.outcome);
        if (hello) {
            contact.version = p.reply.version;
            contact.suite = p.reply.suite;
            g->bare = offer.bare && !contact.alive;
        }
        contact.alive = contact.alive || answered;
        if (!answered && !contact.alive) note_failure(g->scan, &p);
        silent += p.outcome == PROBE_SILENT || p.outcome == PROBE_SLOW;
        probe_fini(&p);
        if (hello || (final && !contact.alive)) break;
    }
    if (!contact.alive) contact.alive = speaks_sslv2(g);
    if (contact.alive) g->scan->outcome = PROBE_ANSWERED;
    return contact;
}

/* How many suites may stand in one hello: a suite that it accepts, among so many others. */
static void measure_chunk(struct scanning *g, const struct contact *contact)
{
    uint16_t list[CHUNK_LARGEST];
    if (contact->version == 0 || contact->version > TLS_1_2) return;
    for (; g->chunk > CHUNK_SMALLEST; g->chunk /= 2) {
        size_t n = 0;
        for (size_t i = g->cipher_count; i-- > 0 && n + 1 < g->chunk;)
            if (g->ciphers[i] != contact->suite) list[n++] = g->ciphers[i];
        list[n++] = contact->suite;
        struct offer offer = scanning_offer(g, contact->version, list, n);
        struct probe p;
        scanning_ask(g, &offer, PROBE_HELLO, &p);
        bool fits = p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_HELLO;
        probe_fini(&p);
        if (fits) return;
    }
}

void scan_run(struct probe_target *t, const struct scan_trust *trust, unsigned threads,
              struct scan *out)
{
    struct scanning *g = calloc(1, sizeof *g);
    out->address = t->address;
    for (size_t i = 0; i < SCAN_VERSIONS; i++) out->versions[i].version = versions[i];
    if (!g) {
        out->outcome = PROBE_FAILED;
        return;
    }
    *g = (struct scanning){.target = t, .trust = trust, .scan = out, .chunk = CHUNK_LARGEST};
    pthread_mutex_init(&g->lock, NULL);
    for (size_t i = 0; i < SUITE_COUNT; i++) g->ciphers[g->cipher_count++] = suites[i].id;
    g->cipher_count += other_ciphers(g->ciphers + g->cipher_count, OTHER_CIPHERS);
    struct contact contact = make_contact(g);
    if (contact.alive) {
        measure_chunk(g, &contact);
        scanning_find_versions(g, threads);
        scanning_look_closer(g, threads);
    }
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void scan_fini(struct scan *s)
{
    for (size_t i = 0; i < SCAN_KEYS; i++) buf_fini(&s->certificates[i].der);
}
