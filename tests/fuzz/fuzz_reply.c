/* A server's answer to an offer, and the offer. First byte: how the rest is split; its lowest bit:
 * SSL 2.0 was offered. The result must not depend on the splits. The same bytes are also the parts
 * of an offer, and the written offer must parse. */
#include "fuzz.h"

#include "policy/hello.h"
#include "policy/offer.h"
#include "policy/reply.h"

static bool inside(struct span part, const struct buf *whole)
{
    return part.n > 0 && part.p >= buf_head(whole) &&
           part.p + part.n <= buf_head(whole) + buf_size(whole);
}

static void check_facts(const struct reply *r)
{
    CHECK(r->kind <= REPLY_TOO_LARGE && r->alert >= -1 && r->alert <= 255);
    CHECK(r->head_size <= REPLY_HEAD && r->certificate_count <= REPLY_CERTIFICATES);
    CHECK(r->kind_count <= REPLY_SSLV2_KINDS);
    CHECK(memchr(r->alpn, 0, sizeof r->alpn));
    CHECK(buf_size(&r->message) <= REPLY_LIMIT && buf_size(&r->chain) <= REPLY_LIMIT);
    for (size_t i = 0; i < r->certificate_count; i++) CHECK(inside(r->certificates[i], &r->chain));
    if (r->kind == REPLY_NONE) CHECK(!r->done);
    if (r->kind == REPLY_ALERT) CHECK(r->done && r->alert >= 0);
    if (r->kind == REPLY_NOT_TLS || r->kind == REPLY_MALFORMED) CHECK(r->done && r->alert < 0);
    if (r->kind != REPLY_HELLO) CHECK(r->certificate_count == 0 && !r->group && !r->scheme);
    if (r->kind == REPLY_SSLV2) CHECK(r->expects_sslv2 && r->version == SSL_2_0 && r->done);
    if (r->kind != REPLY_SSLV2) CHECK(r->kind_count == 0);
}

static void check_same(const struct reply *a, const struct reply *b)
{
    CHECK(a->kind == b->kind && a->done == b->done && a->alert == b->alert);
    CHECK(a->version == b->version && a->suite == b->suite && a->compression == b->compression);
    CHECK(a->session_id == b->session_id && a->ticket == b->ticket && a->retry == b->retry);
    CHECK(a->secure_renegotiation == b->secure_renegotiation);
    CHECK(a->extended_master_secret == b->extended_master_secret);
    CHECK(a->encrypt_then_mac == b->encrypt_then_mac && strcmp(a->alpn, b->alpn) == 0);
    CHECK(a->certificate_count == b->certificate_count && a->chain_cut == b->chain_cut);
    for (size_t i = 0; i < a->certificate_count; i++) {
        CHECK(a->certificates[i].n == b->certificates[i].n);
        CHECK(memcmp(a->certificates[i].p, b->certificates[i].p, a->certificates[i].n) == 0);
    }
    CHECK(a->certificate_request == b->certificate_request && a->staple == b->staple);
    CHECK(a->group == b->group && a->scheme == b->scheme && a->kind_count == b->kind_count);
    CHECK(memcmp(a->kinds, b->kinds, sizeof a->kinds) == 0);
    if (a->kind != REPLY_NOT_TLS) return;
    CHECK(a->head_size == b->head_size && memcmp(a->head, b->head, sizeof a->head) == 0);
    CHECK(reply_alien_name(a) == reply_alien_name(b));
}

/* A reply too large in one piece may be recognized earlier in several pieces. */
static void check_reply(const uint8_t *p, size_t n, uint32_t seed)
{
    struct reply whole, cut;
    bool sslv2 = seed & 1;
    if (n > REPLY_LIMIT) n = REPLY_LIMIT;
    reply_init(&whole, sslv2);
    reply_init(&cut, sslv2);
    reply_feed(&whole, p, n);
    for (size_t i = 0; i < n;) {
        size_t piece = fuzz_piece(&seed, n - i);
        uint8_t *copy = fuzz_copy(p + i, piece);
        reply_feed(&cut, copy, piece);
        free(copy);
        i += piece;
    }
    check_facts(&whole);
    check_same(&whole, &cut);
    reply_fini(&whole);
    reply_fini(&cut);
}

static size_t take_list(struct reader *r, uint16_t *out, size_t room)
{
    size_t n = reader_u8(r) % room;
    for (size_t i = 0; i < n; i++) out[i] = reader_u16(r);
    return n;
}

static void check_offer(struct span input)
{
    static const char name[] = "gate.example";
    uint16_t ciphers[256], groups[64], schemes[64];
    uint8_t random[OFFER_RANDOM], flags;
    struct reader r = reader_of(input);
    struct offer o = {.suites = ciphers, .groups = groups, .schemes = schemes};
    struct buf out = {0};
    struct hello_reader whole = {.limit = 16384};
    struct hello h;
    uint8_t alert;
    size_t used;
    flags = reader_u8(&r);
    o.version = (uint16_t)(SSL_3_0 + reader_u8(&r) % 5);
    o.suite_count = 1 + take_list(&r, ciphers + 1, 255);
    ciphers[0] = reader_u16(&r);
    o.group_count = take_list(&r, groups, 64);
    o.scheme_count = take_list(&r, schemes, 64);
    if (flags & 1) o.server_name = name;
    if (flags & 2) o.alpn = "http/1.1";
    o.compression = flags & 4;
    o.fallback = flags & 8;
    o.without_tickets = flags & 16;
    o.bare = flags & 32;
    memset(random, flags, sizeof random);

    CHECK(offer_write(&o, random, &out));
    size_t n = buf_size(&out);
    CHECK(hello_reader_feed(&whole, buf_head(&out), n, &used) == HELLO_COMPLETE && used == n);
    size_t m = buf_size(&whole.message);
    CHECK(hello_parse((struct span){buf_head(&whole.message), m}, &h, &alert) == HELLO_COMPLETE);
    bool extensions = o.version > SSL_3_0 && !o.bare;
    bool tls13 = o.version == TLS_1_3 && !o.bare;
    CHECK(h.highest_version == (o.version == TLS_1_3 && !tls13 ? TLS_1_2 : o.version));
    size_t signals = (o.bare || o.version == SSL_3_0) + (size_t)o.fallback;
    CHECK(h.cipher_suites.n == 2 * (o.suite_count + signals));
    for (size_t i = 0; i < o.suite_count; i++) CHECK(span_u16(h.cipher_suites, i) == ciphers[i]);
    CHECK(h.compression.n == (o.compression ? 2 : 1));
    CHECK(strcmp(h.server_name, o.server_name && o.version > SSL_3_0 ? name : "") == 0);
    CHECK(h.has_groups == extensions && h.has_schemes == (extensions && o.version >= TLS_1_2));
    if (extensions && o.group_count) CHECK(h.groups.n == 2 * o.group_count);
    if (h.has_schemes && o.scheme_count) CHECK(h.schemes.n == 2 * o.scheme_count);
    CHECK(!extensions || m < 256 || m >= 512);
    buf_fini(&out);
    hello_reader_fini(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    check_reply(data + 1, size - 1, data[0]);
    check_offer((struct span){data + 1, size - 1});
    return 0;
}
