/* What is said of an answer that was only observed. The client offers all that the proxy would,
 * and the server answers well, but for what a test changes. */
#include "helper.h"

#include "policy/outlook.h"
#include "policy/wire.h"

enum { ECDSA_GCM = 0xc02b, RSA_KEY_EXCHANGE = 0x009c, X25519 = 29, P224 = 21 };
enum { ECDSA_SHA256 = 0x0403, ECDSA_SHA1 = 0x0203, UNKNOWN_SCHEME = 0xfefe };

static suite_set all(void)
{
    return policy_profile_suites(PROFILE_2021);
}

static struct hello full_hello(void)
{
    static const uint8_t renegotiation[] = {0xff, 1, 0, 1, 0};
    static uint8_t ids[2 * SUITE_COUNT], groups[64];
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        ids[2 * i] = (uint8_t)(suites[i].id >> 8);
        ids[2 * i + 1] = (uint8_t)suites[i].id;
    }
    assert_true(2 * GROUP_COUNT <= sizeof groups);
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        groups[2 * i] = (uint8_t)(group_at(i) >> 8);
        groups[2 * i + 1] = (uint8_t)group_at(i);
    }
    return (struct hello){.cipher_suites = {ids, sizeof ids},
                          .groups = {groups, 2 * GROUP_COUNT},
                          .extensions = {renegotiation, sizeof renegotiation},
                          .has_renegotiation = true};
}

static struct reply good_reply(void)
{
    return (struct reply){.kind = REPLY_HELLO,
                          .done = true,
                          .alert = -1,
                          .version = TLS_1_2,
                          .suite = ECDSA_GCM,
                          .group = X25519,
                          .scheme = ECDSA_SHA256,
                          .secure_renegotiation = true,
                          .extensions = {EXTENSION_RENEGOTIATION},
                          .extension_count = 1,
                          .certificate_count = 1};
}

static struct reply alert_reply(int alert)
{
    return (struct reply){.kind = REPLY_ALERT,
                          .done = true,
                          .alert = alert,
                          .records.header = {RECORD_ALERT, 3, 3, 0, 2}};
}

static struct outlook of(struct hello h, struct reply r, bool same_name)
{
    return outlook_of_reply(&h, all(), &r, REASON_OK, same_name);
}

static void assert_refused(struct reply r, enum reason reason)
{
    struct outlook o = of(full_hello(), r, true);
    assert_int_equal(o.kind, OUTLOOK_REFUSE);
    assert_int_equal(o.reason, reason);
}

static void assert_unknown(struct reply r)
{
    struct outlook o = of(full_hello(), r, true);
    assert_int_equal(o.kind, OUTLOOK_UNKNOWN);
    assert_non_null(o.why);
}

static void a_good_answer_passes(void **state)
{
    (void)state;
    assert_int_equal(of(full_hello(), good_reply(), true).kind, OUTLOOK_PASS);
    assert_int_equal(of(full_hello(), good_reply(), false).kind, OUTLOOK_UNKNOWN);
}

/* The proxy would not have offered it, so the server might have chosen otherwise. */
static void a_choice_that_the_proxy_would_not_offer(void **state)
{
    (void)state;
    struct reply r = good_reply();
    r.suite = RSA_KEY_EXCHANGE;
    r.group = r.scheme = 0;
    assert_unknown(r);
    r = good_reply();
    r.group = P224;
    assert_unknown(r);
    r = good_reply();
    r.scheme = ECDSA_SHA1;
    assert_unknown(r);
    r.scheme = UNKNOWN_SCHEME;
    assert_unknown(r);

    struct hello h = full_hello();
    suite_set fewer = (suite_set)(all() & ~suite_bit(suite_by_id(ECDSA_GCM)));
    r = good_reply();
    assert_int_equal(outlook_of_reply(&h, fewer, &r, REASON_OK, true).kind, OUTLOOK_UNKNOWN);
}

static void what_is_wrong_whatever_the_offer(void **state)
{
    (void)state;
    struct reply r = good_reply();
    r.compression = 1;
    assert_refused(r, REASON_UPSTREAM_SUITE_NOT_OFFERED);
    r = good_reply();
    r.extensions[r.extension_count++] = 0x1234;
    assert_refused(r, REASON_UPSTREAM_SUITE_NOT_OFFERED);
    r = good_reply();
    r.secure_renegotiation = false;
    assert_refused(r, REASON_UPSTREAM_NO_SECURE_RENEGOTIATION);
    r = good_reply();
    r.downgraded = true;
    assert_refused(r, REASON_UPSTREAM_DOWNGRADE_MARKER);
    r = good_reply();
    r.version = TLS_1_1;
    assert_refused(r, REASON_UPSTREAM_PROTOCOL_TOO_OLD);
    r = good_reply();
    r.chain_cut = true;
    assert_refused(r, REASON_UPSTREAM_CERTIFICATE_INVALID);
    r = good_reply();
    r.group = 0;
    assert_refused(r, REASON_UPSTREAM_HANDSHAKE_FAILED);
    r = good_reply();
    r.done = false;
    assert_refused(r, REASON_UPSTREAM_CLOSED_HANDSHAKE);
    r.alert = ALERT_HANDSHAKE_FAILURE;
    assert_refused(r, REASON_UPSTREAM_HANDSHAKE_FAILED);
    r.certificate_request = true;
    assert_refused(r, REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE);
}

static void what_the_answer_does_not_show(void **state)
{
    (void)state;
    struct reply r = good_reply();
    r.version = TLS_1_3;
    assert_unknown(r);
    r = good_reply();
    r.certificate_count = 0;
    assert_unknown(r);
    r = good_reply();
    r.certificate_request = true;
    assert_unknown(r);

    struct hello h = full_hello(); /* it did not ask for secure renegotiation */
    h.has_renegotiation = false;
    h.extensions.n = 0;
    r = good_reply();
    r.secure_renegotiation = false;
    r.extension_count = 0;
    assert_int_equal(of(h, r, true).kind, OUTLOOK_UNKNOWN);
}

static void the_certificate(void **state)
{
    (void)state;
    struct hello h = full_hello();
    struct reply r = good_reply();
    assert_true(outlook_needs_certificate(&r));
    struct outlook o = outlook_of_reply(&h, all(), &r, REASON_UPSTREAM_CERTIFICATE_EXPIRED, true);
    assert_int_equal(o.kind, OUTLOOK_REFUSE);
    assert_int_equal(o.reason, REASON_UPSTREAM_CERTIFICATE_EXPIRED);
    r.version = TLS_1_1;
    assert_false(outlook_needs_certificate(&r));
    r.version = TLS_1_3;
    assert_false(outlook_needs_certificate(&r));
    r = good_reply();
    r.certificate_count = 0;
    assert_false(outlook_needs_certificate(&r));
    r = good_reply();
    r.kind = REPLY_MALFORMED;
    assert_false(outlook_needs_certificate(&r));
}

/* Of a server that would refuse the proxy as well. */
static void a_refusal_of_the_whole_offer(void **state)
{
    (void)state;
    struct reply nothing = {.kind = REPLY_NONE, .alert = -1};
    struct reply old = alert_reply(ALERT_HANDSHAKE_FAILURE);
    old.records.header[2] = 1;
    assert_refused(alert_reply(ALERT_HANDSHAKE_FAILURE), REASON_UPSTREAM_NO_APPROVED_SUITE);
    assert_refused(alert_reply(ALERT_INSUFFICIENT_SECURITY), REASON_UPSTREAM_NO_APPROVED_SUITE);
    assert_refused(alert_reply(ALERT_INTERNAL_ERROR), REASON_UPSTREAM_HANDSHAKE_FAILED);
    assert_refused(alert_reply(ALERT_PROTOCOL_VERSION), REASON_UPSTREAM_PROTOCOL_REFUSED);
    assert_refused(old, REASON_UPSTREAM_PROTOCOL_TOO_OLD);
    assert_refused(nothing, REASON_UPSTREAM_CLOSED_HANDSHAKE);
}

/* It might take the proxy's: unless the version shows that it would not. */
static void a_refusal_of_another_offer(void **state)
{
    (void)state;
    struct reply nothing = {.kind = REPLY_NONE, .alert = -1};
    struct reply failure = alert_reply(ALERT_HANDSHAKE_FAILURE);
    struct hello fewer_suites = full_hello(), fewer_groups = full_hello();
    fewer_suites.cipher_suites.n -= 2;
    fewer_groups.groups.n -= 2;
    const struct {
        struct hello h;
        bool same_name;
    } offers[] = {{fewer_suites, true}, {fewer_groups, true}, {full_hello(), false}};
    for (size_t i = 0; i < N_OF(offers); i++) {
        bool same = offers[i].same_name;
        assert_int_equal(of(offers[i].h, nothing, same).kind, OUTLOOK_UNKNOWN);
        assert_int_equal(of(offers[i].h, failure, same).kind, OUTLOOK_UNKNOWN);
        struct outlook o = of(offers[i].h, alert_reply(ALERT_PROTOCOL_VERSION), same);
        assert_int_equal(o.reason, REASON_UPSTREAM_PROTOCOL_REFUSED);
    }
}

static void what_is_no_answer_of_tls(void **state)
{
    (void)state;
    struct reply r = good_reply();
    r.kind = REPLY_NOT_TLS;
    assert_refused(r, REASON_UPSTREAM_NOT_TLS);
    r.kind = REPLY_SSLV2;
    assert_refused(r, REASON_UPSTREAM_NOT_TLS);
    r.kind = REPLY_MALFORMED;
    assert_refused(r, REASON_UPSTREAM_HANDSHAKE_FAILED);
    r.kind = REPLY_TOO_LARGE;
    assert_refused(r, REASON_UPSTREAM_HANDSHAKE_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_answer_passes),
        cmocka_unit_test(a_choice_that_the_proxy_would_not_offer),
        cmocka_unit_test(what_is_wrong_whatever_the_offer),
        cmocka_unit_test(what_the_answer_does_not_show),
        cmocka_unit_test(the_certificate),
        cmocka_unit_test(a_refusal_of_the_whole_offer),
        cmocka_unit_test(a_refusal_of_another_offer),
        cmocka_unit_test(what_is_no_answer_of_tls),
    };
    return cmocka_run_group_tests_name("outlook", tests, NULL, NULL);
}
