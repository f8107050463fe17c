#include "check/scan.h"

#include "base/clock.h"
#include "scanning.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const uint16_t versions[SCAN_VERSIONS] = {SSL_2_0, SSL_3_0, TLS_1_0,
                                                 TLS_1_1, TLS_1_2, TLS_1_3};
const uint16_t scanning_tls13[SCANNING_TLS13] = {0x1301, 0x1302, 0x1303, 0x1304,
                                                 0x1305, 0x00c6, 0x00c7};

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
                          .groups = g->groups,
                          .group_count = g->group_count,
                          .server_name = server_name(g),
                          .bare = g->bare};
}

bool scanning_answers(struct scanning *g)
{
    struct offer offer = scanning_offer(g, g->known_version, &g->known_suite, 1);
    struct probe p;
    if (g->known_version == 0) return false;
    probe_run(g->target, &offer, PROBE_HELLO, true, &p);
    bool hello = p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_HELLO;
    probe_fini(&p);
    return hello;
}

void scanning_pause(const struct scanning *g, unsigned tries)
{
    const int64_t second = 1000000000;
    int64_t wait = second / 8 << tries, left = g->target->deadline - clock_steady_ns();
    if (left < wait) wait = left;
    if (wait <= 0) return;
    struct timespec t = {.tv_sec = wait / second, .tv_nsec = wait % second};
    nanosleep(&t, NULL);
}

/* Has this version been given the whole first wait? If not, it is now. */
static bool take_wait(struct scanning *g, const struct offer *offer)
{
    size_t i = offer ? (size_t)(offer->version - SSL_3_0 + 1) : 0;
    pthread_mutex_lock(&g->lock);
    bool free = !g->waited[i];
    g->waited[i] = true;
    pthread_mutex_unlock(&g->lock);
    return free;
}

static bool is_answer(const struct probe *p)
{
    return p->outcome == PROBE_ANSWERED || p->outcome == PROBE_NOT_TLS;
}

static bool is_refusal(const struct probe *p)
{
    return p->outcome == PROBE_CLOSED || p->outcome == PROBE_SILENT;
}

/* What it picked of an offer, in whatever version: one that answers with an older version than
 * the newest that was offered speaks that version. */
static void note_hello(struct scanning *g, const struct offer *offer, const struct reply *r)
{
    if (!offer || r->kind != REPLY_HELLO || r->version < SSL_3_0 || r->version > offer->version)
        return;
    for (size_t i = 0; i < offer->suite_count; i++)
        if (offer->suites[i] == r->suite) {
            scanning_note_suite(g, r->version, r->suite);
            return;
        }
    if (r->version >= offer->version || r->version >= TLS_1_2) return;
    pthread_mutex_lock(&g->lock);
    g->scan->versions[r->version - SSL_3_0 + 1].accepted = FACT_YES;
    pthread_mutex_unlock(&g->lock);
}

bool scanning_is_no(struct scanning *g, unsigned round)
{
    /* Not as many questions between two offers as before: a server that closes every second,
     * third or fourth connection closes one of these as well. */
    for (unsigned i = 0; i <= round; i++) {
        scanning_breathe(round);
        if (!scanning_answers(g)) return false;
    }
    return true;
}

void scanning_breathe(unsigned round)
{
    const long first = 8000000;
    struct timespec t = {.tv_nsec = first << round};
    nanosleep(&t, NULL);
}

/* For one who asks alone: true when there was an answer, or when closing is one. One round is
 * enough for a server that keeps silent: that costs the patience of two. */
static bool ask_alone(struct scanning *g, const struct offer *offer, enum probe_depth depth,
                      struct probe *p)
{
    for (unsigned round = 0; round < SCANNING_ROUNDS; round++) {
        bool patient = p->outcome == PROBE_SILENT && take_wait(g, offer);
        probe_fini(p);
        scanning_breathe(round);
        probe_run(g->target, offer, depth, patient, p);
        if (is_answer(p)) return true;
        if (!is_refusal(p) || !scanning_is_no(g, round)) return false;
        if (p->outcome == PROBE_SILENT) return true;
    }
    return true;
}

void scanning_ask(struct scanning *g, const struct offer *offer, enum probe_depth depth,
                  struct probe *p)
{
    bool over;
    for (unsigned tries = 0; tries < SCANNING_TRIES; tries++) {
        if (tries == 0 || g->known_version == 0) {
            pthread_rwlock_rdlock(&g->asking);
            if (tries) probe_fini(p);
            probe_run(g->target, offer, depth, false, p);
            over = is_answer(p);
        } else {
            pthread_rwlock_wrlock(&g->asking);
            over = ask_alone(g, offer, depth, p);
        }
        pthread_rwlock_unlock(&g->asking);
        note_hello(g, offer, &p->reply);
        if (over) return;
        if (p->outcome == PROBE_NO_TIME || p->outcome == PROBE_FAILED) break;
        /* The first word: nothing is known that it could be compared with. One that was reset, and
         * one of several mail servers behind an address, is asked again. */
        bool again = p->outcome == PROBE_CLOSED || p->outcome == PROBE_NO_STARTTLS;
        if (g->known_version == 0 && (tries > 0 || !again)) return;
        if (tries > 0) scanning_pause(g, tries);
    }
    if (p->outcome == PROBE_NO_TIME) scanning_out_of_time(g);
    scanning_incomplete(g, p->outcome == PROBE_FAILED ? p->fault : 0);
}

void scanning_note_suite(struct scanning *g, uint16_t version, uint16_t suite)
{
    struct scan_version *v = &g->scan->versions[version - SSL_3_0 + 1];
    bool known = false;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < v->suite_count; i++) known = known || v->suites[i] == suite;
    if (!known && v->suite_count < COUNT_OF(v->suites)) v->suites[v->suite_count++] = suite;
    v->accepted = FACT_YES;
    pthread_mutex_unlock(&g->lock);
}

void scanning_out_of_time(struct scanning *g)
{
    pthread_mutex_lock(&g->lock);
    g->scan->out_of_time = true;
    pthread_mutex_unlock(&g->lock);
}

void scanning_incomplete(struct scanning *g, int fault)
{
    pthread_mutex_lock(&g->lock);
    g->scan->incomplete = true;
    if (fault) g->scan->incomplete_fault = fault;
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

/* Who wants to be alone comes next, however many others keep asking. */
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
    g->group_count = other_curves(g->groups, OTHER_CURVES - group_count());
    for (size_t i = 0; i < group_count(); i++) g->groups[g->group_count++] = group_at(i);
    if (scanning_make_contact(g)) {
        scanning_find_versions(g, threads);
        scanning_look_closer(g, threads);
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
