/* tls/session with clients that are asked for a certificate: two sessions talk in memory. A server
 * session succeeds only if the check has verified the certificate and the client has proved that it
 * has the key, or without a certificate where it is optional. */
/* The struct, for what no client can do. */
#include "../../src/tls/session_impl.h"

#include "openssl.h"
#include "policy/certificate_request.h"
#include "tls_pair.h"

#include <malloc.h>

/* The sanitizer's, whose header gcc does not have. */
extern size_t __sanitizer_get_current_allocated_bytes(void);

enum { ALERT_CERTIFICATE_REVOKED = 44, ALERT_CERTIFICATE_EXPIRED = 45, ALERT_UNKNOWN_CA = 48 };

static const size_t pieces[] = {0, 1, 7};
static const enum client_certificate both[] = {CLIENT_CERTIFICATE_OPTIONAL,
                                               CLIENT_CERTIFICATE_REQUIRED};

/* What clients present. */
static struct text ec_chain, rsa_chain;
static struct private_key ec, rsa, other_ec, other_rsa;
static struct trust *clients; /* the CA of the clients, with its CRL */

static const char extensions[] =
    "[server_ext]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth\n"
    "[client_ext]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = clientAuth\n"
    "[encipher_ext]\nbasicConstraints = CA:FALSE\nkeyUsage = keyEncipherment\n";

static struct private_key key_of(const char *name)
{
    struct private_key key;
    struct text pem = load(name);
    assert_true(key_from_pem(text_string(&pem), pem.size, &key));
    text_fini(&pem);
    return key;
}

static struct text chain_of(const char *leaf, const char *more)
{
    struct text chain = load(leaf);
    if (more) load_more(&chain, more);
    return chain;
}

static int begin_all(void **state)
{
    struct text errors = {0};
    if (world_begin(state) || openssl_begin(extensions)) return 1;
    run("key root inter other ec other-ec");
    run("for k in rsa other-rsa; do openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 "
        "-out $k.key || exit; done");
    run("cert root Root root ca_ext self && cert inter Inter inter ca_ext root");
    run("cert other Other other ca_ext self && cert strange Ada ec leaf_ext other");
    run("cert ec Ada ec leaf_ext inter && cert rsa Ada rsa client_ext inter");
    run("cert server Ada ec server_ext inter && cert encipher Ada ec encipher_ext inter");
    run("cert expired Ada ec leaf_ext inter -startdate 20200101000000Z -enddate 20200102000000Z");
    run("cert revoked Ada ec leaf_ext inter && revoke revoked inter && crl inter inter");
    ec_chain = chain_of("ec.pem", "inter.pem");
    rsa_chain = chain_of("rsa.pem", "inter.pem");
    ec = key_of("ec.key");
    rsa = key_of("rsa.key");
    other_ec = key_of("other-ec.key");
    other_rsa = key_of("other-rsa.key");
    struct text anchors = load("root.pem"), crls = load("inter.crl");
    clients = trust_new(&anchors, "root.pem", &crls, "inter.crl", POLICY_RSA_BITS_FLOOR, &errors);
    if (!clients) fail_msg("%s", text_string(&errors));
    text_fini(&anchors);
    text_fini(&crls);
    return 0;
}

static int end_all(void **state)
{
    struct private_key *keys[] = {&ec, &rsa, &other_ec, &other_rsa};
    for (size_t i = 0; i < N_OF(keys); i++) key_fini(keys[i]);
    text_fini(&ec_chain);
    text_fini(&rsa_chain);
    trust_free(clients);
    return world_end(state) || openssl_end(state);
}

/* A server that asks, and a client with this certificate or none. */
static void begin(struct pair *p, const struct suite *suite, enum client_certificate asked,
                  const struct text *chain, const struct private_key *key)
{
    *p = pair_new(suite, false);
    p->asked = asked;
    p->client_check.trust = clients;
    p->chain = chain;
    p->key = key;
    assert_true(pair_client(p, "", NULL));
}

static void carry(struct pair *p, struct side *from, struct side *to)
{
    struct buf got = {0};
    assert_true(session_write(from->tls, "payload", 7));
    assert_int_equal(pair_carry(p, from, to, &got), SESSION_WANT_BYTES);
    assert_int_equal(buf_size(&got), 7);
    assert_memory_equal(buf_head(&got), "payload", 7);
    buf_fini(&got);
}

/* Both sides are content, and can talk. */
static void assert_agreed(struct pair *p)
{
    bool has_certificate = p->asked >= CLIENT_CERTIFICATE_OPTIONAL && p->chain;
    if (!pair_agreed(p))
        fail_msg("asked %d: client %d, server %d, alert %d", (int)p->asked, (int)p->client.status,
                 (int)p->server.status, session_alert_sent(p->server.tls));
    assert_int_equal(p->client_check.called, has_certificate);
    assert_int_equal(p->client_check.verified, has_certificate);
    assert_int_equal(p->client_check.facts.present, has_certificate);
    if (has_certificate) assert_string_equal(p->client_check.facts.subject, "CN=Ada");
    assert_false(session_lacks_certificate(p->server.tls));
    assert_false(session_lacks_proof(p->server.tls));
    assert_false(session_agreed(p->server.tls).resumed);
    session_handshake_done(p->client.tls);
    session_handshake_done(p->server.tls);
    carry(p, &p->client, &p->server);
    carry(p, &p->server, &p->client);
}

/* The server has ended it with this alert, which the client has received. */
static void assert_refused(struct pair *p, int alert)
{
    assert_int_equal(p->server.status, SESSION_FAILED);
    assert_int_not_equal(p->client.status, SESSION_OK);
    assert_int_equal(session_alert_sent(p->server.tls), alert);
    assert_int_equal(session_alert_received(p->client.tls), alert);
    assert_int_equal(session_handshake(p->server.tls), SESSION_FAILED);
}

static void every_suite_with_every_key(void **state)
{
    (void)state;
    static const struct text *const chains[] = {NULL, &ec_chain, &rsa_chain};
    static const struct private_key *const keys[] = {NULL, &ec, &rsa};
    for (size_t i = 0; i < SUITE_COUNT; i++)
        for (size_t a = 0; a < N_OF(both); a++)
            for (size_t c = 0; c < N_OF(chains); c++) {
                struct pair p;
                if (!chains[c] && both[a] == CLIENT_CERTIFICATE_REQUIRED) continue;
                begin(&p, &suites[i], both[a], chains[c], keys[c]);
                p.piece = pieces[(i + a + c) % N_OF(pieces)]; /* each with each */
                pair_shake(&p);
                assert_int_equal(p.judged, REASON_OK);
                assert_int_equal(session_agreed(p.client.tls).suite, suites[i].id);
                assert_agreed(&p);
                pair_free(&p);
            }
}

static void one_that_is_not_asked_shows_nothing(void **state)
{
    (void)state;
    struct pair p;
    begin(&p, &suites[0], CLIENT_CERTIFICATE_NONE, &ec_chain, &ec);
    pair_shake(&p);
    assert_false(session_flight(p.client.tls)->has_certificate_request);
    assert_false(p.presented);
    assert_agreed(&p);
    pair_free(&p);
}

/* Of any CA, with RSA or ECDSA, and only by schemes that the policy allows. */
static void the_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        struct pair p;
        struct certificate_request r;
        begin(&p, &suites[i], CLIENT_CERTIFICATE_OPTIONAL, NULL, NULL);
        pair_shake(&p);
        const struct flight *flight = session_flight(p.client.tls);
        assert_true(flight->has_certificate_request);
        assert_true(certificate_request_read(
            (struct span){buf_head(&flight->request), buf_size(&flight->request)}, &r));
        assert_true(certificate_request_takes(&r, KEY_ECDSA));
        assert_true(certificate_request_takes(&r, KEY_RSA));
        assert_int_equal(r.authorities.n, 0);
        for (size_t k = 0; k < r.schemes.n / 2; k++) {
            const struct scheme *s = scheme_by_id(span_u16(r.schemes, k));
            if (!s || s->verdict != SCHEME_ALLOWED) fail_msg("%04x", span_u16(r.schemes, k));
        }
        pair_free(&p);
    }
}

static void one_that_needs_a_certificate_and_has_none(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OF(pieces); k++) {
        struct pair p;
        begin(&p, &suites[0], CLIENT_CERTIFICATE_REQUIRED, NULL, NULL);
        p.piece = pieces[k];
        pair_shake(&p);
        assert_refused(&p, ALERT_HANDSHAKE_FAILURE);
        assert_true(session_lacks_certificate(p.server.tls));
        assert_false(session_lacks_proof(p.server.tls));
        assert_false(p.client_check.called);
        pair_free(&p);
    }
}

/* A bad certificate is refused, whether it is needed or not. */
static void what_the_check_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *leaf, *more;
        enum reason reason;
        int alert;
    } rows[] = {
        {"strange.pem", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED, ALERT_UNKNOWN_CA},
        {"strange.pem", "other.pem", REASON_UPSTREAM_CERTIFICATE_UNTRUSTED, ALERT_UNKNOWN_CA},
        {"ec.pem", NULL, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED, ALERT_UNKNOWN_CA},
        {"ec.pem", "root.pem", REASON_UPSTREAM_CERTIFICATE_UNTRUSTED, ALERT_UNKNOWN_CA},
        {"expired.pem", "inter.pem", REASON_UPSTREAM_CERTIFICATE_EXPIRED,
         ALERT_CERTIFICATE_EXPIRED},
        {"revoked.pem", "inter.pem", REASON_UPSTREAM_CERTIFICATE_REVOKED,
         ALERT_CERTIFICATE_REVOKED},
        {"server.pem", "inter.pem", REASON_UPSTREAM_CERTIFICATE_INVALID, ALERT_BAD_CERTIFICATE},
        {"encipher.pem", "inter.pem", REASON_UPSTREAM_CERTIFICATE_INVALID, ALERT_BAD_CERTIFICATE},
    };
    for (size_t i = 0; i < N_OF(rows); i++)
        for (size_t a = 0; a < N_OF(both); a++) {
            struct pair p;
            struct text chain = chain_of(rows[i].leaf, rows[i].more);
            begin(&p, &suites[0], both[a], &chain, &ec);
            p.piece = pieces[i % N_OF(pieces)];
            pair_shake(&p);
            assert_true(p.client_check.called && !p.client_check.verified);
            if (p.client_check.reason != rows[i].reason) fail_msg("%s", rows[i].leaf);
            assert_refused(&p, rows[i].alert);
            assert_false(session_lacks_certificate(p.server.tls));
            assert_false(session_lacks_proof(p.server.tls));
            text_fini(&chain);
            pair_free(&p);
        }
}

/* A good certificate that is not its own. */
static void one_without_the_key(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++)
        for (size_t a = 0; a < N_OF(both); a++) {
            struct pair p;
            bool is_rsa = type == KEY_RSA;
            begin(&p, &suites[0], both[a], is_rsa ? &rsa_chain : &ec_chain,
                  is_rsa ? &other_rsa : &other_ec);
            pair_shake(&p);
            assert_true(p.client_check.verified);
            assert_int_equal(p.server.status, SESSION_FAILED);
            assert_int_not_equal(p.client.status, SESSION_OK);
            assert_true(session_lacks_proof(p.server.tls));
            assert_true(session_alert_sent(p.server.tls) >= 0);
            pair_free(&p);
        }
}

/* Up to the client's second flight, which has not been sent yet. */
static void until_certificate(struct pair *p)
{
    shake(&p->client);
    to_server(p);
    to_client(p);
    assert_int_equal(p->server.status, SESSION_WANT_BYTES);
}

/* Any byte of the client's plaintext, the certificates and the signature included. */
static void a_flipped_bit_is_noticed(void **state)
{
    (void)state;
    size_t size = 1;
    for (size_t at = 0; at < size; at += 5) {
        struct pair p;
        begin(&p, &suites[0], both[at % 2], &ec_chain, &ec);
        until_certificate(&p);
        struct buf *out = &p.client.stream.out;
        size = buf_size(out); /* that of a signature varies */
        if (at < size) out->data[out->start + at] ^= (uint8_t)(1u << at % 8);
        pair_shake(&p);
        if (at < size && p.server.status == SESSION_OK) fail_msg("byte %zu", at);
        pair_free(&p);
    }
    assert_true(size > 800);
}

static int accept_any(int ok, WOLFSSL_X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

/* Were the library not to ask the check, or to ignore its answer, the session fails all the same.
 */
static void the_check_must_have_verified_it(void **state)
{
    (void)state;
    for (size_t a = 0; a < N_OF(both); a++) {
        struct pair p;
        begin(&p, &suites[0], both[a], &ec_chain, &ec);
        until_certificate(&p);
        wolfSSL_set_verify(p.server.tls->ssl, WOLFSSL_VERIFY_PEER, accept_any);
        pair_shake(&p);
        assert_false(p.client_check.called);
        assert_int_equal(p.server.status, SESSION_FAILED);
        assert_int_equal(session_handshake(p.server.tls), SESSION_FAILED);
        pair_free(&p);
    }
}

/* Were the client's messages misread, too: each fact that success needs, taken away. */
static void each_fact_is_needed(void **state)
{
    (void)state;
    enum { ALL, NO_PROOF, NO_MESSAGE, NO_CERTIFICATE, FACTS };
    for (int fact = ALL; fact < FACTS; fact++) {
        struct pair p;
        begin(&p, &suites[0], CLIENT_CERTIFICATE_REQUIRED, &ec_chain, &ec);
        until_certificate(&p);
        p.piece = 1;
        struct client_flight *client = &p.server.tls->handshake->client;
        while (!client->done) to_server(&p);
        assert_true(client->has_verify && client->certificates == 2);
        if (fact == NO_PROOF) client->has_verify = false;
        if (fact == NO_MESSAGE) client->has_certificates = false;
        if (fact == NO_CERTIFICATE) client->certificates = 0;
        p.piece = 0;
        pair_shake(&p);
        assert_true(p.client_check.verified);
        assert_int_equal(p.server.status, fact == ALL ? SESSION_OK : SESSION_FAILED);
        pair_free(&p);
    }
}

/* It would not have been asked. */
static void a_resumed_session_is_refused(void **state)
{
    (void)state;
    struct ticket_scope scope;
    struct saved_session *saved = NULL;
    assert_true(pair_scope(&scope, &world.tickets, IDENTITY));
    for (int asked = CLIENT_CERTIFICATE_NONE; asked <= CLIENT_CERTIFICATE_REQUIRED; asked++) {
        struct pair p = pair_new(&suites[0], true);
        p.scope = scope;
        p.client_check.trust = clients;
        p.asked = (enum client_certificate)asked;
        assert_true(pair_client(&p, "", saved));
        shake(&p.client);
        to_server(&p);
        bool first = asked == CLIENT_CERTIFICATE_NONE;
        /* Nor does it help to have been misread. */
        p.server.tls->handshake->client.has_certificates = asked == CLIENT_CERTIFICATE_OPTIONAL;
        pair_shake(&p);
        assert_int_equal(p.server.status, first ? SESSION_OK : SESSION_FAILED);
        if (first) saved = session_save(p.client.tls);
        assert_non_null(saved);
        pair_free(&p);
    }
    saved_session_free(saved);
}

/* The client's plaintext in other records: `size` bytes in each. */
static void reframe(struct buf *out, size_t size)
{
    static struct blob messages, records;
    const uint8_t *p = buf_head(out);
    size_t left = buf_size(out);
    messages.n = records.n = 0;
    while (left > 0 && p[0] == RECORD_HANDSHAKE) {
        size_t n = RECORD_HEADER + record_length(p);
        blob_bytes(&messages, p + RECORD_HEADER, n - RECORD_HEADER);
        p += n;
        left -= n;
    }
    blob_records(&records, RECORD_HANDSHAKE, TLS_1_2, messages.p, messages.n, size);
    blob_bytes(&records, p, left);
    buf_consume(out, buf_size(out));
    assert_true(buf_append(out, records.p, records.n));
}

/* Appends roots that have nothing to do with it. */
static void add_cas(struct text *chain, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct text certificate = {0}, key = {0};
        assert_true(ca_create(KEY_ECDSA, 0, -1, (struct span){0}, time(NULL), &certificate, &key));
        text_add_bytes(chain, text_string(&certificate), certificate.size);
        text_fini(&certificate);
        text_fini(&key);
    }
}

/* One record for all messages, many for each, with a list that does not fit into one. */
static void records_of_any_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 100, 5000, 16384};
    static const size_t further[] = {0, 30};
    for (size_t k = 0; k < N_OF(further); k++) {
        struct text chain = chain_of("ec.pem", "inter.pem");
        add_cas(&chain, further[k]);
        for (size_t i = 0; i < N_OF(sizes); i++) {
            struct pair p;
            begin(&p, &suites[0], both[i % 2], &chain, &ec);
            until_certificate(&p);
            reframe(&p.client.stream.out, sizes[i]);
            pair_shake(&p);
            assert_int_equal(p.server.tls->handshake->client.certificates, 2 + further[k]);
            assert_agreed(&p);
            pair_free(&p);
        }
        text_fini(&chain);
    }
}

static size_t allocated(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

/* The context keeps nothing of what clients send, whether they are accepted or not. */
static void clients_leave_no_certificate_behind(void **state)
{
    (void)state;
    enum { WARM = 20, COUNT = 200, CAS = 3, ROOM = 20000 };
    struct pair first = pair_new(&suites[0], false);
    size_t before = 0;
    for (size_t i = 0; i < WARM + COUNT; i++) {
        struct pair p;
        struct text chain = {0};
        if (i == WARM) before = allocated();
        load_more(&chain, i % 4 == 3 ? "strange.pem" : "ec.pem");
        load_more(&chain, i % 4 == 3 ? "other.pem" : "inter.pem");
        add_cas(&chain, CAS);
        begin(&p, &suites[0], both[i % 2], &chain, &ec);
        tls_context_free(p.server_context);
        p.server_context = first.server_context;
        pair_shake(&p);
        assert_int_equal(p.server.status, i % 4 == 3 ? SESSION_FAILED : SESSION_OK);
        p.server_context = NULL;
        pair_free(&p);
        text_fini(&chain);
    }
    size_t after = allocated();
    if (after > before + ROOM) fail_msg("%zu bytes more", after - before);
    pair_free(&first);
}

/* Certificates that the session's library cannot read are not presented. */
static void what_cannot_be_presented(void **state)
{
    (void)state;
    struct pair p;
    static const char *const bad[] = {
        "nothing\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    begin(&p, &suites[0], CLIENT_CERTIFICATE_OPTIONAL, NULL, NULL);
    for (size_t i = 0; i < N_OF(bad); i++) {
        struct text chain = {0};
        text_add(&chain, bad[i]);
        assert_false(session_present(p.client.tls, &chain));
        text_fini(&chain);
    }
    assert_true(session_present(p.client.tls, &ec_chain));
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite_with_every_key),
        cmocka_unit_test(one_that_is_not_asked_shows_nothing),
        cmocka_unit_test(the_request),
        cmocka_unit_test(one_that_needs_a_certificate_and_has_none),
        cmocka_unit_test(what_the_check_refuses),
        cmocka_unit_test(one_without_the_key),
        cmocka_unit_test(a_flipped_bit_is_noticed),
        cmocka_unit_test(the_check_must_have_verified_it),
        cmocka_unit_test(each_fact_is_needed),
        cmocka_unit_test(a_resumed_session_is_refused),
        cmocka_unit_test(records_of_any_size),
        cmocka_unit_test(clients_leave_no_certificate_behind),
        cmocka_unit_test(what_cannot_be_presented),
    };
    return cmocka_run_group_tests_name("session_mutual", tests, begin_all, end_all);
}
