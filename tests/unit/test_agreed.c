/* The check after each handshake: one row per way to leave the policy. */
#include "helper.h"

#include "policy/agreed.h"

enum { ECDSA_GCM = 0xc02b, RSA_CBC = 0xc027, RSA_KEY_EXCHANGE = 0x009c };
enum { TLS13_SUITE = 0x1301, P224 = 21, P256 = 23, X25519 = 29 };

#define FULL(version_, suite_, group_, alpn_)                                      \
    {                                                                              \
        .version = (version_), .suite = (suite_), .group = (group_), .alpn = alpn_ \
    }
#define RESUMED(version_, suite_, alpn_)                                         \
    {                                                                            \
        .version = (version_), .suite = (suite_), .resumed = true, .alpn = alpn_ \
    }

static const struct agreed good = {.version = TLS_1_2, .suite = ECDSA_GCM, .group = X25519};

static void what_is_allowed(void **state)
{
    (void)state;
    suite_set all = policy_profile_suites(PROFILE_2021);
    suite_set narrowed = (suite_set)(all & ~suite_bit(suite_by_id(ECDSA_GCM)));
    static const struct {
        const char *what;
        struct agreed agreed;
        bool allowed;
    } table[] = {
        {"as it should be", FULL(TLS_1_2, ECDSA_GCM, X25519, "h2"), true},
        {"CBC without HTTP/2", FULL(TLS_1_2, RSA_CBC, P256, "http/1.1"), true},
        {"resumed: no group is negotiated", RESUMED(TLS_1_2, ECDSA_GCM, ""), true},
        {"an older version", FULL(TLS_1_1, ECDSA_GCM, X25519, ""), false},
        {"a newer version", FULL(TLS_1_3, ECDSA_GCM, X25519, ""), false},
        {"no version", FULL(0, ECDSA_GCM, X25519, ""), false},
        {"a suite that is none of them", FULL(TLS_1_2, RSA_KEY_EXCHANGE, X25519, ""), false},
        {"a suite of TLS 1.3", FULL(TLS_1_2, TLS13_SUITE, X25519, ""), false},
        {"no suite", FULL(TLS_1_2, 0, X25519, ""), false},
        {"another group", FULL(TLS_1_2, ECDSA_GCM, P224, ""), false},
        {"no group in a full handshake", FULL(TLS_1_2, ECDSA_GCM, 0, ""), false},
        {"resumed with an older version", RESUMED(TLS_1_1, ECDSA_GCM, ""), false},
        {"resumed with another suite", RESUMED(TLS_1_2, RSA_KEY_EXCHANGE, ""), false},
        {"HTTP/2 with CBC", FULL(TLS_1_2, RSA_CBC, P256, "h2"), false},
        {"HTTP/2 with CBC, resumed", RESUMED(TLS_1_2, RSA_CBC, "h2"), false},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        if (agreed_is_allowed(&table[i].agreed, all, true) != table[i].allowed)
            fail_msg("%s", table[i].what);
        assert_false(agreed_is_allowed(&table[i].agreed, all, false));
        assert_false(agreed_is_allowed(&table[i].agreed, 0, true));
        bool left_out = table[i].agreed.suite == ECDSA_GCM;
        assert_int_equal(agreed_is_allowed(&table[i].agreed, narrowed, true),
                         table[i].allowed && !left_out);
    }
}

/* Every suite by itself, in a set of one: it and no other. */
static void each_suite_in_each_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        for (size_t k = 0; k < SUITE_COUNT; k++) {
            struct agreed a = good;
            a.suite = suites[i].id;
            assert_int_equal(agreed_is_allowed(&a, suite_bit(&suites[k]), true), i == k);
        }
    }
}

static void every_group(void **state)
{
    (void)state;
    for (unsigned id = 0; id <= 0xffff; id++) {
        struct agreed a = good;
        a.group = (uint16_t)id;
        bool known = false;
        for (size_t i = 0; i < GROUP_COUNT; i++) known = known || group_at(i) == id;
        assert_int_equal(agreed_is_allowed(&a, suite_bit(suite_by_id(a.suite)), true), known);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_allowed),
        cmocka_unit_test(each_suite_in_each_set),
        cmocka_unit_test(every_group),
    };
    return cmocka_run_group_tests_name("agreed", tests, NULL, NULL);
}
