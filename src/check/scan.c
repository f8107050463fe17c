#include "check/scan.h"

#include "check/jobs.h"
#include "pki/keys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_LARGEST = 64, CHUNK_SMALLEST = 8, CHUNKS = OTHER_CIPHERS / CHUNK_SMALLEST };

const char *const scan_protocols[SCAN_PROTOCOLS] = {"h2", "http/1.1"};

_Static_assert((int)SCAN_KEY_ECDSA == (int)KEY_ECDSA && (int)SCAN_KEY_RSA == (int)KEY_RSA,
               "certificates are found by the suites' key types");

static const uint16_t versions[SCAN_VERSIONS] = {SSL_2_0, SSL_3_0, TLS_1_0,
                                                 TLS_1_1, TLS_1_2, TLS_1_3};
static const uint16_t tls13_suites[] = {0x1301, 0x1302, 0x1303, 0x1304, 0x1305, 0x00c6, 0x00c7};

/* Suites that most servers have one of, for the first word: the policy's come before these. */
static const uint16_t common_suites[] = {0xcca8, 0xcca9, 0xc013, 0xc014, 0xc009, 0xc00a, 0x009e,
                                         0x009f, 0x0033, 0x0039, 0x009c, 0x009d, 0x003c, 0x003d,
                                         0x002f, 0x0035, 0x000a, 0x0005, 0x0004};

/* One scan under way. */
struct scanning {
    struct probe_target *target;
    const struct scan_trust *trust;
    struct scan *scan;
    pthread_mutex_t lock; /* of what several jobs write */
    bool bare;            /* this server cannot stand extensions */
    size_t chunk;         /* suites a hello, as many as this server can stand */
    uint16_t ciphers[SUITE_COUNT + OTHER_CIPHERS]; /* all that are asked for up to TLS 1.2 */
    size_t cipher_count;
};

static const char *server_name(const struct scanning *g)
{
    return g->target->identity_is_ip ? NULL : g->target->identity;
}

static struct offer offer_of(const struct scanning *g, uint16_t version, const uint16_t *list,
                             size_t n)
{
    return (struct offer){.version = version,
                          .suites = list,
                          .suite_count = n,
                          .server_name = server_name(g),
                          .bare = g->bare};
}

/* One that was reset may have been too many at once: asked again, once. */
static void ask(struct scanning *g, const struct offer *offer, enum probe_depth depth,
                struct probe *p)
{
    for (int tries = 0; tries < 2; tries++) {
        if (tries) probe_fini(p);
        probe_run(g->target, offer, depth, p);
        if (p->outcome != PROBE_CLOSED && p->outcome != PROBE_UNREACHABLE) break;
    }
    bool cut_short = p->outcome == PROBE_NO_TIME || p->outcome == PROBE_FAILED ||
                     p->outcome == PROBE_UNREACHABLE || p->outcome == PROBE_SLOW;
    if (!cut_short) return;
    pthread_mutex_lock(&g->lock);
    g->scan->incomplete = true;
    pthread_mutex_unlock(&g->lock);
}

static bool is_hello(const struct probe *p, uint16_t version)
{
    return p->outcome == PROBE_ANSWERED && p->reply.kind == REPLY_HELLO &&
           p->reply.version == version;
}

/* Takes a value out of a list; false when it is not in there. */
static bool take_out(uint16_t *list, size_t *n, uint16_t value)
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
        memcpy(out, tls13_suites, sizeof tls13_suites);
        return COUNT_OF(tls13_suites);
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
    ask(g, NULL, PROBE_FLIGHT, &p);
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
        uint16_t list[SUITE_COUNT + COUNT_OF(common_suites) + COUNT_OF(tls13_suites)];
        uint16_t version = first_words[i].version;
        struct offer offer = offer_of(g, version, list, first_suites(version, list));
        struct probe p;
        offer.bare = first_words[i].bare;
        ask(g, &offer, PROBE_HELLO, &p);
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
        struct offer offer = offer_of(g, contact->version, list, n);
        struct probe p;
        ask(g, &offer, PROBE_HELLO, &p);
        bool fits = p.outcome == PROBE_ANSWERED && p.reply.kind == REPLY_HELLO;
        probe_fini(&p);
        if (fits) return;
    }
}

/* Versions and suites */

static void note_suite(struct scanning *g, struct scan_version *v, uint16_t suite)
{
    pthread_mutex_lock(&g->lock);
    if (v->suite_count < COUNT_OF(v->suites)) v->suites[v->suite_count++] = suite;
    v->accepted = FACT_YES;
    pthread_mutex_unlock(&g->lock);
}

/* Of these suites, all that it accepts: what it picks is taken out until it picks none. */
static void enumerate(struct scanning *g, struct scan_version *v, uint16_t *list, size_t n)
{
    while (n > 0) {
        struct offer offer = offer_of(g, v->version, list, n);
        struct probe p;
        ask(g, &offer, PROBE_HELLO, &p);
        bool picked = is_hello(&p, v->version) && take_out(list, &n, p.reply.suite);
        if (picked) note_suite(g, v, p.reply.suite);
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
    uint16_t list[COUNT_OF(tls13_suites)];
    memcpy(list, tls13_suites, sizeof list);
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

static int by_number(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void find_versions(struct scanning *g, unsigned threads)
{
    struct job *jobs = calloc(SCAN_VERSIONS * CHUNKS, sizeof *jobs);
    size_t n = 0;
    if (!jobs) {
        g->scan->incomplete = true;
        return;
    }
    /* The newest first: a server that hangs at old ones has told the rest by then. */
    for (size_t i = SCAN_VERSIONS; i-- > 0;) {
        if (versions[i] == TLS_1_3) jobs[n++] = (struct job){enumerate_tls13, i};
        if (versions[i] == SSL_2_0) jobs[n++] = (struct job){ask_sslv2, i};
        if (versions[i] == TLS_1_3 || versions[i] == SSL_2_0) continue;
        for (size_t from = 0; from < g->cipher_count; from += g->chunk)
            jobs[n++] = (struct job){enumerate_chunk, i * CHUNKS + from / g->chunk};
    }
    jobs_run(jobs, n, g, threads);
    free(jobs);
    for (size_t i = 0; i < SCAN_VERSIONS; i++) {
        struct scan_version *v = &g->scan->versions[i];
        qsort(v->suites, v->suite_count, sizeof *v->suites, by_number);
        if (v->accepted == FACT_UNKNOWN && !g->scan->incomplete) v->accepted = FACT_NO;
    }
}

/* What it does with TLS 1.2, or with the newest version below */

static const struct scan_version *best_version(const struct scanning *g)
{
    for (uint16_t v = TLS_1_2; v >= SSL_3_0; v--)
        if (scan_version(g->scan, v)->suite_count > 0) return scan_version(g->scan, v);
    return NULL;
}

static size_t accepted_suites(const struct scanning *g, bool (*wanted)(uint16_t id), uint16_t *out)
{
    const struct scan_version *v = best_version(g);
    size_t n = 0;
    for (size_t i = 0; v && i < v->suite_count && n < CHUNK_LARGEST; i++)
        if (!wanted || wanted(v->suites[i])) out[n++] = v->suites[i];
    return n;
}

static bool is_approved(uint16_t id)
{
    return suite_by_id(id) != NULL;
}

static void find_order(void *context, size_t arg)
{
    (void)arg;
    struct scanning *g = context;
    struct scan *s = g->scan;
    uint16_t list[SUITE_COUNT] = {0}, reversed[SUITE_COUNT];
    size_t n = 0;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (s->approved[i].accepted == FACT_YES) list[n++] = suites[i].id;
    for (size_t i = 0; i < n; i++) reversed[i] = list[n - 1 - i];
    if (n > 1) {
        struct offer offer = offer_of(g, TLS_1_2, reversed, n);
        struct probe p;
        ask(g, &offer, PROBE_HELLO, &p);
        /* It took the client's first: its own order, or the client's. The other way tells. */
        bool hello = is_hello(&p, TLS_1_2);
        uint16_t first = p.reply.suite;
        probe_fini(&p);
        offer.suites = list;
        ask(g, &offer, PROBE_HELLO, &p);
        if (hello && is_hello(&p, TLS_1_2))
            s->server_order = p.reply.suite == first ? FACT_YES : FACT_NO;
        probe_fini(&p);
    }
    while (n > 0) {
        struct offer offer = offer_of(g, TLS_1_2, list, n);
        struct probe p;
        ask(g, &offer, PROBE_HELLO, &p);
        bool picked = is_hello(&p, TLS_1_2) && take_out(list, &n, p.reply.suite);
        if (picked) s->order[s->order_count++] = p.reply.suite;
        probe_fini(&p);
        if (!picked) return;
    }
}

static void find_groups(void *context, size_t arg)
{
    (void)arg;
    struct scanning *g = context;
    struct scan *s = g->scan;
    uint16_t list[CHUNK_LARGEST], groups[OTHER_CURVES];
    size_t n = accepted_suites(g, cipher_has_curve, list), count;
    /* The policy's last: without the curve of its own certificate a server may refuse all. */
    count = other_curves(groups, COUNT_OF(groups) - group_count());
    for (size_t i = 0; i < group_count(); i++) groups[count++] = group_at(i);
    while (n > 0 && count > 0 && !g->bare) {
        struct offer offer = offer_of(g, best_version(g)->version, list, n);
        offer.groups = groups;
        offer.group_count = count;
        struct probe p;
        ask(g, &offer, PROBE_FLIGHT, &p);
        bool picked =
            is_hello(&p, offer.version) && p.reply.group && take_out(groups, &count, p.reply.group);
        if (picked) s->groups[s->group_count++] = p.reply.group;
        probe_fini(&p);
        if (!picked) return;
    }
}

static enum fact fact_of(bool yes)
{
    return yes ? FACT_YES : FACT_NO;
}

static void find_features(void *context, size_t arg)
{
    (void)arg;
    struct scanning *g = context;
    struct scan_features *f = &g->scan->features;
    uint16_t list[CHUNK_LARGEST];
    size_t n = accepted_suites(g, is_approved, list);
    if (n == 0) n = accepted_suites(g, NULL, list);
    if (n == 0) return;
    struct offer offer = offer_of(g, best_version(g)->version, list, n);
    struct probe p;
    offer.compression = true;
    ask(g, &offer, PROBE_FLIGHT, &p);
    if (is_hello(&p, offer.version)) {
        f->secure_renegotiation = fact_of(p.reply.secure_renegotiation);
        f->extended_master_secret = fact_of(p.reply.extended_master_secret);
        f->compression = fact_of(p.reply.compression != 0);
        f->tickets = fact_of(p.reply.ticket);
        f->staple = fact_of(p.reply.staple);
        f->client_certificate = fact_of(p.reply.certificate_request);
    }
    probe_fini(&p);
    offer.compression = false;
    offer.without_tickets = true;
    ask(g, &offer, PROBE_HELLO, &p);
    if (is_hello(&p, offer.version)) f->session_ids = fact_of(p.reply.session_id);
    probe_fini(&p);
    offer.without_tickets = false;
    for (size_t i = 0; i < SCAN_PROTOCOLS; i++) {
        offer.alpn = scan_protocols[i];
        ask(g, &offer, PROBE_HELLO, &p);
        f->protocols[i] = is_hello(&p, offer.version) && strcmp(p.reply.alpn, offer.alpn) == 0;
        probe_fini(&p);
    }
    offer.alpn = NULL;
    offer.suite_count = accepted_suites(g, cipher_has_cbc, list);
    if (offer.suite_count == 0) return;
    ask(g, &offer, PROBE_HELLO, &p);
    if (is_hello(&p, offer.version)) f->encrypt_then_mac = fact_of(p.reply.encrypt_then_mac);
    probe_fini(&p);
}

/* An older version than it could have, with the signal that this is a second try (RFC 7507). */
static void ask_fallback(void *context, size_t arg)
{
    (void)arg;
    enum { ALERT_INAPPROPRIATE_FALLBACK = 86 };
    struct scanning *g = context;
    const struct scan_version *newest = NULL, *older = NULL;
    for (size_t i = SCAN_VERSIONS; i-- > 1;) {
        const struct scan_version *v = &g->scan->versions[i];
        if (v->accepted != FACT_YES) continue;
        if (!newest)
            newest = v;
        else if (!older && v->version < TLS_1_2)
            older = v;
    }
    if (!newest || !older) return;
    size_t n = older->suite_count < CHUNK_LARGEST ? older->suite_count : CHUNK_LARGEST;
    struct offer offer = offer_of(g, older->version, older->suites, n);
    struct probe p;
    offer.fallback = true;
    ask(g, &offer, PROBE_HELLO, &p);
    if (p.outcome == PROBE_ANSWERED)
        g->scan->features.fallback =
            fact_of(p.reply.kind == REPLY_ALERT && p.reply.alert == ALERT_INAPPROPRIATE_FALLBACK);
    probe_fini(&p);
}

/* Certificates and real handshakes */

static bool is_for_ecdsa(uint16_t id)
{
    const char *name = cipher_name(id);
    return name && strstr(name, "_ECDSA_WITH_");
}

static bool is_for_rsa(uint16_t id)
{
    const char *name = cipher_name(id);
    return name && (strstr(name, "_RSA_WITH_") || strstr(name, "_RSA_EXPORT_WITH_")) &&
           !strstr(name, "_ECDH_RSA_") && !strstr(name, "_DH_RSA_");
}

static bool is_for_others(uint16_t id)
{
    return !is_for_ecdsa(id) && !is_for_rsa(id);
}

static bool is_for_ecdhe_ecdsa(uint16_t id)
{
    return cipher_has_curve(id) && is_for_ecdsa(id);
}

static bool is_for_ecdhe_rsa(uint16_t id)
{
    return cipher_has_curve(id) && is_for_rsa(id);
}

static void note_weak_scheme(struct scanning *g, uint16_t scheme)
{
    struct scan *s = g->scan;
    bool known = false;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < s->weak_scheme_count; i++) known = known || s->weak_schemes[i] == scheme;
    if (!known && s->weak_scheme_count < COUNT_OF(s->weak_schemes))
        s->weak_schemes[s->weak_scheme_count++] = scheme;
    pthread_mutex_unlock(&g->lock);
}

/* Would it sign with SHA-1 or worse, if a client asked for that only? arg: the type of key; where
 * both are offered, Java chooses a suite whose key it then has no signature for. */
static void find_weak_schemes(void *context, size_t arg)
{
    struct scanning *g = context;
    uint16_t list[CHUNK_LARGEST], schemes[WEAK_SCHEMES];
    size_t n =
        accepted_suites(g, arg == SCAN_KEY_ECDSA ? is_for_ecdhe_ecdsa : is_for_ecdhe_rsa, list);
    size_t count = weak_schemes(schemes, COUNT_OF(schemes));
    while (n > 0 && count > 0 && !g->bare && best_version(g)->version == TLS_1_2) {
        struct offer offer = offer_of(g, TLS_1_2, list, n);
        offer.schemes = schemes;
        offer.scheme_count = count;
        struct probe p;
        ask(g, &offer, PROBE_FLIGHT, &p);
        bool picked =
            is_hello(&p, TLS_1_2) && p.reply.scheme && take_out(schemes, &count, p.reply.scheme);
        if (picked) note_weak_scheme(g, p.reply.scheme);
        probe_fini(&p);
        if (!picked) return;
    }
}

/* arg: the type of key. */
static void fetch_certificate(void *context, size_t arg)
{
    static bool (*const filters[SCAN_KEYS])(uint16_t id) = {is_for_ecdsa, is_for_rsa,
                                                            is_for_others};
    struct scanning *g = context;
    struct scan_certificate *c = &g->scan->certificates[arg];
    uint16_t list[CHUNK_LARGEST];
    size_t n = accepted_suites(g, filters[arg], list);
    if (n == 0) return;
    struct offer offer = offer_of(g, best_version(g)->version, list, n);
    struct probe p;
    ask(g, &offer, PROBE_FLIGHT, &p);
    struct reply *r = &p.reply;
    if (is_hello(&p, offer.version) && (r->certificate_count > 0 || r->chain_cut || !r->done)) {
        c->present = r->certificate_count > 0 || r->chain_cut;
        c->cut = r->chain_cut;
        c->der = r->chain;
        c->count = r->certificate_count;
        memcpy(c->chain, r->certificates, sizeof c->chain);
        r->chain = (struct buf){0};
    }
    probe_fini(&p);
}

static void note_proof(struct scan *s, size_t i, const struct proof *proof,
                       const struct peer_check *check)
{
    struct scan_certificate *c = &s->certificates[suites[i].key];
    s->approved[i].asked = true;
    s->approved[i].proof = *proof;
    s->speaks_tls13_marker = s->speaks_tls13_marker || proof->speaks_tls13;
    if (proof->outcome == PROBE_NO_TIME || proof->outcome == PROBE_FAILED) s->incomplete = true;
    if (check->verified) {
        if (c->valid == FACT_UNKNOWN) c->valid = FACT_YES;
    } else if (check->called || check->reason != REASON_OK) {
        c->valid = FACT_NO;
        c->reason = proof->reason;
    }
}

/* The gate's own judge on each suite that the server accepts. */
static void prove_suites(void *context, size_t arg)
{
    (void)arg;
    struct scanning *g = context;
    struct text errors = {0};
    struct trust *trust = trust_new(g->trust->anchors, g->trust->name, NULL, NULL,
                                    g->trust->policy.minimum_rsa_bits, &errors);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (g->scan->approved[i].accepted != FACT_YES) continue;
        struct policy policy = g->trust->policy;
        policy.allowed = suite_bit(&suites[i]);
        struct flight_offer offer = {.suites = policy.allowed};
        struct peer_check check = {.trust = trust};
        struct proof proof;
        struct tls_context *tls =
            trust ? tls_context_client(&policy, g->trust->anchors, false) : NULL;
        if (tls) {
            probe_handshake(g->target, tls, &offer, &check, &proof);
            note_proof(g->scan, i, &proof, &check);
        } else {
            g->scan->incomplete = true;
        }
        cert_facts_fini(&check.facts);
        tls_context_free(tls);
    }
    trust_free(trust);
    text_fini(&errors);
}

static void look_closer(struct scanning *g, unsigned threads)
{
    const struct job jobs[] = {{prove_suites, 0},
                               {find_groups, 0},
                               {find_features, 0},
                               {find_order, 0},
                               {find_weak_schemes, SCAN_KEY_ECDSA},
                               {find_weak_schemes, SCAN_KEY_RSA},
                               {ask_fallback, 0},
                               {fetch_certificate, SCAN_KEY_ECDSA},
                               {fetch_certificate, SCAN_KEY_RSA},
                               {fetch_certificate, SCAN_KEY_OTHER}};
    const struct scan_version *v = scan_version(g->scan, TLS_1_2);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        enum fact *accepted = &g->scan->approved[i].accepted;
        *accepted = v->accepted == FACT_UNKNOWN ? FACT_UNKNOWN : FACT_NO;
        for (size_t k = 0; k < v->suite_count; k++)
            if (v->suites[k] == suites[i].id) *accepted = FACT_YES;
    }
    jobs_run(jobs, COUNT_OF(jobs), g, threads);
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
        find_versions(g, threads);
        look_closer(g, threads);
    }
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void scan_fini(struct scan *s)
{
    for (size_t i = 0; i < SCAN_KEYS; i++) buf_fini(&s->certificates[i].der);
}
