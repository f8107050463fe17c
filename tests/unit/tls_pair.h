/* A client session and a server session connected in memory, for the unit tests: a pump moves the
 * bytes between their streams, optionally in pieces, and acts as the sessions' owners. Test code
 * only. */
#ifndef UNIT_TLS_PAIR_H
#define UNIT_TLS_PAIR_H

#include "helper.h"

#include "pki/ca.h"
#include "policy/hello.h"
#include "tls/library.h"
#include "tls/session.h"

#include <time.h>

#define IDENTITY "gate.example"

/* Made once for all tests of a program. */
struct world {
    struct ca *ca;
    struct trust *trust, *strangers; /* the CA's, and another's */
    struct private_key keys[KEY_TYPES];
    struct text chains[KEY_TYPES];
    struct ticket_keys tickets;
};

static struct world world;

struct side {
    struct stream stream;
    struct session *tls;
    enum session_status status;    /* of the handshake */
    const struct private_key *key; /* that signs, if its session has not; NULL: the world's */
};

struct pair {
    struct side client, server;
    struct tls_context *client_context, *server_context;
    struct hello_reader reader; /* of the server side */
    struct peer_check check;
    struct flight_offer offer;
    struct ticket_scope scope;
    const char *alpn; /* the server's answer */
    bool tickets;
    /* Whether the server asks for a certificate, and what judges it; what the client then presents,
     * chain NULL: nothing. */
    enum client_certificate asked;
    struct peer_check client_check;
    const struct text *chain;
    const struct private_key *key;
    bool presented;
    size_t piece;       /* bytes moved at a time; 0: all */
    enum reason judged; /* why the client's owner ends it */
    int judged_alert;
};

static struct text new_ca(struct ca **ca)
{
    struct text certificate = {0}, key = {0}, errors = {0};
    assert_true(ca_create(KEY_ECDSA, 0, -1, (struct span){0}, time(NULL), &certificate, &key));
    *ca = ca_new(&certificate, (struct ca_key){&key, NULL}, &(struct ca_urls){NULL, NULL}, "ca.pem",
                 &errors);
    if (!*ca) fail_msg("%s", text_string(&errors));
    text_fini(&key);
    text_fini(&errors);
    return certificate;
}

static struct trust *trust_in(struct text *anchors)
{
    struct text errors = {0};
    struct trust *trust = trust_new(anchors, "ca.pem", NULL, "", POLICY_RSA_BITS_FLOOR, &errors);
    if (!trust) fail_msg("%s", text_string(&errors));
    text_fini(&errors);
    text_fini(anchors);
    return trust;
}

UNUSED static int world_begin(void **state)
{
    (void)state;
    struct text errors = {0}, anchors;
    struct ca *other;
    struct lifetime lifetime;
    assert_true(tls_library_init(&errors));
    anchors = new_ca(&other);
    world.strangers = trust_in(&anchors);
    ca_free(other);
    anchors = new_ca(&world.ca);
    world.trust = trust_in(&anchors);
    for (int type = 0; type < KEY_TYPES; type++) {
        struct private_key *key = &world.keys[type];
        assert_true(key_generate((enum key_type)type, 2048, key));
        assert_true(ca_mint(world.ca, IDENTITY, false, NULL, key, time(NULL), &world.chains[type],
                            &lifetime));
    }
    world.tickets.n = 1;
    return ticket_key_generate(&world.tickets.items[0]) ? 0 : 1;
}

UNUSED static int world_end(void **state)
{
    (void)state;
    for (int type = 0; type < KEY_TYPES; type++) {
        key_fini(&world.keys[type]);
        text_fini(&world.chains[type]);
    }
    trust_free(world.trust);
    trust_free(world.strangers);
    ca_free(world.ca);
    buf_thread_fini();
    random_thread_fini();
    tls_library_fini();
    return 0;
}

/* Of keys of its own, as a listener has it. */
UNUSED static bool pair_scope(struct ticket_scope *out, const struct ticket_keys *keys,
                              const char *identity)
{
    static const uint8_t generation[16] = {1};
    const struct ticket_binding binding = {
        {generation, sizeof generation}, "front", identity, "SUITE"};
    return ticket_scope_init(out, keys, NULL, 0, &binding);
}

/* Both sides' contexts for one suite, and the client's offer. Change it before pair_client(). */
UNUSED static struct pair pair_new(const struct suite *suite, bool tickets)
{
    struct policy policy = {.profile = PROFILE_2021,
                            .allowed = suite_bit(suite),
                            .minimum_rsa_bits = POLICY_RSA_BITS_FLOOR};
    struct pair p = {
        .client.status = SESSION_WANT_BYTES,
        .server.status = SESSION_WANT_BYTES,
        .reader.limit = 16384,
        .check = {.trust = world.trust, .identity = IDENTITY},
        .offer.suites = policy.allowed,
        .alpn = "",
        .tickets = tickets,
        .client_check = {.trust = world.trust, .purpose = PATH_CLIENT},
        .judged_alert = REASON_ALERT_NONE,
    };
    p.client_context = tls_context_client(&policy, tickets);
    p.server_context =
        tls_context_server(&policy, &world.chains[suite->key], &world.keys[suite->key], tickets);
    return p;
}

/* False: no memory. */
UNUSED WARN_UNUSED static bool pair_client(struct pair *p, const char *alpn,
                                           const struct saved_session *resume)
{
    if (!p->client_context || !p->server_context) return false;
    p->client.tls = session_client(p->client_context, &p->client.stream, IDENTITY, alpn, &p->offer,
                                   &p->check, resume);
    return p->client.tls;
}

UNUSED static void pair_free(struct pair *p)
{
    struct side *sides[] = {&p->client, &p->server};
    for (size_t i = 0; i < N_OF(sides); i++) {
        session_free(sides[i]->tls);
        stream_fini(&sides[i]->stream);
    }
    hello_reader_fini(&p->reader);
    cert_facts_fini(&p->check.facts);
    cert_facts_fini(&p->client_check.facts);
    tls_context_free(p->client_context);
    tls_context_free(p->server_context);
}

/* Moves one piece. judged: why the client's owner refuses it. */
static size_t move(struct pair *p, struct side *from, struct side *to)
{
    size_t n = buf_size(&from->stream.out);
    if (p->piece > 0 && n > p->piece) n = p->piece;
    if (n == 0 || !buf_append(&to->stream.in, buf_head(&from->stream.out), n)) return 0;
    buf_consume(&from->stream.out, n);
    if (to == &p->client && p->judged == REASON_OK)
        p->judged = session_received(to->tls, n, &p->judged_alert);
    return n;
}

/* The server's session begins when the hello is whole. */
static void accept_hello(struct pair *p)
{
    struct buf *in = &p->server.stream.in;
    struct buf *message = &p->reader.message;
    size_t used;
    enum hello_status status = hello_reader_feed(&p->reader, buf_head(in), buf_size(in), &used);
    buf_consume(in, used);
    if (status == HELLO_MORE) return;
    if (status == HELLO_COMPLETE)
        p->server.tls = session_server(p->server_context, &p->server.stream, p->alpn,
                                       p->tickets ? &p->scope : NULL);
    if (p->server.tls && p->asked >= CLIENT_CERTIFICATE_OPTIONAL)
        session_ask_certificate(p->server.tls, p->asked, &p->client_check);
    bool ok = p->server.tls &&
              session_hello(p->server.tls, (struct span){buf_head(message), buf_size(message)});
    if (!ok) p->server.status = SESSION_FAILED;
}

/* With the private half, which is here. */
UNUSED static void give_signature(struct side *s)
{
    const struct signing_request *wanted = session_wanted_signature(s->tls);
    uint8_t signature[SIGNING_SIZE];
    struct signing_key *key = signing_key_new(s->key ? s->key : &world.keys[wanted->key]);
    size_t n = key ? signing_key_sign(key, wanted, signature) : 0;
    signing_key_free(key);
    session_give_signature(s->tls, signature, n);
}

static void shake(struct side *s)
{
    if (s->tls && s->status == SESSION_WANT_BYTES) s->status = session_handshake(s->tls);
    if (s->status != SESSION_WANT_SIGNATURE) return;
    give_signature(s);
    s->status = session_handshake(s->tls);
}

static void to_server(struct pair *p)
{
    if (move(p, &p->client, &p->server) == 0) return;
    if (!p->server.tls && p->server.status == SESSION_WANT_BYTES) accept_hello(p);
    shake(&p->server);
}

/* Like the proxy: as soon as the server's request was seen. */
static void present(struct pair *p)
{
    if (!p->chain || p->presented || !session_flight(p->client.tls)->has_certificate_request)
        return;
    p->presented = true;
    p->client.key = p->key;
    if (!session_present(p->client.tls, p->chain)) p->client.status = SESSION_FAILED;
}

static void to_client(struct pair *p)
{
    if (move(p, &p->server, &p->client) == 0) return;
    present(p);
    if (p->judged == REASON_OK) shake(&p->client);
}

static size_t in_flight(const struct pair *p)
{
    return buf_size(&p->client.stream.out) + buf_size(&p->server.stream.out);
}

/* Until neither side sends any more. */
UNUSED static void pair_shake(struct pair *p)
{
    shake(&p->client);
    for (size_t left = in_flight(p), turns = 0; left > 0 && turns < 100000; turns++) {
        to_server(p);
        to_client(p);
        left = in_flight(p);
    }
}

UNUSED static bool pair_agreed(const struct pair *p)
{
    return p->client.status == SESSION_OK && p->server.status == SESSION_OK;
}

/* One side writes n bytes; `got` is what arrives. Returns the status of the last read:
 * SESSION_WANT_BYTES on success. */
UNUSED static enum session_status pair_carry(struct pair *p, struct side *from, struct side *to,
                                             struct buf *got)
{
    enum session_status status = SESSION_WANT_BYTES;
    uint8_t block[5000];
    do {
        size_t n;
        move(p, from, to);
        while ((status = session_read(to->tls, block, sizeof block, &n)) == SESSION_OK)
            if (!buf_append(got, block, n)) return SESSION_FAILED;
    } while (status == SESSION_WANT_BYTES && buf_size(&from->stream.out) > 0);
    return status;
}

#endif
