/* Proxies' answers to CONNECT, each whole and byte by byte. */
#include "helper.h"

#include "policy/connect_answer.h"

static const struct {
    const char *text;
    unsigned status;
    const char *reason, *schemes;
} good[] = {
    {"HTTP/1.1 200 Connection established\r\n\r\n", 200, "Connection established", ""},
    {"HTTP/1.0 200 OK\r\nVia: 1.1 x\r\nContent-Length: 5\r\n\r\n", 200, "OK", ""},
    {"HTTP/1.1 200\r\n\r\n", 200, "", ""},
    {"HTTP/1.1 200 \r\n\r\n", 200, "", ""},
    {"HTTP/1.1 204 x\n\n", 204, "x", ""},
    {"HTTP/1.1 100 Continue\r\n\r\n", 100, "Continue", ""},
    {"HTTP/1.1 403 \x01tab\ttext\x7f\xe4!\r\n\r\n", 403, "tabtext!", ""},
    {"HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm=\"a\"\r\n\r\n", 407, "no", "Basic"},
    {"HTTP/1.1 407 no\r\nproxy-AUTHENTICATE:Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n", 407,
     "no", "Negotiate, NTLM"},
    {"HTTP/1.1 407 no\r\nProxy-Authenticate: Negotiate, Basic realm=\"a, Fake b\", charset=\"x\", "
     "Digest realm=\"a\\\"b\", nonce=abc==, qop=auth\r\n\r\n",
     407, "no", "Negotiate, Basic, Digest"},
    {"HTTP/1.1 407 no\r\nX-Proxy-Authenticate: Basic\r\nProxy-Authenticate:\r\n\r\n", 407, "no",
     ""},
    {"HTTP/1.1 407 no\r\nProxy-Authenticate: \"open\r\n\r\n", 407, "no", ""},
};

static const char *const bad[] = {
    "HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 99\r\n\r\n",
    "HTTP/1.1 099 x\r\n\r\n",
    "HTTP/1.1 600 x\r\n\r\n",
    "HTTP/1.x 200 OK\r\n\r\n",
    "HTTP/1.1\t200 OK\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
    "\x16\x03\x03",
    "SSH-2.0-x\r\n",
    "\x05\x00",
    "http/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 2x0 OK\r\n\r\n",
};

static enum connect_answer_status parse(const char *text, size_t n, size_t *used,
                                        struct connect_answer *out)
{
    uint8_t *part = exact((const uint8_t *)text, n);
    enum connect_answer_status status = connect_answer_parse(part, n, used, out);
    free(part);
    return status;
}

static void answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(good); i++) {
        struct connect_answer answer;
        char longer[512];
        size_t used = 0, size = strlen(good[i].text);
        for (size_t n = 0; n < size; n++)
            assert_int_equal(parse(good[i].text, n, &used, &answer), CONNECT_ANSWER_MORE);
        int n = snprintf(longer, sizeof longer, "%s\x16\x03", good[i].text);
        assert_int_equal(parse(longer, (size_t)n, &used, &answer), CONNECT_ANSWER_OK);
        assert_int_equal(used, size);
        assert_int_equal(answer.status, good[i].status);
        assert_string_equal(answer.reason, good[i].reason);
        assert_string_equal(answer.schemes, good[i].schemes);
    }
}

static void nonsense(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++) {
        struct connect_answer answer;
        size_t used = 0;
        assert_int_equal(parse(bad[i], strlen(bad[i]), &used, &answer), CONNECT_ANSWER_BAD);
    }
    struct connect_answer answer;
    size_t used;
    assert_int_equal(parse("HTTP/1.1 200 a\0b\r\n\r\n", 20, &used, &answer), CONNECT_ANSWER_BAD);
}

static void limits(void **state)
{
    (void)state;
    static char endless[CONNECT_ANSWER_LIMIT + 1];
    struct connect_answer answer;
    size_t used;
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "HTTP/1.1 200 ", 13);
    assert_int_equal(parse(endless, CONNECT_ANSWER_LIMIT - 1, &used, &answer), CONNECT_ANSWER_MORE);
    assert_int_equal(parse(endless, CONNECT_ANSWER_LIMIT, &used, &answer), CONNECT_ANSWER_BAD);
    memcpy(endless + CONNECT_ANSWER_LIMIT - 4, "\r\n\r\n", 4);
    assert_int_equal(parse(endless, CONNECT_ANSWER_LIMIT, &used, &answer), CONNECT_ANSWER_OK);
    assert_int_equal(strlen(answer.reason), sizeof answer.reason - 1);
    memcpy(endless + CONNECT_ANSWER_LIMIT - 4, "xxx\n\n", 5);
    assert_int_equal(parse(endless, sizeof endless, &used, &answer), CONNECT_ANSWER_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
