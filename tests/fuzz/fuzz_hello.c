/* ClientHello: reader, parser, verdict and JA4. First byte: how the rest is split. The result must
 * not depend on the splits. */
#include "fuzz.h"

#include "policy/hello.h"
#include "policy/ja4.h"
#include "policy/verdict.h"

enum { LIMIT = 20000 };

static bool fake_sha256(const void *p, size_t n, uint8_t out[32])
{
    const uint8_t *bytes = p;
    memset(out, 0, 32);
    for (size_t i = 0; i < n; i++) out[i % 32] = (uint8_t)(out[i % 32] * 31 + bytes[i]);
    return true;
}

static bool inside(struct span part, struct span whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_verdict(const struct hello *h, const struct verdict_keys *keys,
                          const struct policy *policy)
{
    struct verdict v = verdict_judge(h, policy, keys);
    struct verdict again = verdict_judge(h, policy, keys);
    CHECK(v.reason == again.reason && v.key == again.key && v.offered == again.offered);
    CHECK((v.offered & ~policy->allowed) == 0);
    CHECK(v.reason < REASON_COUNT);
    if (v.reason != REASON_OK) return;
    CHECK(v.key == KEY_ECDSA || v.key == KEY_RSA);
    CHECK(keys->has[v.key]);
    CHECK(v.offered & suite_set_of_key(v.key));
    CHECK(h->highest_version >= TLS_1_2);
    CHECK(h->schemes.n > 0);
}

static void check_parsed(struct span message)
{
    struct hello h;
    uint8_t alert = 0;
    enum hello_status status = hello_parse(message, &h, &alert);
    if (status == HELLO_MALFORMED) CHECK(alert == 47 || alert == 50 || alert == 70);
    if (status != HELLO_COMPLETE) {
        CHECK(status == HELLO_MALFORMED || status == HELLO_TOO_MANY_SUITES ||
              status == HELLO_TOO_MANY_EXTENSIONS);
        return;
    }
    CHECK(h.random.n == 32 && h.cipher_suites.n >= 2 && h.compression.n >= 1);
    CHECK(inside(h.cipher_suites, message) && inside(h.extensions, message));
    CHECK(inside(h.groups, h.extensions) && inside(h.schemes, h.extensions));
    CHECK(inside(h.alpn, h.extensions) && inside(h.renegotiation, h.extensions));
    CHECK(inside(h.supported_versions, h.extensions) && inside(h.point_formats, h.extensions));
    CHECK(!h.server_name_usable || hello_name_is_valid(h.server_name, strlen(h.server_name)));
    struct reader names = reader_of(h.alpn);
    size_t total = 0;
    for (;;) {
        struct span name = hello_alpn_next(&names);
        if (name.n == 0) break;
        total += 1 + name.n;
    }
    CHECK(total == h.alpn.n);
    for (unsigned i = 0; i < 8; i++) {
        struct policy policy = {.allowed = i & 4 ? 0xcc : 0xff, .minimum_rsa_bits = 2048};
        struct verdict_keys keys = {{i & 1, i & 2}, 0x0017};
        check_verdict(&h, &keys, &policy);
    }
    char ja4[JA4_SIZE];
    ja4_format(&h, fake_sha256, ja4);
    CHECK(strlen(ja4) == JA4_SIZE - 1);
    CHECK(ja4[10] == '_' && ja4[23] == '_');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    uint32_t seed = data[0];
    const uint8_t *p = data + 1;
    size_t n = size - 1, used = 0;
    struct hello_reader whole = {.limit = LIMIT}, cut = {.limit = LIMIT};
    enum hello_status status = hello_reader_feed(&whole, p, n, &used);
    CHECK(used <= n);
    CHECK(status != HELLO_MORE || used == n);
    CHECK(buf_size(&whole.message) <= LIMIT + 16384);

    enum hello_status cut_status = HELLO_MORE;
    size_t at = 0;
    while (at < n && cut_status == HELLO_MORE) {
        size_t piece = fuzz_piece(&seed, n - at), taken = 0;
        uint8_t *copy = fuzz_copy(p + at, piece);
        cut_status = hello_reader_feed(&cut, copy, piece, &taken);
        free(copy);
        CHECK(taken <= piece);
        at += taken;
    }
    CHECK(cut_status == status);
    CHECK(status != HELLO_MALFORMED || cut.alert == whole.alert);
    if (status == HELLO_COMPLETE) {
        CHECK(at == used);
        size_t m = buf_size(&whole.message);
        CHECK(buf_size(&cut.message) == m && m <= LIMIT);
        CHECK(memcmp(buf_head(&cut.message), buf_head(&whole.message), m) == 0);
        uint8_t *copy = fuzz_copy(buf_head(&whole.message), m);
        check_parsed((struct span){copy, m});
        free(copy);
    }
    CHECK(verdict_of_status(status) < REASON_COUNT);
    hello_reader_fini(&whole);
    hello_reader_fini(&cut);
    /* Also as a message without records: any content reaches the parser. */
    uint8_t *copy = fuzz_copy(p, n);
    check_parsed((struct span){copy, n});
    free(copy);
    return 0;
}
