/* tls/session when the machine fails: each memory request of one conversation fails once, then each
 * request for randomness. Nothing crashes or leaks, and no unproved peer is accepted. */
#include "tls_pair.h"

/* The linker directs all these calls here (see the Makefile). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
int __real_suitegate_random(unsigned char *out, unsigned size);
int __wrap_suitegate_random(unsigned char *out, unsigned size);

/* One kind of request: number `fails` fails, and all later ones if `forever`. */
struct gauge {
    size_t count, fails;
    bool armed, forever;
};

static struct gauge memory, randomness;
static struct session *acting, *victim; /* in a call of the engine; when a request failed */
static long held;                       /* blocks */

static bool refused(struct gauge *g)
{
    if (!g->armed) return false;
    g->count++;
    bool now = g->fails > 0 && (g->forever ? g->count >= g->fails : g->count == g->fails);
    if (now) victim = acting;
    return now;
}

static void *taken(void *p)
{
    if (p) held++;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return refused(&memory) ? NULL : taken(__real_malloc(n));
}

void *__wrap_calloc(size_t count, size_t n)
{
    return refused(&memory) ? NULL : taken(__real_calloc(count, n));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (refused(&memory)) return NULL;
    void *q = __real_realloc(p, n);
    if (q && !p) held++;
    return q;
}

void __wrap_free(void *p)
{
    if (p) held--;
    __real_free(p);
}

int __wrap_suitegate_random(unsigned char *out, unsigned size)
{
    return refused(&randomness) ? -1 : __real_suitegate_random(out, size);
}

enum session_status __real_session_handshake(struct session *s);
enum session_status __wrap_session_handshake(struct session *s);
enum session_status __real_session_read(struct session *s, void *p, size_t n, size_t *got);
enum session_status __wrap_session_read(struct session *s, void *p, size_t n, size_t *got);
bool __real_session_write(struct session *s, const void *p, size_t n);
bool __wrap_session_write(struct session *s, const void *p, size_t n);
void __real_session_close_notify(struct session *s);
void __wrap_session_close_notify(struct session *s);

enum session_status __wrap_session_handshake(struct session *s)
{
    acting = s;
    enum session_status status = __real_session_handshake(s);
    acting = NULL;
    return status;
}

enum session_status __wrap_session_read(struct session *s, void *p, size_t n, size_t *got)
{
    acting = s;
    enum session_status status = __real_session_read(s, p, n, got);
    acting = NULL;
    return status;
}

bool __wrap_session_write(struct session *s, const void *p, size_t n)
{
    acting = s;
    bool ok = __real_session_write(s, p, n);
    acting = NULL;
    return ok;
}

void __wrap_session_close_notify(struct session *s)
{
    acting = s;
    __real_session_close_notify(s);
    acting = NULL;
}

enum { PAYLOAD = 40000 };

/* The result of a conversation. */
struct outcome {
    bool client_done, server_done, resumed;
    bool carried; /* all payload, and both ends */
};

/* Bytes that arrive are the first of those sent. */
static bool carry(struct pair *p, struct side *from, struct side *to)
{
    static uint8_t sent[PAYLOAD];
    struct buf got = {0};
    for (size_t i = 0; i < PAYLOAD; i++) sent[i] = (uint8_t)(i >> 3);
    bool ok = session_write(from->tls, sent, PAYLOAD);
    (void)pair_carry(p, from, to, &got);
    size_t n = buf_size(&got);
    assert_true(n <= PAYLOAD);
    if (n > 0) assert_memory_equal(buf_head(&got), sent, n);
    buf_fini(&got);
    return ok && n == PAYLOAD;
}

static bool ends(struct pair *p, struct side *from, struct side *to)
{
    struct buf got = {0};
    session_close_notify(from->tls);
    bool ok = pair_carry(p, from, to, &got) == SESSION_CLOSE_NOTIFY;
    buf_fini(&got);
    return ok;
}

static void assert_proved(const struct pair *p, const struct suite *suite, bool resuming)
{
    const struct side *sides[] = {&p->client, &p->server};
    for (size_t i = 0; i < N_OF(sides); i++) {
        if (sides[i]->status != SESSION_OK) continue;
        struct agreed a = session_agreed(sides[i]->tls);
        bool is_client = sides[i] == &p->client;
        bool proved = !is_client || (a.resumed ? resuming : p->check.verified);
        assert_true(agreed_is_allowed(&a, suite_bit(suite), proved));
    }
}

/* A failure for lack of memory is never blamed on the peer. The other side may be blamed: one that
 * gives up in the middle breaks the protocol. */
static void assert_peer_is_not_accused(const struct pair *p)
{
    int alert;
    if (!victim || randomness.armed) return; /* the library does not report that it got none */
    bool shaking = victim == p->client.tls && session_flight(victim);
    if (shaking && !(p->client.status == SESSION_FAILED && p->check.verified)) return;
    enum reason fault = shaking ? session_explain(victim, p->client.stream.end_of_data, &alert)
                                : session_fault(victim);
    if (fault != REASON_OK && fault != REASON_INTERNAL_ERROR)
        fail_msg("request %zu: %s", memory.fails, reason_row(fault)->code);
}

/* A handshake, payload, the end; *saved: the session to resume if any, then the new one. */
static struct outcome converse(const struct suite *suite, const char *identity,
                               struct saved_session **saved)
{
    struct outcome o = {0};
    victim = NULL;
    struct pair p = pair_new(suite, true);
    p.check.identity = identity;
    bool ok = pair_scope(&p.scope, &world.tickets, IDENTITY);
    if (ok && pair_client(&p, "", *saved)) {
        pair_shake(&p);
        assert_proved(&p, suite, *saved != NULL);
        o.client_done = p.client.status == SESSION_OK;
        o.server_done = p.server.status == SESSION_OK;
        o.resumed = o.client_done && session_agreed(p.client.tls).resumed;
    }
    if (o.client_done && o.server_done) {
        saved_session_free(*saved);
        *saved = session_save(p.client.tls);
        session_handshake_done(p.client.tls);
        session_handshake_done(p.server.tls);
        o.carried = carry(&p, &p.client, &p.server) && carry(&p, &p.server, &p.client);
        o.carried = ends(&p, &p.client, &p.server) && ends(&p, &p.server, &p.client) && o.carried;
    }
    assert_peer_is_not_accused(&p);
    pair_free(&p);
    return o;
}

/* One full conversation and one that resumes it. */
static struct outcome twice(const struct suite *suite, const char *identity)
{
    struct saved_session *saved = NULL;
    struct outcome first = converse(suite, identity, &saved);
    struct outcome second = converse(suite, identity, &saved);
    saved_session_free(saved);
    buf_thread_fini();
    second.carried = second.carried && first.carried;
    return second;
}

static struct outcome failing(struct gauge *g, size_t at, bool forever, const struct suite *suite,
                              const char *identity)
{
    *g = (struct gauge){.armed = true, .fails = at, .forever = forever};
    struct outcome o = twice(suite, identity);
    g->armed = false;
    return o;
}

static void all_goes_well(const struct suite *suite)
{
    struct outcome o = twice(suite, IDENTITY);
    assert_true(o.client_done && o.server_done && o.resumed && o.carried);
}

static void refuse_each(struct gauge *g, const struct suite *suite, const char *identity,
                        bool forever)
{
    bool proved = strcmp(identity, IDENTITY) == 0;
    all_goes_well(suite); /* one-time set-up is done */
    failing(g, 0, false, suite, identity);
    size_t all = g->count, unharmed = 0;
    assert_true(all > 0);
    for (size_t at = 1; at <= all; at++) {
        long before = held;
        struct outcome o = failing(g, at, forever, suite, identity);
        if (held != before) fail_msg("%zu of %zu: %ld blocks are left", at, all, held - before);
        if (!proved) assert_false(o.client_done);
        unharmed += o.client_done && o.server_done && o.carried;
    }
    /* The session can do without some memory, but never without randomness. */
    assert_true(g == &memory ? unharmed < all : unharmed == 0);
    all_goes_well(suite);
}

static const uint16_t some_suites[] = {0xc02b, 0xc028};

static void each_request_for_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(some_suites); i++)
        refuse_each(&memory, suite_by_id(some_suites[i]), IDENTITY, false);
}

static void each_request_for_memory_and_a_wrong_name(void **state)
{
    (void)state;
    refuse_each(&memory, suite_by_id(0xc02b), "other.example", false);
}

static void each_request_for_randomness(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(some_suites); i++) {
        refuse_each(&randomness, suite_by_id(some_suites[i]), IDENTITY, false);
        refuse_each(&randomness, suite_by_id(some_suites[i]), IDENTITY, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_for_memory),
        cmocka_unit_test(each_request_for_memory_and_a_wrong_name),
        cmocka_unit_test(each_request_for_randomness),
    };
    return cmocka_run_group_tests_name("session_faults", tests, world_begin, world_end);
}
