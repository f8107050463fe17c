/* The first hellos to a server: does it speak TLS, what is one offer that it accepts, and how large
 * a hello does it accept? */
#include "parts.h"

/* For the first hello: most servers have one of these. The policy's come before them. */
static const uint16_t common_suites[] = {0xcca8, 0xcca9, 0xc013, 0xc014, 0xc009, 0xc00a, 0x009e,
                                         0x009f, 0x0033, 0x0039, 0x009c, 0x009d, 0x003c, 0x003d,
                                         0x002f, 0x0035, 0x000a, 0x0005, 0x0004};

/* The most informative first. The second one is minimal, for a server that did not answer the
 * first. */
static const struct first_offer {
    uint16_t version;
    bool bare, few; /* no extensions but server_name; eight suites at most */
} offers[] = {{TLS_1_2, false, false}, {TLS_1_2, true, true},  {TLS_1_2, false, true},
              {TLS_1_3, false, false}, {TLS_1_2, true, false}, {TLS_1_0, true, false},
              {TLS_1_0, true, true},   {SSL_3_0, true, true}};

/* Which failure to report when nothing succeeds: the highest. */
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

static size_t first_suites(const struct first_offer *first, uint16_t *out)
{
    size_t n = 0;
    if (first->version == TLS_1_3) {
        memcpy(out, ask_tls13, sizeof ask_tls13);
        return ASK_TLS13;
    }
    for (size_t i = 0; i < SUITE_COUNT && first->version == TLS_1_2; i++) out[n++] = suites[i].id;
    for (size_t i = 0; i < COUNT_OF(common_suites); i++)
        if (!first->few || n < CHUNK_SMALLEST) out[n++] = common_suites[i];
    return n;
}

static bool is_final(enum probe_outcome outcome)
{
    return outcome == PROBE_UNREACHABLE || outcome == PROBE_SMTP || outcome == PROBE_NO_STARTTLS ||
           outcome == PROBE_NO_TIME || outcome == PROBE_FAILED;
}

/* The last attempt, for a server that closes at all other hellos. */
static bool speaks_sslv2(struct scanning *g)
{
    struct probe p;
    if (g->scan->outcome != PROBE_CLOSED) return false;
    ask(g, NULL, PROBE_FLIGHT, &p);
    bool speaks = p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_SSLV2;
    probe_fini(&p);
    return speaks;
}

/* True when a ServerHello came. *answered_tls: something came that is TLS. */
static bool try_offer(struct scanning *g, const struct first_offer *first, bool *answered_tls,
                      bool *final)
{
    uint16_t list[SUITE_COUNT + COUNT_OF(common_suites) + ASK_TLS13];
    struct offer offer = ask_offer_of(g, first->version, list, first_suites(first, list));
    struct probe p;
    offer.bare = first->bare;
    ask(g, &offer, PROBE_HELLO, &p);
    bool answered = p.outcome == PROBE_ANSWERED;
    bool hello = answered && p.reply.kind == REPLY_HELLO;
    if (hello) {
        g->scan->any_hello = true;
        g->known_version = p.reply.version;
        g->known_suite = p.reply.suite;
        g->bare = first->bare;
    }
    if (answered && first->version >= TLS_1_2 && g->scan->first_alert < 0)
        g->scan->first_alert = p.reply.alert;
    if (!answered && !*answered_tls) note_failure(g->scan, &p);
    *answered_tls = *answered_tls || answered;
    *final = is_final(p.outcome);
    probe_fini(&p);
    return hello;
}

/* Tries offers until a ServerHello comes. A server that needed an offer without extensions may
 * accept the suite with them. */
static bool find_known(struct scanning *g)
{
    bool answered_tls = false, final = false, hello = false;
    unsigned silent = 0;
    for (size_t i = 0; i < COUNT_OF(offers) && !hello && silent < 2; i++) {
        hello = try_offer(g, &offers[i], &answered_tls, &final);
        silent +=
            !answered_tls && (g->scan->outcome == PROBE_SILENT || g->scan->outcome == PROBE_SLOW);
        if (final && !answered_tls) return false;
    }
    if (hello && g->bare) {
        struct offer offer = ask_offer_of(g, g->known_version, &g->known_suite, 1);
        struct probe p;
        offer.bare = false;
        ask(g, &offer, PROBE_HELLO, &p);
        if (ask_is_hello(&p, g->known_version)) g->bare = false;
        probe_fini(&p);
    }
    return answered_tls;
}

/* How many suites does the server accept in one hello? Offers a known suite among many others. */
static void measure_chunk(struct scanning *g)
{
    uint16_t list[CHUNK_LARGEST];
    if (g->known_version == 0 || g->known_version > TLS_1_2) return;
    for (; g->chunk > CHUNK_SMALLEST; g->chunk /= 2) {
        size_t n = 0;
        for (size_t i = g->cipher_count; i-- > 0 && n + 1 < g->chunk;)
            if (g->ciphers[i] != g->known_suite) list[n++] = g->ciphers[i];
        list[n++] = g->known_suite;
        struct offer offer = ask_offer_of(g, g->known_version, list, n);
        struct probe p;
        ask(g, &offer, PROBE_HELLO, &p);
        bool fits = p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_HELLO;
        probe_fini(&p);
        if (fits) return;
    }
}

bool contact_make(struct scanning *g)
{
    if (!find_known(g) && !speaks_sslv2(g)) return false;
    g->scan->outcome = PROBE_ANSWERED;
    measure_chunk(g);
    return true;
}
