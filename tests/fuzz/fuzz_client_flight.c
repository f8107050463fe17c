/* A client's plaintext after its hello. First byte: how the rest is split; its lowest bit: the
 * session is resumed. The result must not depend on the splits, and what is admitted is well-formed
 * for any input. */
#include "fuzz.h"

#include "policy/client_flight.h"
#include "policy/wire.h"

static int feed(struct client_flight *f, bool abbreviated, const uint8_t *p, size_t n,
                uint32_t *seed)
{
    int alert = -1;
    for (size_t i = 0, used; i < n && alert < 0 && !f->done; i += used) {
        size_t piece = seed ? fuzz_piece(seed, n - i) : n - i;
        uint8_t *copy = fuzz_copy(p + i, piece);
        alert = client_flight_feed(f, abbreviated, copy, piece, &used);
        free(copy);
        CHECK(used <= piece && (used == piece || f->done || alert >= 0));
    }
    return alert;
}

/* Whole records: alerts of two bytes, then one ClientKeyExchange unless the session is resumed,
 * then ChangeCipherSpec. */
static void check_admitted(const struct client_flight *f, bool abbreviated)
{
    const uint8_t *p = buf_head(&f->admitted);
    size_t left = buf_size(&f->admitted);
    bool key = false, changed = false;
    while (left > 0) {
        CHECK(left >= RECORD_HEADER && p[1] == 3 && p[2] == 3 && !changed);
        size_t n = (size_t)p[3] << 8 | p[4];
        CHECK(n > 0 && left - RECORD_HEADER >= n);
        const uint8_t *body = p + RECORD_HEADER;
        if (p[0] == RECORD_HANDSHAKE) {
            CHECK(!key && !abbreviated && n >= 4 && body[0] == MESSAGE_CLIENT_KEY_EXCHANGE);
            CHECK(n - 4 == ((size_t)body[1] << 16 | (size_t)body[2] << 8 | body[3]));
            key = true;
        } else if (p[0] == RECORD_CHANGE_CIPHER_SPEC) {
            CHECK(n == 1 && body[0] == 1 && (key || abbreviated));
            changed = true;
        } else {
            CHECK(p[0] == RECORD_ALERT && n == 2);
        }
        p = body + n;
        left -= RECORD_HEADER + n;
    }
    CHECK(changed == f->done && key == f->has_key_exchange);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct client_flight whole = {0}, cut = {0};
    uint32_t seed = data[0];
    bool abbreviated = data[0] & 1;
    int alert = feed(&whole, abbreviated, data + 1, size - 1, NULL);
    CHECK(alert == feed(&cut, abbreviated, data + 1, size - 1, &seed));
    CHECK(whole.hello == cut.hello && whole.done == cut.done);
    CHECK(alert >= 0 || buf_size(&whole.admitted) == buf_size(&cut.admitted));
    CHECK(buf_size(&whole.message) <= CLIENT_KEY_EXCHANGE_LIMIT + 1);
    check_admitted(&whole, abbreviated);
    if (size >= 6) {
        int judged = record_judge(data + 1);
        CHECK(judged >= 0 || (data[1] >= 20 && data[1] <= 23 && data[2] == 3 && data[3] == 3));
    }
    client_flight_fini(&whole);
    client_flight_fini(&cut);
    return 0;
}
