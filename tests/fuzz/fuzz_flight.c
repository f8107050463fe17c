/* The server's plaintext flight. First byte: how the rest is split; second: what was offered. The
 * result must not depend on the splits. */
#include "fuzz.h"

#include "policy/flight.h"

static enum reason feed(struct flight *f, const struct flight_offer *offer, const uint8_t *p,
                        size_t n, uint32_t *seed, int *alert)
{
    enum reason reason = REASON_OK;
    flight_init(f);
    *alert = REASON_ALERT_NONE;
    for (size_t i = 0; i < n && reason == REASON_OK;) {
        size_t piece = seed ? fuzz_piece(seed, n - i) : n - i;
        uint8_t *copy = fuzz_copy(p + i, piece);
        reason = flight_feed(f, offer, copy, piece, alert);
        free(copy);
        i += piece;
    }
    return reason;
}

static void check(const struct flight_offer *offer, const uint8_t *p, size_t n, uint32_t seed)
{
    struct flight whole, cut;
    int alert, cut_alert;
    enum reason reason = feed(&whole, offer, p, n, NULL, &alert);
    CHECK(reason < REASON_COUNT);
    CHECK(reason == feed(&cut, offer, p, n, &seed, &cut_alert));
    CHECK(alert == cut_alert);
    CHECK(reason != REASON_OK || alert == REASON_ALERT_NONE);
    CHECK(whole.version == cut.version && whole.suite == cut.suite && whole.group == cut.group);
    CHECK(whole.scheme == cut.scheme && whole.alert == cut.alert && whole.done == cut.done);
    CHECK(whole.has_hello == cut.has_hello && strcmp(whole.alpn, cut.alpn) == 0);
    CHECK(whole.has_certificate_request == cut.has_certificate_request);
    CHECK(whole.head_size <= FLIGHT_HEAD);
    for (unsigned closed = 0; closed < 2; closed++) {
        enum reason why = flight_explain(&whole, closed);
        CHECK(why > REASON_OK && why < REASON_COUNT);
        CHECK(reason_row(why)->leg == LEG_UPSTREAM);
        CHECK(why == flight_explain(&cut, closed));
    }
    CHECK(buf_size(&whole.request) <= FLIGHT_REQUEST_LIMIT);
    CHECK(reason != REASON_OK || buf_size(&whole.request) == buf_size(&cut.request));
    flight_fini(&whole);
    flight_fini(&cut);
    if (!offer || reason != REASON_OK || !whole.has_hello) return;
    const struct suite *s = suite_by_id(whole.suite);
    CHECK(whole.version == TLS_1_2 && s && offer->suites & suite_bit(s));
    CHECK(whole.secure_renegotiation);
    CHECK(!whole.group || group_allowed(whole.group));
    CHECK(!whole.alpn[0] || offer->alpn.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct flight_offer offer = {.suites = data[1]};
    if (data[1] & 1) offer.alpn = (struct span){(const uint8_t *)"\x02h2\x08http/1.1", 12};
    check(&offer, data + 2, size - 2, data[0]);
    check(NULL, data + 2, size - 2, data[0]);
    return 0;
}
