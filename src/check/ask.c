#include "ask.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

const uint16_t ask_tls13[ASK_TLS13] = {0x1301, 0x1302, 0x1303, 0x1304, 0x1305, 0x00c6, 0x00c7};

static const char *server_name(const struct scanning *g)
{
    return g->target->identity_is_ip ? NULL : g->target->identity;
}

struct offer ask_offer_of(const struct scanning *g, uint16_t version, const uint16_t *list,
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

bool ask_answers(struct scanning *g)
{
    struct offer offer = ask_offer_of(g, g->known_version, &g->known_suite, 1);
    struct probe p;
    if (g->known_version == 0) return false;
    probe_run(g->target, &offer, PROBE_HELLO, true, &p);
    bool hello = p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_HELLO;
    probe_fini(&p);
    return hello;
}

void ask_pause(const struct scanning *g, unsigned tries)
{
    const int64_t second = 1000000000;
    int64_t wait = second / 8 << tries, left = g->target->deadline - clock_steady_ns();
    if (left < wait) wait = left;
    if (wait <= 0) return;
    struct timespec t = {.tv_sec = wait / second, .tv_nsec = wait % second};
    nanosleep(&t, NULL);
}

/* Claims the version's one use of the whole first wait. False if it was used before. */
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

/* Records what it chose from an offer, also in an older version than the newest one offered. */
static void note_hello(struct scanning *g, const struct offer *offer, const struct reply *r)
{
    if (!offer || r->kind != REPLY_HELLO || r->version < SSL_3_0 || r->version > offer->version)
        return;
    for (size_t i = 0; i < offer->suite_count; i++)
        if (offer->suites[i] == r->suite) {
            ask_note_suite(g, r->version, r->suite);
            return;
        }
    if (r->version >= offer->version || r->version >= TLS_1_2) return;
    pthread_mutex_lock(&g->lock);
    g->scan->versions[r->version - SSL_3_0 + 1].accepted = FACT_YES;
    pthread_mutex_unlock(&g->lock);
}

bool ask_is_no(struct scanning *g, unsigned round)
{
    /* One question more in each round: a server that closes every second, third or fourth
     * connection closes one of these too. */
    for (unsigned i = 0; i <= round; i++) {
        ask_settle_delay(round);
        if (!ask_answers(g)) return false;
    }
    return true;
}

void ask_settle_delay(unsigned round)
{
    const long first = 8000000;
    struct timespec t = {.tv_nsec = first << round};
    nanosleep(&t, NULL);
}

/* While asking alone: true when there was an answer, or when closing is one. A silent server gets
 * one round: that already costs two waits. */
static bool ask_alone(struct scanning *g, const struct offer *offer, enum probe_depth depth,
                      struct probe *p)
{
    for (unsigned round = 0; round < ASK_ROUNDS; round++) {
        bool patient = p->outcome == PROBE_SILENT && take_wait(g, offer);
        probe_fini(p);
        ask_settle_delay(round);
        probe_run(g->target, offer, depth, patient, p);
        if (is_answer(p)) return true;
        if (!is_refusal(p) || !ask_is_no(g, round)) return false;
        if (p->outcome == PROBE_SILENT) return true;
    }
    return true;
}

void ask(struct scanning *g, const struct offer *offer, enum probe_depth depth, struct probe *p)
{
    bool over;
    for (unsigned tries = 0; tries < ASK_TRIES; tries++) {
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
        /* For the first hello there is no known offer. Repeat it after a close, and for one of
         * several mail servers behind an address. */
        bool again = p->outcome == PROBE_CLOSED || p->outcome == PROBE_NO_STARTTLS;
        if (g->known_version == 0 && (tries > 0 || !again)) return;
        if (tries > 0) ask_pause(g, tries);
    }
    if (p->outcome == PROBE_NO_TIME) ask_note_out_of_time(g);
    ask_note_incomplete(g, p->outcome == PROBE_FAILED ? p->fault : 0);
}

void ask_note_suite(struct scanning *g, uint16_t version, uint16_t suite)
{
    struct scan_version *v = &g->scan->versions[version - SSL_3_0 + 1];
    bool known = false;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < v->suite_count; i++) known = known || v->suites[i] == suite;
    if (!known && v->suite_count < COUNT_OF(v->suites)) v->suites[v->suite_count++] = suite;
    v->accepted = FACT_YES;
    pthread_mutex_unlock(&g->lock);
}

void ask_note_out_of_time(struct scanning *g)
{
    pthread_mutex_lock(&g->lock);
    g->scan->out_of_time = true;
    pthread_mutex_unlock(&g->lock);
}

void ask_note_incomplete(struct scanning *g, int fault)
{
    pthread_mutex_lock(&g->lock);
    g->scan->incomplete = true;
    if (fault) g->scan->incomplete_fault = fault;
    pthread_mutex_unlock(&g->lock);
}

bool ask_is_hello(const struct probe *p, uint16_t version)
{
    return p->outcome == PROBE_ANSWERED && p->reply.kind == REPLY_HELLO &&
           p->reply.version == version;
}

static int by_number(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

void list_sort(uint16_t *list, size_t n)
{
    qsort(list, n, sizeof *list, by_number);
}

bool list_take(uint16_t *list, size_t *n, uint16_t value)
{
    for (size_t i = 0; i < *n; i++) {
        if (list[i] != value) continue;
        memmove(list + i, list + i + 1, (*n - i - 1) * sizeof *list);
        (*n)--;
        return true;
    }
    return false;
}
