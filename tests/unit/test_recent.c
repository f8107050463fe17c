/* The latest attempts: bounded, newest first, escaped, from any thread. */
#include "helper.h"

#include "page/recent.h"

#include <jansson.h>
#include <pthread.h>

static struct recent_entry entry(unsigned i)
{
    struct recent_entry e = {.at = {1700000000 + i, 0},
                             .reason = REASON_OK,
                             .version = TLS_1_2,
                             .suite = 0xc02b,
                             .group = 0x001d,
                             .listener = "probe",
                             .offered = "up to TLS 1.2"};
    assert_true(addr_from_ip("192.0.2.7", (uint16_t)(1000 + i), &e.source));
    snprintf(e.connection_id, sizeof e.connection_id, "id-%u", i);
    return e;
}

static json_t *attempts(struct recent *r)
{
    struct text out = {0};
    recent_put_json(r, &out);
    json_t *all = json_loadb(text_string(&out), out.size, 0, NULL);
    json_t *list = json_incref(json_object_get(all, "attempts"));
    assert_true(json_is_array(list));
    json_decref(all);
    text_fini(&out);
    return list;
}

static const char *member(json_t *list, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(list, i), key));
}

static void assert_html_has(struct recent *r, const char *part, bool has)
{
    struct text out = {0};
    recent_put_html(r, &out);
    if (!strstr(text_string(&out), part) == has)
        fail_msg("%s %s", part, has ? "is missing" : "is there");
    text_fini(&out);
}

static void empty(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    json_t *list = attempts(r);
    assert_int_equal(json_array_size(list), 0);
    assert_html_has(r, "None yet.", true);
    assert_html_has(r, "<table>", false);
    json_decref(list);
    recent_free(r);
    recent_free(NULL);
}

static void newest_first_and_so_many(void **state)
{
    (void)state;
    static const unsigned counts[] = {1,
                                      2,
                                      RECENT_ENTRIES - 1,
                                      RECENT_ENTRIES,
                                      RECENT_ENTRIES + 1,
                                      RECENT_ENTRIES * 2,
                                      RECENT_ENTRIES * 2 + 37};
    for (size_t k = 0; k < N_OF(counts); k++) {
        struct recent *r = recent_new();
        for (unsigned i = 0; i < counts[k]; i++) {
            struct recent_entry e = entry(i);
            recent_add(r, &e);
        }
        size_t kept = counts[k] < RECENT_ENTRIES ? counts[k] : RECENT_ENTRIES;
        json_t *list = attempts(r);
        assert_int_equal(json_array_size(list), kept);
        for (size_t i = 0; i < kept; i++) {
            char id[32];
            snprintf(id, sizeof id, "id-%zu", counts[k] - 1 - i);
            assert_string_equal(member(list, i, "connection_id"), id);
        }
        json_decref(list);
        recent_free(r);
    }
}

static void who_passed(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    struct recent_entry e = entry(0);
    recent_add(r, &e);
    json_t *list = attempts(r);
    assert_string_equal(member(list, 0, "time"), "2023-11-14T22:13:20.000Z");
    assert_string_equal(member(list, 0, "ip"), "192.0.2.7");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "port")), 1000);
    assert_string_equal(member(list, 0, "listener"), "probe");
    assert_string_equal(member(list, 0, "version"), "TLS 1.2");
    assert_string_equal(member(list, 0, "cipher"), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    assert_string_equal(member(list, 0, "curve"), "x25519");
    assert_null(member(list, 0, "code"));
    assert_null(member(list, 0, "detail"));
    assert_true(json_is_true(json_object_get(json_array_get(list, 0), "passed")));
    assert_html_has(r, "<strong class=\"good\">passed</strong>", true);
    json_decref(list);
    recent_free(r);
}

/* Every code with its sentence and its remedy, on the page and as data. */
static void every_reason(void **state)
{
    (void)state;
    for (int reason = REASON_OK + 1; reason < REASON_COUNT; reason++) {
        const struct reason_row *row = reason_row((enum reason)reason);
        struct recent *r = recent_new();
        struct recent_entry e = entry(0);
        struct text escaped = {0};
        e.reason = (enum reason)reason;
        recent_add(r, &e);
        json_t *list = attempts(r);
        assert_string_equal(member(list, 0, "code"), row->code);
        assert_string_equal(member(list, 0, "sentence"), row->sentence);
        assert_string_equal(member(list, 0, "remedy"), row->remedy);
        assert_null(member(list, 0, "cipher"));
        assert_true(json_is_false(json_object_get(json_array_get(list, 0), "passed")));
        assert_html_has(r, row->code, true);
        text_add_html(&escaped, row->sentence);
        assert_html_has(r, text_string(&escaped), true);
        text_fini(&escaped);
        text_add_html(&escaped, row->remedy);
        assert_html_has(r, text_string(&escaped), true);
        assert_html_has(r, "passed", false);
        text_fini(&escaped);
        json_decref(list);
        recent_free(r);
    }
}

static void only_text(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    struct recent_entry e = entry(0);
    e.reason = REASON_CLIENT_NOT_TLS;
    snprintf(e.offered, sizeof e.offered, "<script>\"&");
    snprintf(e.detail, sizeof e.detail, "</td><b>");
    recent_add(r, &e);
    assert_html_has(r, "<script", false);
    assert_html_has(r, "<b>", false);
    assert_html_has(r, "&lt;script&gt;&quot;&amp;", true);
    assert_html_has(r, "&lt;/td&gt;&lt;b&gt;", true);
    json_t *list = attempts(r);
    assert_string_equal(member(list, 0, "offered"), "<script>\"&");
    assert_string_equal(member(list, 0, "detail"), "</td><b>");
    json_decref(list);
    recent_free(r);
}

/* Texts of full length, and no texts. */
static void longest_and_shortest(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    struct recent_entry e = entry(0);
    memset(e.offered, 'o', sizeof e.offered - 1);
    memset(e.detail, 'd', sizeof e.detail - 1);
    memset(e.listener, 'l', sizeof e.listener - 1);
    memset(e.connection_id, 'c', sizeof e.connection_id - 1);
    for (int i = 0; i < RECENT_ENTRIES; i++) recent_add(r, &e);
    json_t *list = attempts(r);
    assert_int_equal(strlen(member(list, 99, "offered")), RECENT_TEXT - 1);
    assert_int_equal(strlen(member(list, 99, "detail")), RECENT_TEXT - 1);
    json_decref(list);
    e.offered[0] = e.detail[0] = '\0';
    e.suite = e.group = 0;
    recent_add(r, &e);
    list = attempts(r);
    assert_null(member(list, 0, "offered"));
    assert_null(member(list, 0, "curve"));
    json_decref(list);
    recent_free(r);
}

enum { THREADS = 4, ADDS = 2000 };

static void *add_many(void *arg)
{
    for (unsigned i = 0; i < ADDS; i++) {
        struct recent_entry e = {.reason = REASON_CLIENT_NOT_TLS};
        snprintf(e.offered, sizeof e.offered, "same");
        snprintf(e.detail, sizeof e.detail, "same");
        recent_add(arg, &e);
    }
    return NULL;
}

static void from_any_thread(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, r), 0);
    for (int i = 0; i < 50; i++) {
        json_t *list = attempts(r);
        assert_in_range(json_array_size(list), 0, RECENT_ENTRIES);
        for (size_t k = 0; k < json_array_size(list); k++)
            assert_string_equal(member(list, k, "offered"), member(list, k, "detail"));
        json_decref(list);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    json_t *list = attempts(r);
    assert_int_equal(json_array_size(list), RECENT_ENTRIES);
    json_decref(list);
    recent_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),           cmocka_unit_test(newest_first_and_so_many),
        cmocka_unit_test(who_passed),      cmocka_unit_test(every_reason),
        cmocka_unit_test(only_text),       cmocka_unit_test(longest_and_shortest),
        cmocka_unit_test(from_any_thread),
    };
    return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
