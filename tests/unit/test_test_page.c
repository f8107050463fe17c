/* A test listener's answers: any bytes in, one HTTP response out. */
#include "helper.h"

#include "page/request.h"
#include "page/test_page.h"

#include <jansson.h>

static struct blob message;
static struct hello hello;
static struct test_page_facts facts;
static struct recent *recent;

#define HTML "Accept: application/xml, text/html;q=0.9\r\n"

struct response {
    struct text text;
    unsigned status;
    const char *type, *body;
    size_t body_size, length; /* length: as its header says */
};

static struct response answer_bytes(const void *p, size_t n)
{
    struct response r = {0};
    uint8_t *request = exact(p, n);
    test_page_render(&facts, request, n, &r.text);
    free(request);
    const char *all = text_string(&r.text), *length = strstr(all, "\r\nContent-Length: ");
    const char *end = strstr(all, "\r\n\r\n");
    assert_memory_equal(all, "HTTP/1.1 ", 9);
    assert_non_null(end);
    assert_non_null(length);
    assert_true(length < end && strstr(all, "\r\nConnection: close\r\n") < end);
    r.status = (unsigned)strtoul(all + 9, NULL, 10);
    r.type = strstr(all, "\r\nContent-Type: ") + 16;
    r.length = strtoul(length + 18, NULL, 10);
    r.body = end + 4;
    r.body_size = r.text.size - (size_t)(r.body - all);
    return r;
}

static struct response answer(const char *request)
{
    return answer_bytes(request, strlen(request));
}

static void from(const char *ip)
{
    assert_true(addr_from_ip(ip, 4711, &facts.peer));
    facts.is_of_this_machine = addr_is_loopback(&facts.peer);
}

static void begins(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool begins;
    } table[] = {
        {"", true},           {"G", true},
        {"GET", true},        {"GET ", true},
        {"GET /", true},      {"OPTIONS *", true},
        {"PROPFIND /", true}, {" GET", false},
        {"\r\n", false},      {"get /", false},
        {"GET/", false},      {"G /", false},
        {"\x16\x03", false},  {"ABCDEFGHIJKLMNOPQRSTUVWXYZ", false},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        uint8_t *p = exact((const uint8_t *)table[i].bytes, strlen(table[i].bytes));
        if (request_begins(p, strlen(table[i].bytes)) != table[i].begins)
            fail_msg("\"%s\"", table[i].bytes);
        free(p);
    }
}

static void whole(void **state)
{
    (void)state;
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t n = 0; n < sizeof request; n++) {
        uint8_t *p = exact((const uint8_t *)request, n);
        assert_int_equal(request_is_whole(p, n), n >= sizeof request - 1);
        assert_true(request_begins(p, n));
        free(p);
    }
    assert_true(request_is_whole((const uint8_t *)"GET / HTTP/1.0\n\n", 16));
}

static void wants_html(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        bool wants;
    } table[] = {
        {"GET / HTTP/1.1\r\nAccept: text/html\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nACCEPT:*/*,TEXT/HTML\r\n\r\n", true},
        {"GET / HTTP/1.1\nAccept: text/html\n\n", true},
        {"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nAccept: */*\r\nX: text/html\r\n\r\n", false},
        {"GET /?accept:text/html HTTP/1.1\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nX-Accept: text/html\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nAccept: text/html", false},
        {"GET / HTTP/1.1\r\n\r\n", false},
        {"", false},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        uint8_t *p = exact((const uint8_t *)table[i].request, strlen(table[i].request));
        if (request_wants_html(p, strlen(table[i].request)) != table[i].wants)
            fail_msg("%s", table[i].request);
        free(p);
    }
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *data, *page; /* a part of each */
    } table[] = {
        {"/", "This client passes", "This client passes"},
        {"/?a=b", "This client passes", "This client passes"},
        {"/json", "\"verdict\":\"passed\"", "\"verdict\":\"passed\""},
        {"/json?x", "\"verdict\":\"passed\"", "\"verdict\":\"passed\""},
        {"/health", "\"status\":\"ok\"", "\"status\":\"ok\""},
        {"/recent", "{\"attempts\":[]}", "None yet."},
        {"/recent?", "{\"attempts\":[]}", "None yet."},
        {"/recent/", "\"verdict\":\"passed\"", "This client passes"},
        {"/api/data/v9.2/", "\"verdict\":\"passed\"", "This client passes"},
        {"*", "\"verdict\":\"passed\"", "This client passes"},
        {"", "\"verdict\":\"passed\"", "This client passes"},
    };
    from("127.0.0.1");
    for (size_t i = 0; i < N_OF(table); i++)
        for (int html = 0; html < 2; html++) {
            char request[256];
            const char *part = html ? table[i].page : table[i].data;
            snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n%s\r\n", table[i].path,
                     html ? HTML : "");
            struct response r = answer(request);
            assert_int_equal(r.status, 200);
            assert_int_equal(r.length, r.body_size);
            if (!strstr(r.body, part)) fail_msg("%s: no %s in %s", request, part, r.body);
            bool page = strncmp(r.type, "text/html; charset=utf-8\r\n", 26) == 0;
            assert_int_equal(page, strstr(r.body, "<!doctype html>") == r.body);
            json_t *data = page ? NULL : json_loadb(r.body, r.body_size, 0, NULL);
            if (!page) assert_non_null(data);
            json_decref(data);
            text_fini(&r.text);
        }
}

/* /recent names other clients: only a client on this machine may see it. */
static void recent_is_for_loopback(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        unsigned status;
    } table[] = {
        {"127.0.0.1", 200},        {"127.9.8.7", 200},        {"::1", 200},
        {"::ffff:127.0.0.1", 200}, {"192.0.2.1", 403},        {"10.0.0.1", 403},
        {"0.0.0.0", 403},          {"128.0.0.1", 403},        {"::", 403},
        {"2001:db8::1", 403},      {"::ffff:192.0.2.1", 403}, {"fe80::1", 403},
    };
    struct recent_entry e = {.reason = REASON_CLIENT_NOT_TLS, .connection_id = "somebody-else"};
    facts.recent = recent_new();
    recent_add(facts.recent, &e);
    for (size_t i = 0; i < N_OF(table); i++) {
        bool here = table[i].status == 200;
        from(table[i].ip);
        for (int k = 0; k < 3; k++) {
            static const char *const requests[] = {"GET /recent HTTP/1.1\r\n\r\n",
                                                   "GET /recent?x HTTP/1.1\r\n" HTML "\r\n",
                                                   "POST /recent HTTP/1.0\r\n" HTML "\r\n"};
            struct response r = answer(requests[k]);
            if (r.status != table[i].status) fail_msg("%s: %u", table[i].ip, r.status);
            assert_int_equal(strstr(r.body, "somebody-else") != NULL, here);
            text_fini(&r.text);
        }
        /* The page does not offer it either. */
        struct response r = answer("GET / HTTP/1.1\r\n\r\n");
        assert_int_equal(strstr(r.body, "href=\"/recent\"") != NULL, here);
        text_fini(&r.text);
    }
    recent_free(facts.recent);
    facts.recent = recent;
}

static void head_only(void **state)
{
    (void)state;
    static const char *const tails[] = {" / HTTP/1.1\r\n\r\n", " /json HTTP/1.0\r\n\r\n",
                                        " /recent HTTP/1.1\r\n" HTML "\r\n",
                                        " /health HTTP/1.1\r\n\r\n"};
    from("::1");
    for (size_t i = 0; i < N_OF(tails); i++) {
        char request[256];
        snprintf(request, sizeof request, "GET%s", tails[i]);
        struct response full = answer(request);
        snprintf(request, sizeof request, "HEAD%s", tails[i]);
        struct response head = answer(request);
        assert_int_equal(head.body_size, 0);
        assert_int_equal(head.length, full.length);
        assert_int_equal(head.status, full.status);
        text_fini(&full.text);
        text_fini(&head.text);
    }
}

static void only_text(void **state)
{
    (void)state;
    from("127.0.0.1");
    snprintf(hello.server_name, sizeof hello.server_name, "</td><script>\"&'");
    struct response r = answer("GET / HTTP/1.1\r\n\r\n");
    assert_null(strstr(r.body, "<script"));
    assert_non_null(strstr(r.body, "&lt;/td&gt;&lt;script&gt;&quot;&amp;'"));
    text_fini(&r.text);
    r = answer("GET /json HTTP/1.1\r\n\r\n");
    json_t *data = json_loadb(r.body, r.body_size, 0, NULL);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(data, "offered"), "server_name")),
        "</td><script>\"&'");
    json_decref(data);
    text_fini(&r.text);
    hello.server_name[0] = '\0';
}

/* For any input, whole or in part: one well-formed response. */
static void any_bytes(void **state)
{
    (void)state;
    static const char seed[] = "HEAD /recent?x=%00 HTTP/1.1\r\nAccept: text/html\r\n\r\n";
    from("127.0.0.1");
    for (size_t n = 0; n < sizeof seed; n++)
        for (unsigned c = 0; c < 256; c += 15) {
            char copy[sizeof seed];
            memcpy(copy, seed, n);
            if (n) copy[n - 1] = (char)c;
            struct response r = answer_bytes(copy, n);
            assert_int_equal(r.status, 200);
            text_fini(&r.text);
        }
    static char large[16384];
    for (int c = 0; c < 256; c += 51) {
        memset(large, c, sizeof large);
        struct response r = answer_bytes(large, sizeof large);
        assert_int_equal(r.status, 200);
        text_fini(&r.text);
    }
}

static json_t *json_of_hello(void)
{
    struct response r = answer("GET /json HTTP/1.1\r\n\r\n");
    json_t *data = json_loadb(r.body, r.body_size, 0, NULL);
    text_fini(&r.text);
    assert_non_null(data);
    return data;
}

static void what_was_chosen(void **state)
{
    (void)state;
    from("127.0.0.1");
    json_t *data = json_of_hello(), *chosen = json_object_get(data, "chosen");
    assert_string_equal(json_string_value(json_object_get(data, "connection_id")), "id-1");
    assert_string_equal(json_string_value(json_object_get(chosen, "cipher")),
                        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    assert_string_equal(json_string_value(json_object_get(chosen, "curve")), "secp256r1");
    assert_string_equal(json_string_value(json_object_get(chosen, "certificate")), "rsa");
    assert_true(json_is_false(json_object_get(chosen, "resumed")));
    assert_null(json_object_get(chosen, "next_protocol"));
    assert_true(json_is_true(json_object_get(data, "offers_weaker")));
    json_decref(data);

    facts.agreed.resumed = true;
    facts.agreed.group = 0;
    snprintf(facts.agreed.alpn, sizeof facts.agreed.alpn, "http/1.1");
    data = json_of_hello();
    chosen = json_object_get(data, "chosen");
    assert_null(json_object_get(chosen, "curve"));
    assert_true(json_is_true(json_object_get(chosen, "resumed")));
    assert_string_equal(json_string_value(json_object_get(chosen, "next_protocol")), "http/1.1");
    json_decref(data);
    facts.agreed.resumed = false;
    facts.agreed.group = 0x0017;
    facts.agreed.alpn[0] = '\0';
}

static int set_up(void **state)
{
    (void)state;
    uint8_t alert;
    struct hello_spec spec = {.version = TLS_1_2,
                              .suites = "c02f 002f",
                              .groups = "0017",
                              .schemes = "0401",
                              .alpn = "02 6832"};
    blob_hello(&message, &spec);
    if (hello_parse((struct span){message.p, message.n}, &hello, &alert) != HELLO_COMPLETE)
        return 1;
    recent = recent_new();
    facts =
        (struct test_page_facts){.hello = &hello,
                                 .ja4 = "t12i020500_000000000000_000000000000",
                                 .allowed = policy_profile_suites(PROFILE_2021),
                                 .key = KEY_RSA,
                                 .agreed = {.version = TLS_1_2, .suite = 0xc02f, .group = 0x0017},
                                 .listener = "probe",
                                 .connection_id = "id-1",
                                 .recent = recent};
    return recent ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    recent_free(recent);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins),
        cmocka_unit_test(whole),
        cmocka_unit_test(wants_html),
        cmocka_unit_test(paths),
        cmocka_unit_test(recent_is_for_loopback),
        cmocka_unit_test(head_only),
        cmocka_unit_test(only_text),
        cmocka_unit_test(any_bytes),
        cmocka_unit_test(what_was_chosen),
    };
    return cmocka_run_group_tests_name("answer", tests, set_up, tear_down);
}
