/* What a server does with TLS 1.2, or with the newest version below: its order, groups,
 * signatures, features, certificates, and a real handshake with each approved suite. */
#include "parts.h"
#include "pki/keys.h"
#include "policy/wire.h"

const char *const scan_protocols[SCAN_PROTOCOLS] = {"h2", "http/1.1"};

_Static_assert((int)SCAN_KEY_ECDSA == (int)KEY_ECDSA && (int)SCAN_KEY_RSA == (int)KEY_RSA,
               "certificates are found by the suites' key types");

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
    for (size_t i = 0; v && i < v->suite_count && n < g->chunk; i++)
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
        struct offer offer = ask_offer_of(g, TLS_1_2, reversed, n);
        struct probe p;
        ask(g, &offer, PROBE_HELLO, &p);
        /* It chose the client's first suite: ask in the reverse order. */
        bool hello = ask_is_hello(&p, TLS_1_2);
        uint16_t first = p.reply.suite;
        probe_fini(&p);
        offer.suites = list;
        ask(g, &offer, PROBE_HELLO, &p);
        if (hello && ask_is_hello(&p, TLS_1_2))
            s->server_order = p.reply.suite == first ? FACT_YES : FACT_NO;
        probe_fini(&p);
    }
    while (n > 0) {
        struct offer offer = ask_offer_of(g, TLS_1_2, list, n);
        struct probe p;
        ask(g, &offer, PROBE_HELLO, &p);
        bool picked = ask_is_hello(&p, TLS_1_2) && list_take(list, &n, p.reply.suite);
        if (picked) s->order[s->order_count++] = p.reply.suite;
        probe_fini(&p);
        if (!picked) return;
    }
}

/* The group that it chooses, with these suites; 0: none. */
static uint16_t picked_group(struct scanning *g, const uint16_t *list, size_t n,
                             const uint16_t *groups, size_t count)
{
    struct offer offer = ask_offer_of(g, best_version(g)->version, list, n);
    offer.groups = groups;
    offer.group_count = count;
    struct probe p;
    ask(g, &offer, PROBE_FLIGHT, &p);
    uint16_t group = ask_is_hello(&p, offer.version) ? p.reply.group : 0;
    probe_fini(&p);
    return group;
}

/* The curve of its ECDSA certificate if it has no other certificate: the server refuses every offer
 * without that curve. */
static uint16_t needed_group(const struct scan *s)
{
    const struct scan_certificate *c = &s->certificates[SCAN_KEY_ECDSA];
    struct cert leaf;
    if (c->count == 0 || s->certificates[SCAN_KEY_RSA].count > 0) return 0;
    return cert_parse(c->chain[0], &leaf) ? leaf.group : 0;
}

static void find_groups(void *context, size_t arg)
{
    (void)arg;
    struct scanning *g = context;
    struct scan *s = g->scan;
    uint16_t list[CHUNK_LARGEST], groups[OTHER_CURVES];
    size_t n = accepted_suites(g, cipher_has_curve, list), count = g->group_count;
    memcpy(groups, g->groups, sizeof groups);
    while (n > 0 && count > 0 && !g->bare) {
        uint16_t group = picked_group(g, list, n, groups, count);
        if (!group || !list_take(groups, &count, group)) break;
        s->groups[s->group_count++] = group;
    }
    uint16_t needed = needed_group(s);
    for (size_t i = 0; i < count && needed && n > 0 && !g->bare; i++) {
        const uint16_t pair[] = {groups[i], needed};
        if (picked_group(g, list, n, pair, 2) == groups[i]) s->groups[s->group_count++] = groups[i];
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
    struct offer offer = ask_offer_of(g, best_version(g)->version, list, n);
    struct probe p;
    offer.compression = true;
    ask(g, &offer, PROBE_FLIGHT, &p);
    if (ask_is_hello(&p, offer.version)) {
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
    if (ask_is_hello(&p, offer.version)) f->session_ids = fact_of(p.reply.session_id);
    probe_fini(&p);
    offer.without_tickets = false;
    for (size_t i = 0; i < SCAN_PROTOCOLS; i++) {
        offer.alpn = scan_protocols[i];
        ask(g, &offer, PROBE_HELLO, &p);
        f->protocols[i] = ask_is_hello(&p, offer.version) && strcmp(p.reply.alpn, offer.alpn) == 0;
        probe_fini(&p);
    }
    offer.alpn = NULL;
    offer.suite_count = accepted_suites(g, cipher_has_cbc, list);
    if (offer.suite_count == 0) return;
    ask(g, &offer, PROBE_HELLO, &p);
    if (ask_is_hello(&p, offer.version)) f->encrypt_then_mac = fact_of(p.reply.encrypt_then_mac);
    probe_fini(&p);
}

/* Offers an older version than possible, with the signal for a retry (RFC 7507). */
static void ask_fallback(void *context, size_t arg)
{
    (void)arg;
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
    size_t room = g->chunk - 1; /* the signal counts as a suite */
    size_t n = older->suite_count < room ? older->suite_count : room;
    struct offer offer = ask_offer_of(g, older->version, older->suites, n);
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
    return name &&
           (strstr(name, "_RSA_WITH_") || strstr(name, "_RSA_EXPORT") ||
            strstr(name, "_RSA_FIPS_")) &&
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

/* Does it sign with SHA-1 or worse if a client offers nothing else? arg: the type of key. One type
 * at a time: otherwise Java chooses a suite whose key it has no signature for. */
static void find_weak_schemes(void *context, size_t arg)
{
    struct scanning *g = context;
    uint16_t list[CHUNK_LARGEST], schemes[WEAK_SCHEMES];
    size_t n =
        accepted_suites(g, arg == SCAN_KEY_ECDSA ? is_for_ecdhe_ecdsa : is_for_ecdhe_rsa, list);
    size_t count = weak_schemes(schemes, COUNT_OF(schemes));
    while (n > 0 && count > 0 && !g->bare && best_version(g)->version == TLS_1_2) {
        struct offer offer = ask_offer_of(g, TLS_1_2, list, n);
        offer.schemes = schemes;
        offer.scheme_count = count;
        struct probe p;
        ask(g, &offer, PROBE_FLIGHT, &p);
        bool picked = ask_is_hello(&p, TLS_1_2) && p.reply.scheme &&
                      list_take(schemes, &count, p.reply.scheme);
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
    struct offer offer = ask_offer_of(g, best_version(g)->version, list, n);
    struct probe p;
    ask(g, &offer, PROBE_FLIGHT, &p);
    struct reply *r = &p.reply;
    if (ask_is_hello(&p, offer.version) && (r->certificate_count > 0 || r->chain_cut || !r->done)) {
        c->cut = r->chain_cut;
        c->der = r->chain;
        c->count = r->certificate_count;
        memcpy(c->chain, r->certificates, sizeof c->chain);
        r->chain = (struct buf){0};
    }
    probe_fini(&p);
}

/* Is the judged certificate the fetched one? */
static bool is_leaf(const struct scan_certificate *c, const char *sha256)
{
    uint8_t digest[32];
    char hex[65];
    if (c->count == 0) return true;
    if (!digest_sha256(c->chain[0].p, c->chain[0].n, digest)) return false;
    text_hex(digest, sizeof digest, hex);
    return strcmp(hex, sha256) == 0;
}

static void note_proof(struct scanning *g, size_t i, const struct proof *proof,
                       const struct peer_check *check)
{
    struct scan *s = g->scan;
    struct scan_certificate *c = &s->certificates[suites[i].key];
    s->approved[i].asked = true;
    s->approved[i].proof = *proof;
    if (check->facts.present && !is_leaf(c, check->facts.sha256)) c->differs = true;
    if (proof->outcome == PROBE_NO_TIME) ask_note_out_of_time(g);
    if (proof->outcome != PROBE_ANSWERED) ask_note_incomplete(g, 0);
    if (check->verified) {
        if (c->valid == FACT_UNKNOWN) c->valid = FACT_YES;
    } else if (check->called || reason_is_certificate(proof->reason)) {
        c->valid = FACT_NO;
        c->reason = proof->reason;
        c->fault = check->reason == proof->reason ? check->fault : NULL;
    }
}

/* One real handshake that must choose suite `one` of those offered. False when the library has no
 * context for it. */
static bool shake_hands(struct scanning *g, suite_set one, suite_set offered,
                        struct peer_check *check, struct proof *proof)
{
    struct policy policy = g->trust->policy;
    struct flight_offer offer = {.suites = one};
    policy.allowed = offered;
    struct tls_context *tls = tls_context_client(&policy, false);
    if (tls) probe_handshake(g->target, tls, &offer, check, proof);
    tls_context_free(tls);
    return tls != NULL;
}

/* A suite of the other type of key that the server would not choose: with it the library offers
 * signatures of both types. Some servers, such as Java's, need those of their whole chain. */
static suite_set companion(const struct scan *s, size_t suite)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (suites[i].key != suites[suite].key && s->approved[i].accepted == FACT_NO)
            return suite_bit(&suites[i]);
    return 0;
}

static bool came_to_nothing(const struct proof *p)
{
    return p->outcome != PROBE_ANSWERED || p->reason == REASON_UPSTREAM_CLOSED_HANDSHAKE;
}

/* A retry is made alone, and counts only if the server still answers. */
static bool prove_once(struct scanning *g, struct trust *trust, suite_set one, suite_set offered,
                       bool alone, struct peer_check *check, struct proof *proof)
{
    cert_facts_fini(&check->facts);
    *check = (struct peer_check){.trust = trust};
    *proof = (struct proof){.outcome = PROBE_FAILED};
    if (alone)
        pthread_rwlock_wrlock(&g->asking);
    else
        pthread_rwlock_rdlock(&g->asking);
    bool over = false;
    for (unsigned round = 0; round < (alone ? ASK_ROUNDS : 1); round++) {
        if (alone) ask_settle_delay(round);
        cert_facts_fini(&check->facts);
        *check = (struct peer_check){.trust = trust};
        over = !shake_hands(g, one, offered, check, proof) || !came_to_nothing(proof) ||
               proof->outcome == PROBE_NO_TIME;
        if (over || !alone) break;
        if (!ask_is_no(g, round)) break;
        over = round + 1 == ASK_ROUNDS;
    }
    pthread_rwlock_unlock(&g->asking);
    return over;
}

static void prove(struct scanning *g, struct trust *trust, size_t i)
{
    struct peer_check check = {.trust = trust};
    struct proof proof;
    suite_set one = suite_bit(&suites[i]), offered = one, more = companion(g->scan, i);
    for (unsigned tries = 0;; tries++) {
        bool over = prove_once(g, trust, one, offered, tries > 0, &check, &proof);
        bool retry = over && proof.reason == REASON_UPSTREAM_NO_APPROVED_SUITE && offered == one;
        if (retry && more)
            offered |= more;
        else if (over)
            break;
        if (tries + 1 == ASK_TRIES) {
            proof.outcome = PROBE_CLOSED; /* to be tried again */
            break;
        }
        if (tries > 0) ask_pause(g, tries);
    }
    note_proof(g, i, &proof, &check);
    cert_facts_fini(&check.facts);
}

/* Real handshakes, with the proxy's own rules, for each suite that the server accepts. */
static void prove_suites(void *context, size_t arg)
{
    (void)arg;
    struct scanning *g = context;
    struct text errors = {0};
    struct trust *trust = trust_new(g->trust->anchors, g->trust->name, NULL, NULL,
                                    g->trust->policy.minimum_rsa_bits, &errors);
    for (size_t i = 0; i < SUITE_COUNT && trust; i++)
        if (g->scan->approved[i].accepted == FACT_YES) prove(g, trust, i);
    if (!trust) ask_note_incomplete(g, 0);
    trust_free(trust);
    text_fini(&errors);
}

void detail_find(struct scanning *g, unsigned threads)
{
    /* find_groups() needs the certificates. */
    const struct job first[] = {{fetch_certificate, SCAN_KEY_ECDSA},
                                {fetch_certificate, SCAN_KEY_RSA},
                                {fetch_certificate, SCAN_KEY_OTHER}};
    const struct job jobs[] = {{prove_suites, 0},
                               {find_groups, 0},
                               {find_features, 0},
                               {find_order, 0},
                               {find_weak_schemes, SCAN_KEY_ECDSA},
                               {find_weak_schemes, SCAN_KEY_RSA},
                               {ask_fallback, 0}};
    const struct scan_version *v = scan_version(g->scan, TLS_1_2);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        enum fact *accepted = &g->scan->approved[i].accepted;
        *accepted = v->accepted == FACT_UNKNOWN ? FACT_UNKNOWN : FACT_NO;
        for (size_t k = 0; k < v->suite_count; k++)
            if (v->suites[k] == suites[i].id) *accepted = FACT_YES;
    }
    jobs_run(first, COUNT_OF(first), g, threads);
    jobs_run(jobs, COUNT_OF(jobs), g, threads);
    list_sort(g->scan->weak_schemes, g->scan->weak_scheme_count);
}
