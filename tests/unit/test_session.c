/* tls/session: two sessions talk in memory; every suite, every way to end, and each failure. */
/* The struct, for records made by hand. */
#include "../../src/tls/session_impl.h"

#include "tls_pair.h"

/* A protected record of any kind; like SendAlert() in the library's internal.h. */
extern int BuildMessage(WOLFSSL *ssl, byte *output, int outSz, const byte *input, int inSz,
                        int type, int hashOutput, int sizeOnly, int asyncOkay, int epochOrder);

enum { ALERT_UNKNOWN_CA = 48 };
static const size_t pieces[] = {0, 1, 7};

static const struct suite *any_gcm(void)
{
    return suite_by_id(0xc02b);
}

static const struct suite *any_cbc(void)
{
    return suite_by_id(0xc023);
}

static void begin(struct pair *p, const struct suite *suite)
{
    *p = pair_new(suite, false);
    assert_true(pair_client(p, "", NULL));
}

static void shaken(struct pair *p, const struct suite *suite)
{
    begin(p, suite);
    pair_shake(p);
    assert_true(pair_agreed(p));
}

static uint8_t *payload(size_t n)
{
    uint8_t *p = malloc(n ? n : 1);
    if (!p) abort();
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(i * 31 + (i >> 8));
    return p;
}

static void exchange(struct pair *p, struct side *from, struct side *to, size_t n)
{
    struct buf got = {0};
    uint8_t *sent = payload(n);
    assert_true(session_write(from->tls, sent, n));
    assert_int_equal(pair_carry(p, from, to, &got), SESSION_WANT_BYTES);
    assert_int_equal(buf_size(&got), n);
    assert_memory_equal(buf_head(&got), sent, n);
    buf_fini(&got);
    free(sent);
}

static enum session_status read_one(struct side *s)
{
    uint8_t byte;
    size_t n;
    return session_read(s->tls, &byte, 1, &n);
}

static void assert_agreed(const struct session *s, const struct suite *suite, bool resumed)
{
    struct agreed a = session_agreed(s);
    assert_int_equal(a.version, TLS_1_2);
    assert_int_equal(a.suite, suite->id);
    assert_int_equal(a.group, resumed ? 0 : group_at(0));
    assert_int_equal(a.resumed, resumed);
    assert_true(a.extended_master_secret);
    assert_int_equal(a.encrypt_then_mac, suite->mode == SUITE_CBC);
    assert_false(a.speaks_tls13);
    assert_string_equal(a.alpn, "");
    assert_true(agreed_is_allowed(&a, suite_bit(suite), true));
}

static void every_suite_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        for (size_t k = 0; k < N_OF(pieces); k++) {
            struct pair p;
            begin(&p, &suites[i]);
            p.piece = pieces[k];
            pair_shake(&p);
            if (!pair_agreed(&p)) fail_msg("%s in pieces of %zu", suites[i].iana, pieces[k]);
            assert_int_equal(p.judged, REASON_OK);
            assert_true(p.check.verified);
            assert_agreed(p.client.tls, &suites[i], false);
            assert_agreed(p.server.tls, &suites[i], false);
            assert_int_equal(session_flight(p.client.tls)->suite, suites[i].id);
            pair_free(&p);
        }
}

static void payload_both_ways(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 16384, 16385, 100000};
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        struct pair p;
        shaken(&p, &suites[i]);
        session_handshake_done(p.client.tls);
        session_handshake_done(p.server.tls);
        for (size_t k = 0; k < N_OF(sizes); k++) {
            p.piece = pieces[k % N_OF(pieces)];
            exchange(&p, &p.client, &p.server, sizes[k]);
            exchange(&p, &p.server, &p.client, sizes[k]);
        }
        pair_free(&p);
    }
}

static void one_protocol_is_answered(void **state)
{
    (void)state;
    struct pair p = pair_new(any_gcm(), false);
    static const uint8_t wire[] = "\x02h2\x08http/1.1";
    p.alpn = "http/1.1";
    p.offer.alpn = (struct span){wire, sizeof wire - 1};
    assert_true(pair_client(&p, "h2,http/1.1", NULL));
    pair_shake(&p);
    assert_true(pair_agreed(&p));
    assert_string_equal(session_agreed(p.client.tls).alpn, "http/1.1");
    assert_string_equal(session_agreed(p.server.tls).alpn, "http/1.1");
    pair_free(&p);
}

static struct ticket_scope scope_for(const struct ticket_keys *keys, const char *identity)
{
    struct ticket_scope scope;
    assert_true(pair_scope(&scope, keys, identity));
    return scope;
}

/* A handshake under a scope; p has the result. */
static void with_ticket(struct pair *p, const struct suite *suite,
                        const struct saved_session *resume, struct ticket_scope scope, size_t piece)
{
    *p = pair_new(suite, true);
    p->scope = scope;
    p->piece = piece;
    assert_true(pair_client(p, "", resume));
    pair_shake(p);
    assert_true(pair_agreed(p));
}

static struct saved_session *first_session(const struct suite *suite, struct ticket_scope scope)
{
    struct pair p;
    with_ticket(&p, suite, NULL, scope, 0);
    assert_agreed(p.client.tls, suite, false);
    struct saved_session *saved = session_save(p.client.tls);
    assert_non_null(saved);
    pair_free(&p);
    return saved;
}

static void a_ticket_resumes(void **state)
{
    (void)state;
    struct ticket_scope scope = scope_for(&world.tickets, IDENTITY);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        struct saved_session *saved = first_session(&suites[i], scope);
        for (size_t k = 0; k < N_OF(pieces); k++) {
            struct pair p;
            with_ticket(&p, &suites[i], saved, scope, pieces[k]);
            assert_agreed(p.client.tls, &suites[i], true);
            assert_agreed(p.server.tls, &suites[i], true);
            assert_false(p.check.called); /* no certificate comes */
            exchange(&p, &p.client, &p.server, 100);
            exchange(&p, &p.server, &p.client, 100);
            pair_free(&p);
        }
        saved_session_free(saved);
    }
}

/* The peer is verified as in a first handshake. */
static void assert_full(const struct saved_session *saved, struct ticket_scope scope)
{
    struct pair p;
    with_ticket(&p, any_gcm(), saved, scope, 0);
    assert_agreed(p.client.tls, any_gcm(), false);
    assert_agreed(p.server.tls, any_gcm(), false);
    assert_true(p.check.verified);
    exchange(&p, &p.client, &p.server, 100);
    pair_free(&p);
}

/* The server's private half is elsewhere: whatever the pieces, it is asked for one signature. */
static struct pair pair_elsewhere(const struct suite *suite, struct private_key *public)
{
    struct pair p = pair_new(suite, false);
    struct policy policy = {.profile = PROFILE_2021,
                            .allowed = suite_bit(suite),
                            .minimum_rsa_bits = POLICY_RSA_BITS_FLOOR};
    tls_context_free(p.server_context);
    assert_true(key_public_from_der(suite->key, key_spki(&world.keys[suite->key]), public));
    assert_null(public->der);
    p.server_context = tls_context_server(&policy, &world.chains[suite->key], public, false);
    assert_non_null(p.server_context);
    return p;
}

static void a_signature_from_elsewhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        for (size_t k = 0; k < N_OF(pieces); k++) {
            struct private_key public;
            struct pair p = pair_elsewhere(&suites[i], &public);
            p.piece = pieces[k];
            assert_true(pair_client(&p, "", NULL));
            pair_shake(&p);
            assert_true(pair_agreed(&p));
            assert_true(p.check.verified);
            assert_int_equal(session_agreed(p.server.tls).suite, suites[i].id);
            pair_free(&p);
            key_fini(&public);
        }
}

/* None, a wrong one, one of another digest: no client accepts, and none is blamed. */
static void a_signature_that_is_none(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 70, 256};
    for (size_t i = 0; i < SUITE_COUNT; i++)
        for (size_t k = 0; k < N_OF(sizes); k++) {
            struct private_key public;
            uint8_t junk[SIGNING_SIZE];
            memset(junk, 0x30, sizeof junk);
            struct pair p = pair_elsewhere(&suites[i], &public);
            assert_true(pair_client(&p, "", NULL));
            shake(&p.client);
            while (move(&p, &p.client, &p.server) > 0) continue;
            accept_hello(&p);
            assert_int_equal(session_handshake(p.server.tls), SESSION_WANT_SIGNATURE);
            assert_int_equal(session_wanted_signature(p.server.tls)->key, suites[i].key);
            assert_int_equal(session_handshake(p.server.tls), SESSION_WANT_SIGNATURE);
            session_give_signature(p.server.tls, junk, sizes[k]);
            p.server.status = session_handshake(p.server.tls);
            if (sizes[k] == 0) {
                assert_int_equal(p.server.status, SESSION_FAILED);
                assert_int_equal(session_fault(p.server.tls), REASON_INTERNAL_ERROR);
                assert_int_equal(session_alert_sent(p.server.tls), ALERT_INTERNAL_ERROR);
            }
            pair_shake(&p);
            assert_int_not_equal(p.client.status, SESSION_OK);
            assert_int_not_equal(p.server.status, SESSION_OK);
            pair_free(&p);
            key_fini(&public);
        }
}

static void a_foreign_ticket_gives_a_full_handshake(void **state)
{
    (void)state;
    struct ticket_scope scope = scope_for(&world.tickets, IDENTITY);
    struct saved_session *saved = first_session(any_gcm(), scope);
    struct ticket_keys other = {0};
    other.n = 1;
    assert_true(ticket_key_generate(&other.items[0]));
    assert_full(saved, scope_for(&other, IDENTITY));
    assert_full(saved, scope_for(&world.tickets, "other.example"));
    saved_session_free(saved);
}

/* Moves the client's hello after changing one bit of its ticket. */
static void garbled_hello(struct pair *p, size_t at)
{
    shake(&p->client);
    struct buf *out = &p->client.stream.out;
    uint8_t *bytes = out->data + out->start;
    struct hello hello;
    uint8_t alert;
    struct span message = {bytes + RECORD_HEADER, buf_size(out) - RECORD_HEADER};
    assert_int_equal(hello_parse(message, &hello, &alert), HELLO_COMPLETE);
    assert_true(hello.session_ticket.n > at);
    bytes[(size_t)(hello.session_ticket.p - bytes) + at] ^= 1;
}

/* The server cannot open such a ticket and makes a full handshake. The client's hello was changed
 * on the way, so the client then finds that the transcripts differ. */
static void a_garbled_ticket_is_not_opened(void **state)
{
    (void)state;
    struct ticket_scope scope = scope_for(&world.tickets, IDENTITY);
    struct saved_session *saved = first_session(any_gcm(), scope);
    for (size_t at = 0; at < 180; at += 17) {
        struct pair p = pair_new(any_gcm(), true);
        p.scope = scope;
        assert_true(pair_client(&p, "", saved));
        garbled_hello(&p, at);
        to_server(&p);
        assert_int_equal(p.server.status, SESSION_WANT_BYTES);
        assert_true(session_flight(p.server.tls)->certificates > 0);
        pair_shake(&p);
        assert_int_not_equal(p.client.status, SESSION_OK);
        assert_int_equal(p.server.status, SESSION_FAILED);
        pair_free(&p);
    }
    saved_session_free(saved);
}

static void close_notify_ends_one_direction(void **state)
{
    (void)state;
    for (int by_server = 0; by_server < 2; by_server++) {
        struct pair p;
        shaken(&p, any_gcm());
        struct side *one = by_server ? &p.server : &p.client;
        struct side *other = by_server ? &p.client : &p.server;
        session_close_notify(one->tls);
        assert_false(session_write(one->tls, "x", 1));
        move(&p, one, other);
        assert_int_equal(read_one(other), SESSION_CLOSE_NOTIFY);
        assert_int_equal(read_one(other), SESSION_CLOSE_NOTIFY);
        exchange(&p, other, one, 20000);
        assert_int_equal(read_one(other), SESSION_CLOSE_NOTIFY);
        session_close_notify(other->tls);
        session_close_notify(other->tls);
        move(&p, other, one);
        assert_int_equal(read_one(one), SESSION_CLOSE_NOTIFY);
        assert_int_equal(in_flight(&p), 0);
        assert_int_equal(session_alert_sent(one->tls), -1);
        assert_int_equal(session_fault(other->tls), REASON_OK);
        pair_free(&p);
    }
}

static void payload_before_close_notify_arrives(void **state)
{
    (void)state;
    struct pair p;
    struct buf got = {0};
    shaken(&p, any_cbc());
    assert_true(session_write(p.server.tls, "last", 4));
    session_close_notify(p.server.tls);
    assert_int_equal(pair_carry(&p, &p.server, &p.client, &got), SESSION_CLOSE_NOTIFY);
    assert_int_equal(buf_size(&got), 4);
    buf_fini(&got);
    pair_free(&p);
}

/* The first n bytes of one record arrive, then the end. */
static void cut_after(const struct suite *suite, size_t n)
{
    struct pair p;
    shaken(&p, suite);
    assert_true(session_write(p.client.tls, "payload", 7));
    assert_true(buf_size(&p.client.stream.out) > n);
    p.piece = n;
    if (n > 0) move(&p, &p.client, &p.server);
    assert_int_equal(read_one(&p.server), SESSION_WANT_BYTES);
    p.server.stream.end_of_data = true;
    assert_int_equal(read_one(&p.server), SESSION_TRUNCATED);
    assert_int_equal(read_one(&p.server), SESSION_TRUNCATED);
    assert_int_equal(buf_size(&p.server.stream.out), 0);
    assert_int_equal(session_alert_sent(p.server.tls), -1);
    assert_int_equal(session_fault(p.server.tls), REASON_OK);
    pair_free(&p);
}

static void an_end_without_close_notify_is_seen(void **state)
{
    (void)state;
    for (size_t n = 0; n < 30; n++) {
        cut_after(any_gcm(), n);
        cut_after(any_cbc(), n);
    }
}

static void an_end_in_the_handshake_fails_it(void **state)
{
    (void)state;
    for (size_t n = 0; n < 400; n += 19) {
        struct pair p;
        begin(&p, any_gcm());
        shake(&p.client);
        to_server(&p);
        p.piece = n;
        if (n > 0) to_client(&p);
        assert_int_equal(p.client.status, SESSION_WANT_BYTES);
        p.client.stream.end_of_data = true;
        shake(&p.client);
        assert_int_equal(p.client.status, SESSION_FAILED);
        int alert;
        assert_int_equal(session_explain(p.client.tls, true, &alert),
                         REASON_UPSTREAM_CLOSED_HANDSHAKE);
        assert_int_equal(alert, -1);
        pair_free(&p);
    }
}

/* Anywhere in the client's second flight, Finished included: nothing is sent to a closed peer. */
static void an_end_in_the_clients_flight_fails_it(void **state)
{
    (void)state;
    for (size_t n = 0; n < 90; n++) {
        struct pair p;
        begin(&p, any_gcm());
        shake(&p.client);
        to_server(&p);
        to_client(&p);
        assert_true(buf_size(&p.client.stream.out) > n);
        p.piece = n;
        if (n > 0) to_server(&p);
        assert_int_equal(p.server.status, SESSION_WANT_BYTES);
        p.server.stream.end_of_data = true;
        shake(&p.server);
        assert_int_equal(p.server.status, SESSION_FAILED);
        assert_int_equal(buf_size(&p.server.stream.out), 0);
        assert_int_equal(session_alert_sent(p.server.tls), -1);
        assert_int_equal(session_fault(p.server.tls), REASON_OK);
        pair_free(&p);
    }
}

static void a_fatal_alert_kills_both_ends(void **state)
{
    (void)state;
    for (int by_server = 0; by_server < 2; by_server++) {
        struct pair p;
        shaken(&p, any_cbc());
        struct side *one = by_server ? &p.server : &p.client;
        struct side *other = by_server ? &p.client : &p.server;
        session_fatal_alert(one->tls, ALERT_INTERNAL_ERROR);
        session_fatal_alert(one->tls, ALERT_DECODE_ERROR); /* nothing may follow */
        session_close_notify(one->tls);
        assert_false(session_write(one->tls, "x", 1));
        assert_int_equal(session_alert_sent(one->tls), ALERT_INTERNAL_ERROR);
        move(&p, one, other);
        assert_int_equal(read_one(other), SESSION_FAILED);
        assert_int_equal(session_alert_received(other->tls), ALERT_INTERNAL_ERROR);
        assert_int_equal(session_fault(other->tls), REASON_OK);
        assert_false(session_write(other->tls, "x", 1));
        assert_int_equal(in_flight(&p), 0);
        pair_free(&p);
    }
}

static void an_alert_in_place_of_the_servers_flight(void **state)
{
    (void)state;
    struct pair p;
    int alert;
    begin(&p, any_gcm());
    shake(&p.client);
    move(&p, &p.client, &p.server);
    accept_hello(&p);
    session_fatal_alert(p.server.tls, ALERT_HANDSHAKE_FAILURE);
    to_client(&p);
    assert_int_not_equal(p.client.status, SESSION_OK);
    assert_int_equal(session_explain(p.client.tls, false, &alert),
                     REASON_UPSTREAM_NO_APPROVED_SUITE);
    assert_int_equal(alert, ALERT_HANDSHAKE_FAILURE);
    assert_int_equal(buf_size(&p.client.stream.out), 0);
    pair_free(&p);
}

static void an_alert_in_place_of_the_clients_flight(void **state)
{
    (void)state;
    struct pair p;
    begin(&p, any_gcm());
    shake(&p.client);
    to_server(&p);
    move(&p, &p.server, &p.client);
    session_fatal_alert(p.client.tls, ALERT_BAD_CERTIFICATE);
    to_server(&p);
    assert_int_equal(p.server.status, SESSION_FAILED);
    assert_int_equal(session_alert_received(p.server.tls), ALERT_BAD_CERTIFICATE);
    assert_int_equal(session_alert_sent(p.server.tls), -1);
    assert_int_equal(session_fault(p.server.tls), REASON_OK);
    pair_free(&p);
}

static void assert_violated(struct pair *p, struct side *by, struct side *seen, int alert)
{
    struct buf got = {0};
    assert_int_equal(pair_carry(p, by, seen, &got), SESSION_FAILED);
    assert_int_equal(buf_size(&got), 0);
    assert_int_equal(session_alert_sent(seen->tls), alert);
    assert_int_equal(session_fault(seen->tls), seen == &p->server
                                                   ? REASON_CLIENT_PROTOCOL_VIOLATION
                                                   : REASON_UPSTREAM_PROTOCOL_VIOLATION);
    assert_int_equal(read_one(seen), SESSION_FAILED);
    assert_false(session_write(seen->tls, "x", 1));
    move(p, seen, by);
    assert_int_equal(read_one(by), SESSION_FAILED);
    assert_int_equal(session_alert_received(by->tls), alert);
}

static void a_flipped_bit_fails_the_mac(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        for (int from_server = 0; from_server < 2; from_server++)
            for (size_t part = 0; part < 4; part++) {
                struct pair p;
                shaken(&p, &suites[i]);
                struct side *by = from_server ? &p.server : &p.client;
                struct side *seen = from_server ? &p.client : &p.server;
                assert_true(session_write(by->tls, "a payload that fills some blocks", 32));
                struct buf *out = &by->stream.out;
                size_t body = buf_size(out) - RECORD_HEADER;
                out->data[out->start + RECORD_HEADER + part * (body - 1) / 3] ^= 1;
                assert_violated(&p, by, seen, ALERT_BAD_RECORD_MAC);
                pair_free(&p);
            }
}

static void a_record_does_not_arrive_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        struct pair p;
        shaken(&p, &suites[i]);
        assert_true(session_write(p.client.tls, "once", 4));
        struct buf *out = &p.client.stream.out, copy = {0};
        assert_true(buf_append(&copy, buf_head(out), buf_size(out)));
        struct buf got = {0};
        assert_int_equal(pair_carry(&p, &p.client, &p.server, &got), SESSION_WANT_BYTES);
        assert_true(buf_append(out, buf_head(&copy), buf_size(&copy)));
        assert_violated(&p, &p.client, &p.server, ALERT_BAD_RECORD_MAC);
        buf_fini(&got);
        buf_fini(&copy);
        pair_free(&p);
    }
}

/* Any bit of the client's Finished or of the server's. */
static void a_flipped_bit_in_finished_fails_the_handshake(void **state)
{
    (void)state;
    for (int of_server = 0; of_server < 2; of_server++)
        for (size_t back = 1; back <= 40; back += 3) {
            struct pair p;
            begin(&p, any_gcm());
            shake(&p.client);
            to_server(&p);
            to_client(&p);
            if (of_server) to_server(&p);
            struct side *by = of_server ? &p.server : &p.client;
            struct side *seen = of_server ? &p.client : &p.server;
            struct buf *out = &by->stream.out;
            out->data[out->end - back] ^= 0x20;
            pair_shake(&p);
            assert_int_equal(seen->status, SESSION_FAILED);
            assert_int_equal(session_alert_sent(seen->tls), ALERT_BAD_RECORD_MAC);
            pair_free(&p);
        }
}

/* Protected records of a kind that no library sends. */
static void send_protected(struct side *by, int type, const uint8_t *message, size_t n)
{
    uint8_t record[512];
    int size =
        BuildMessage(by->tls->ssl, record, (int)sizeof record, message, (int)n, type, 0, 0, 0, 0);
    assert_true(size > 0);
    assert_true(buf_append(&by->stream.out, record, (size_t)size));
}

static void a_server_that_asks_to_renegotiate_is_told_no(void **state)
{
    (void)state;
    static const uint8_t hello_request[] = {0, 0, 0, 0};
    struct pair p;
    shaken(&p, any_gcm());
    session_handshake_done(p.client.tls);
    assert_false(session_renegotiation_asked(p.client.tls));
    send_protected(&p.server, RECORD_HANDSHAKE, hello_request, sizeof hello_request);
    move(&p, &p.server, &p.client);
    assert_int_equal(read_one(&p.client), SESSION_WANT_BYTES);
    assert_true(session_renegotiation_asked(p.client.tls));
    /* A warning and no hello. */
    const uint8_t *answer = buf_head(&p.client.stream.out);
    assert_int_equal(answer[0], RECORD_ALERT);
    assert_int_equal(buf_size(&p.client.stream.out), RECORD_HEADER + record_length(answer));
    pair_free(&p);
}

static void a_client_that_renegotiates_is_refused(void **state)
{
    (void)state;
    struct blob hello;
    const struct hello_spec spec = {.version = TLS_1_2,
                                    .suites = "c02b",
                                    .groups = "001d",
                                    .schemes = "0403",
                                    .points = "00",
                                    .renegotiation = ""};
    blob_hello(&hello, &spec);
    for (int done = 0; done < 2; done++) {
        struct pair p;
        shaken(&p, any_gcm());
        if (done) session_handshake_done(p.server.tls);
        send_protected(&p.client, RECORD_HANDSHAKE, hello.p, hello.n);
        move(&p, &p.client, &p.server);
        assert_int_equal(read_one(&p.server), SESSION_FAILED);
        assert_int_equal(session_fault(p.server.tls), REASON_CLIENT_RENEGOTIATION);
        assert_true(session_alert_sent(p.server.tls) >= 0);
        pair_free(&p);
    }
}

static void a_second_hello_in_the_handshake_is_refused(void **state)
{
    (void)state;
    struct pair p;
    begin(&p, any_gcm());
    shake(&p.client);
    struct buf *out = &p.client.stream.out, copy = {0};
    assert_true(buf_append(&copy, buf_head(out), buf_size(out)));
    to_server(&p);
    assert_true(buf_append(out, buf_head(&copy), buf_size(&copy)));
    to_server(&p);
    assert_int_equal(p.server.status, SESSION_FAILED);
    assert_int_equal(session_alert_sent(p.server.tls), ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(session_fault(p.server.tls), REASON_CLIENT_RENEGOTIATION);
    buf_fini(&copy);
    pair_free(&p);
}

static void assert_refused(struct pair *p, enum reason reason, int alert)
{
    pair_shake(p);
    assert_int_equal(p->client.status, SESSION_FAILED);
    assert_int_equal(p->server.status, SESSION_FAILED);
    assert_false(p->check.verified);
    int received;
    assert_int_equal(session_explain(p->client.tls, false, &received), reason);
    assert_int_equal(session_alert_sent(p->client.tls), alert);
    assert_int_equal(session_alert_received(p->server.tls), alert);
    assert_int_equal(session_handshake(p->client.tls), SESSION_FAILED);
}

static void an_unproved_server_ends_the_handshake(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        for (size_t k = 0; k < N_OF(pieces); k++) {
            struct pair p = pair_new(&suites[i], false);
            p.piece = pieces[k];
            p.check.identity = "other.example";
            assert_true(pair_client(&p, "", NULL));
            assert_refused(&p, REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH, ALERT_BAD_CERTIFICATE);
            pair_free(&p);
            p = pair_new(&suites[i], false);
            p.piece = pieces[k];
            p.check.trust = world.strangers;
            assert_true(pair_client(&p, "", NULL));
            assert_refused(&p, REASON_UPSTREAM_CERTIFICATE_UNTRUSTED, ALERT_UNKNOWN_CA);
            pair_free(&p);
        }
}

/* A peer that presents the right certificate and has another key. */
static void a_server_without_the_key_fails(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++) {
        const struct suite *suite = suite_by_id(type == KEY_RSA ? 0xc02f : 0xc02b);
        struct private_key own = world.keys[type];
        assert_true(key_generate((enum key_type)type, 2048, &world.keys[type]));
        struct pair p = pair_new(suite, false);
        key_fini(&world.keys[type]);
        world.keys[type] = own;
        if (p.server_context) {
            assert_true(pair_client(&p, "", NULL));
            pair_shake(&p);
            assert_int_equal(p.client.status, SESSION_FAILED);
            assert_int_not_equal(p.server.status, SESSION_OK);
        }
        pair_free(&p);
    }
}

static void no_common_suite(void **state)
{
    (void)state;
    struct pair p = pair_new(any_gcm(), false), other = pair_new(any_cbc(), false);
    struct tls_context *swap = p.client_context;
    p.client_context = other.client_context;
    other.client_context = swap;
    assert_true(pair_client(&p, "", NULL));
    pair_shake(&p);
    assert_int_equal(p.server.status, SESSION_FAILED);
    assert_int_not_equal(p.client.status, SESSION_OK);
    assert_int_equal(session_alert_sent(p.server.tls), ALERT_HANDSHAKE_FAILURE);
    pair_free(&p);
    pair_free(&other);
}

/* The library would accept it; the owner learns of it before the library reads it. */
static void a_suite_that_was_not_offered(void **state)
{
    (void)state;
    struct pair p = pair_new(any_gcm(), false);
    p.offer.suites = suite_bit(any_cbc());
    assert_true(pair_client(&p, "", NULL));
    pair_shake(&p);
    assert_int_equal(p.judged, REASON_UPSTREAM_SUITE_NOT_OFFERED);
    assert_int_equal(p.judged_alert, ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(p.client.status, SESSION_WANT_BYTES);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite_in_pieces_of_any_size),
        cmocka_unit_test(payload_both_ways),
        cmocka_unit_test(one_protocol_is_answered),
        cmocka_unit_test(a_ticket_resumes),
        cmocka_unit_test(a_signature_from_elsewhere),
        cmocka_unit_test(a_signature_that_is_none),
        cmocka_unit_test(a_foreign_ticket_gives_a_full_handshake),
        cmocka_unit_test(a_garbled_ticket_is_not_opened),
        cmocka_unit_test(close_notify_ends_one_direction),
        cmocka_unit_test(payload_before_close_notify_arrives),
        cmocka_unit_test(an_end_without_close_notify_is_seen),
        cmocka_unit_test(an_end_in_the_handshake_fails_it),
        cmocka_unit_test(an_end_in_the_clients_flight_fails_it),
        cmocka_unit_test(a_fatal_alert_kills_both_ends),
        cmocka_unit_test(an_alert_in_place_of_the_servers_flight),
        cmocka_unit_test(an_alert_in_place_of_the_clients_flight),
        cmocka_unit_test(a_flipped_bit_fails_the_mac),
        cmocka_unit_test(a_record_does_not_arrive_twice),
        cmocka_unit_test(a_flipped_bit_in_finished_fails_the_handshake),
        cmocka_unit_test(a_server_that_asks_to_renegotiate_is_told_no),
        cmocka_unit_test(a_client_that_renegotiates_is_refused),
        cmocka_unit_test(a_second_hello_in_the_handshake_is_refused),
        cmocka_unit_test(an_unproved_server_ends_the_handshake),
        cmocka_unit_test(a_server_without_the_key_fails),
        cmocka_unit_test(no_common_suite),
        cmocka_unit_test(a_suite_that_was_not_offered),
    };
    return cmocka_run_group_tests_name("session", tests, world_begin, world_end);
}
