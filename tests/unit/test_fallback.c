/* Which hello may be a client's retry with less, and which is another program. Tests set
 * the time: nothing waits. */
#include "helper.h"

#include "audit/fallback.h"
#include "policy/verdict.h"

static const int64_t second = 1000000000;
static struct fallback_memory *memory;

/* What a program offers: lists as hexadecimal text. */
struct program {
    const char *suites, *groups, *schemes, *versions, *alpn, *more;
};

/* As OpenSSL does: the same lists for every version, cut to what the version has. */
static const struct program usual = {.suites = "1301 1302 c02c c030 c02b c02f c024 c028 c009 00ff",
                                     .groups = "0a0a 001d 0017 0100",
                                     .schemes = "0403 0804 0401 0201",
                                     .versions = "0304 0303",
                                     .alpn = "02 6832",
                                     .more = "0017 0000 002d 0002 0101"};

static struct audit_offer described(const char *ip, const char *identity, uint16_t version,
                                    const struct program *p, bool failed)
{
    static struct blob message;
    struct hello h;
    uint8_t alert;
    struct audit_offer o = {.failed = failed, .port = 443, .listener = "front"};
    struct hello_spec s = {.version = version,
                           .suites = p->suites,
                           .versions = p->versions,
                           .groups = p->groups,
                           .schemes = p->schemes,
                           .alpn = p->alpn,
                           .more = p->more};
    blob_hello(&message, &s);
    assert_int_equal(hello_parse((struct span){message.p, message.n}, &h, &alert), HELLO_COMPLETE);
    fallback_describe(&h, verdict_offered(&h, 0xff), &o);
    assert_true(addr_from_ip(ip, 50000, &o.source));
    snprintf(o.identity, sizeof o.identity, "%s", identity);
    snprintf(o.host, sizeof o.host, "%s", identity);
    return o;
}

static struct audit_offer offer(const char *ip, const char *identity, uint16_t version, bool failed)
{
    struct program p = usual;
    p.versions = NULL;
    return described(ip, identity, version, &p, failed);
}

static bool notice(struct audit_offer o, int64_t seconds, struct audit_offer *before)
{
    struct audit_offer scratch;
    /* The port differs every time. */
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(&o.source, ip);
    assert_true(addr_from_ip(ip, (uint16_t)(1024 + seconds), &o.source));
    return fallback_notice(memory, &o, (1000 + seconds) * second, before ? before : &scratch);
}

#define A "192.0.2.1"

static const struct {
    const char *name;
    struct program with; /* members that are not NULL differ from the first attempt's */
    uint16_t version;    /* legacy_version; supported_versions goes with it unless `with` has one */
    bool less;
} second_hellos[] = {
    {"the same", {0}, 0x0303, false},
    {"the same with another GREASE and a padding",
     {.groups = "1a1a 001d 0017 0100", .more = "0017 0000 002d 0002 0101 0015 0001 00"},
     0x0303,
     false},
    {"TLS 1.2 and what OpenSSL leaves out with it",
     {.suites = "c02c c030 c02b c02f c024 c028 c009 00ff 5600",
      .groups = "001d 0017",
      .versions = "",
      .more = "0017 0000"},
     0x0303,
     true},
    {"TLS 1.0 and what OpenSSL leaves out with it",
     {.suites = "c009 00ff",
      .groups = "001d 0017",
      .schemes = "",
      .versions = "",
      .more = "0017 0000"},
     0x0301,
     true},
    {"fewer approved suites, all else the same",
     {.suites = "1301 1302 c02b c02f c024 c028 c009 00ff"},
     0x0303,
     true},
    {"fewer suites, but as many approved ones",
     {.suites = "1301 c02c c030 c02b c02f c024 c028"},
     0x0303,
     false},
    {"fewer approved suites and another list shorter", /* another configuration of the library */
     {.suites = "1301 1302 c02b c02f c024 c028 c009", .groups = "001d 0017"},
     0x0303,
     false},
    {"another order", {.suites = "c009 c02f c030 c02c", .versions = ""}, 0x0302, false},
    {"a suite that was not there", {.suites = "c02c 002f", .versions = ""}, 0x0302, false},
    {"other approved suites, as many",
     {.suites = "1301 1302 c02c c030 c02b c02f c023 c027"},
     0x0303,
     false},
    {"a group that was not there", {.groups = "001d 0018", .versions = ""}, 0x0302, false},
    {"groups in another order", {.groups = "0017 001d", .versions = ""}, 0x0302, false},
    {"a scheme that was not there", {.schemes = "0403 0603", .versions = ""}, 0x0302, false},
    {"an extension that was not there",
     {.more = "0017 0000 0016 0000", .versions = ""},
     0x0302,
     false},
    {"another ALPN", {.alpn = "08 687474702f312e31", .versions = ""}, 0x0302, false},
    {"no ALPN", {.alpn = "", .versions = ""}, 0x0302, false},
    {"a higher version and fewer suites",
     {.suites = "1301 c02c", .versions = "0305 0304"},
     0x0303,
     false},
};

/* One host has many programs: a hello that is not the first with things left out is another's. */
static void second_hello(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(second_hellos); i++) {
        for (unsigned failed = 0; failed < 2; failed++) {
            struct program p = second_hellos[i].with;
            struct audit_offer before = {0};
#define OTHERWISE(member) p.member = !p.member ? usual.member : *p.member ? p.member : NULL
            OTHERWISE(suites);
            OTHERWISE(groups);
            OTHERWISE(schemes);
            OTHERWISE(versions);
            OTHERWISE(alpn);
            OTHERWISE(more);
            memory = fallback_memory_new();
            assert_non_null(memory);
            assert_false(notice(described(A, "gate.example", 0x0303, &usual, true), 0, NULL));
            bool less = notice(described(A, "gate.example", second_hellos[i].version, &p, failed),
                               1, &before);
            if (less != second_hellos[i].less) fail_msg("%s", second_hellos[i].name);
            if (less) assert_int_equal(before.highest_version, 0x0304);
            fallback_memory_free(memory);
        }
    }
}

static const struct {
    const char *name, *ip, *identity, *host, *listener;
    uint16_t port;
    int64_t seconds; /* after the failed attempt */
    bool less;
} second_tries[] = {
    {"the same", A, "gate.example", "gate.example", "front", 443, 1, true},
    {"15 seconds later", A, "gate.example", "gate.example", "front", 443, 15, true},
    {"16 seconds later", A, "gate.example", "gate.example", "front", 443, 16, false},
    {"another address", "192.0.2.2", "gate.example", "gate.example", "front", 443, 1, false},
    {"the same address, mapped", "::ffff:192.0.2.1", "gate.example", "gate.example", "front", 443,
     1, true},
    {"another identity", A, "other.example", "gate.example", "front", 443, 1, false},
    {"another host", A, "gate.example", "192.0.2.80", "front", 443, 1, false},
    {"another port", A, "gate.example", "gate.example", "front", 8443, 1, false},
    {"another listener", A, "gate.example", "gate.example", "back", 443, 1, false},
};

static void second_try(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(second_tries); i++) {
        struct audit_offer o = offer(second_tries[i].ip, second_tries[i].identity, 0x0302, true);
        snprintf(o.host, sizeof o.host, "%s", second_tries[i].host);
        snprintf(o.listener, sizeof o.listener, "%s", second_tries[i].listener);
        o.port = second_tries[i].port;
        memory = fallback_memory_new();
        assert_non_null(memory);
        assert_false(notice(offer(A, "gate.example", 0x0303, true), 0, NULL));
        if (notice(o, second_tries[i].seconds, NULL) != second_tries[i].less)
            fail_msg("%s", second_tries[i].name);
        fallback_memory_free(memory);
    }
}

/* A hello with more than can be remembered is not compared. */
static void a_list_without_end(void **state)
{
    (void)state;
    static char many[5 * 500 + 1];
    struct program p = usual;
    for (size_t i = 0; i < 500; i++) snprintf(many + 5 * i, 6, "%04zx ", 0xc001 + i);
    p.suites = many;
    memory = fallback_memory_new();
    assert_non_null(memory);
    assert_false(notice(described(A, "gate.example", 0x0303, &p, true), 0, NULL));
    p.versions = NULL;
    assert_false(notice(described(A, "gate.example", 0x0302, &p, true), 1, NULL));
    fallback_memory_free(memory);
}

/* Only a failed attempt is remembered; a success removes it. */
static void only_after_a_failure(void **state)
{
    (void)state;
    memory = fallback_memory_new();
    assert_non_null(memory);
    assert_false(notice(offer(A, "gate.example", 0x0303, false), 0, NULL));
    assert_false(notice(offer(A, "gate.example", 0x0302, true), 1, NULL));
    assert_false(notice(offer(A, "gate.example", 0x0303, false), 2, NULL));
    assert_false(notice(offer(A, "gate.example", 0x0301, true), 3, NULL));
    fallback_memory_free(memory);
}

/* Each step down is reported. */
static void step_by_step(void **state)
{
    (void)state;
    struct audit_offer before;
    memory = fallback_memory_new();
    assert_non_null(memory);
    assert_false(notice(offer(A, "gate.example", 0x0303, true), 0, &before));
    assert_true(notice(offer(A, "gate.example", 0x0302, true), 1, &before));
    assert_int_equal(before.highest_version, 0x0303);
    assert_true(notice(offer(A, "gate.example", 0x0301, true), 2, &before));
    assert_int_equal(before.highest_version, 0x0302);
    assert_false(notice(offer(A, "gate.example", 0x0301, true), 3, &before));
    fallback_memory_free(memory);
}

/* 100,000 clients use no more memory and are not confused with each other. */
static void bounded(void **state)
{
    (void)state;
    memory = fallback_memory_new();
    assert_non_null(memory);
    for (unsigned i = 0; i < 100000; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        assert_false(notice(offer(ip, "gate.example", 0x0303, true), 1, NULL));
    }
    assert_false(notice(offer("10.1.134.159", "gate.example", 0x0303, true), 2, NULL));
    assert_true(notice(offer("10.1.134.159", "gate.example", 0x0302, true), 3, NULL));
    fallback_memory_free(memory);
    fallback_memory_free(NULL);
}

/* A source that tries many identities does not push out the attempts of others. */
static void one_source_has_its_share(void **state)
{
    (void)state;
    memory = fallback_memory_new();
    assert_non_null(memory);
    for (unsigned i = 0; i < 500; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.0.%u.%u", i >> 8, i & 255);
        assert_false(notice(offer(ip, "gate.example", 0x0303, true), 1, NULL));
    }
    for (unsigned i = 0; i < 50000; i++) {
        char identity[32];
        snprintf(identity, sizeof identity, "%u.example", i);
        assert_false(notice(offer("192.0.2.9", identity, 0x0303, true), 2, NULL));
    }
    unsigned known = 0;
    for (unsigned i = 0; i < 500; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.0.%u.%u", i >> 8, i & 255);
        known += notice(offer(ip, "gate.example", 0x0302, true), 3, NULL);
    }
    assert_in_range(known, 420, 500); /* less those that share a place */
    fallback_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_hello),
        cmocka_unit_test(second_try),
        cmocka_unit_test(a_list_without_end),
        cmocka_unit_test(only_after_a_failure),
        cmocka_unit_test(step_by_step),
        cmocka_unit_test(bounded),
        cmocka_unit_test(one_source_has_its_share),
    };
    return cmocka_run_group_tests_name("fallback", tests, NULL, NULL);
}
