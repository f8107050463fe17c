/* The dialogue before TLS: what the server sends, however it is cut up, and the next step. */
#include "helper.h"

#include "check/smtp.h"

/* All that the server sends at one step, in pieces; *left is what was not taken. */
static enum smtp_status say_bytes(struct smtp *s, const char *p, size_t n, size_t piece,
                                  size_t *left)
{
    enum smtp_status status = SMTP_MORE;
    size_t at = 0;
    while (at < n && status == SMTP_MORE) {
        size_t size = n - at < piece ? n - at : piece, used = 12345;
        uint8_t *copy = exact((const uint8_t *)p + at, size);
        status = smtp_feed(s, (const char *)copy, size, &used);
        free(copy);
        assert_true(used <= size);
        if (status == SMTP_MORE) assert_int_equal(used, size);
        at += used;
    }
    *left = n - at;
    return status;
}

static enum smtp_status say(struct smtp *s, const char *text, size_t piece)
{
    size_t left;
    enum smtp_status status = say_bytes(s, text, strlen(text), piece, &left);
    assert_int_equal(left, 0);
    return status;
}

static const size_t pieces[] = {1, 2, 3, 5, 7, 11, 100, 1000};

static void dialogue(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(pieces); i++) {
        struct smtp s = {0};
        size_t n = pieces[i];
        assert_int_equal(say(&s, "220-mail.example ESMTP\r\n220 ready\r\n", n), SMTP_SEND);
        assert_string_equal(smtp_command(&s), "EHLO suitegate.invalid\r\n");
        assert_int_equal(say(&s,
                             "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n"
                             "250-STARTTLS\r\n250 SMTPUTF8\r\n",
                             n),
                         SMTP_SEND);
        assert_string_equal(smtp_command(&s), "STARTTLS\r\n");
        assert_int_equal(say(&s, "220 2.0.0 Ready to start TLS\r\n", n), SMTP_READY);
        assert_string_equal(s.line, "220 2.0.0 Ready to start TLS");
    }
}

/* Cut in two anywhere. */
static void every_cut(void **state)
{
    (void)state;
    static const char greeting[] = "220-a\r\n220 b\r\n", ehlo[] = "250-a\r\n250 STARTTLS\r\n";
    for (size_t cut = 1; cut < sizeof ehlo - 1; cut++) {
        struct smtp s = {0};
        assert_int_equal(say(&s, greeting, cut), SMTP_SEND);
        assert_int_equal(say(&s, ehlo, cut), SMTP_SEND);
        assert_int_equal(say(&s, "220 go\r\n", cut), SMTP_READY);
    }
}

/* A reply's bytes are taken to its end and no further: bytes after the reply to STARTTLS were sent
 * in plaintext (CVE-2011-0411). */
static void leaves_the_rest(void **state)
{
    (void)state;
    struct smtp s = {0};
    size_t left;
    static const char greeting[] = "220 a\r\n250 STARTTLS\r\n",
                      last[] = "220 go\r\n250 injected\r\n";
    assert_int_equal(say_bytes(&s, greeting, sizeof greeting - 1, 100, &left), SMTP_SEND);
    assert_int_equal(left, strlen("250 STARTTLS\r\n"));
    assert_int_equal(say(&s, "250 STARTTLS\r\n", 100), SMTP_SEND);
    assert_int_equal(say_bytes(&s, last, sizeof last - 1, 100, &left), SMTP_READY);
    assert_int_equal(left, strlen("250 injected\r\n"));
}

static void greetings(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        enum smtp_status status;
    } rows[] = {
        {"220 mail.example\r\n", SMTP_SEND},
        {"220\r\n", SMTP_SEND},
        {"220 \r\n", SMTP_SEND},
        {"220 mail.example\n", SMTP_SEND}, /* a bare line feed */
        {"220 mail.example\r\r\n", SMTP_SEND},
        {"220-\r\n220-\r\n220 \r\n", SMTP_SEND},
        {"554 5.7.1 no service\r\n", SMTP_REFUSED},
        {"554-no\r\n554 service\r\n", SMTP_REFUSED},
        {"421 later\r\n", SMTP_REFUSED},
        {"354 go on\r\n", SMTP_REFUSED},
        {"000 \r\n", SMTP_REFUSED},
        {"220 mail", SMTP_MORE},
        {"220 mail\r", SMTP_MORE},
        {"220-mail\r\n", SMTP_MORE},
        {"\r\n", SMTP_MALFORMED},
        {"\n", SMTP_MALFORMED},
        {"2\r\n", SMTP_MALFORMED},
        {"22\r\n", SMTP_MALFORMED},
        {"22 0\r\n", SMTP_MALFORMED},
        {"2200 mail\r\n", SMTP_MALFORMED},
        {"220+mail\r\n", SMTP_MALFORMED},
        {" 220 mail\r\n", SMTP_MALFORMED},
        {"HTTP/1.1 400 Bad Request\r\n", SMTP_MALFORMED},
        {"* OK IMAP\r\n", SMTP_MALFORMED},
        {"+OK POP3\r\n", SMTP_MALFORMED},
        {"220-mail\r\nwhat\r\n", SMTP_MALFORMED},
        {"\xb2\xb2\xb0 mail\r\n", SMTP_MALFORMED},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        for (size_t k = 0; k < N_OF(pieces); k++) {
            struct smtp s = {0};
            enum smtp_status status = say(&s, rows[i].said, pieces[k]);
            if (status != rows[i].status) fail_msg("%s: %d", rows[i].said, (int)status);
        }
    }
}

static void ehlo_replies(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        enum smtp_status status;
    } rows[] = {
        {"250 STARTTLS\r\n", SMTP_SEND},
        {"250-a\r\n250 starttls\r\n", SMTP_SEND},
        {"250-a\r\n250-StartTLS \r\n250 HELP\r\n", SMTP_SEND},
        {"250-a\r\n250 STARTTLS REQUIRED\r\n", SMTP_SEND},
        {"250-a\r\n250 HELP\r\n", SMTP_WITHOUT},
        {"250\r\n", SMTP_WITHOUT},
        {"250-a\r\n250 STARTTLSX\r\n", SMTP_WITHOUT},
        {"250-a\r\n250 XSTARTTLS\r\n", SMTP_WITHOUT},
        {"250-a\r\n250 START\r\n", SMTP_WITHOUT},
        {"250-a\r\n250  STARTTLS\r\n", SMTP_WITHOUT},
        {"250-STARTTLS\r\n250-", SMTP_MORE},
        {"502 what\r\n", SMTP_REFUSED},
        {"550-STARTTLS\r\n550 no\r\n", SMTP_REFUSED},
        {"what\r\n", SMTP_MALFORMED},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        for (size_t k = 0; k < N_OF(pieces); k++) {
            struct smtp s = {0};
            assert_int_equal(say(&s, "220 a\r\n", 100), SMTP_SEND);
            enum smtp_status status = say(&s, rows[i].said, pieces[k]);
            if (status != rows[i].status) fail_msg("%s: %d", rows[i].said, (int)status);
        }
    }
    /* In the greeting it means nothing. */
    struct smtp s = {0};
    assert_int_equal(say(&s, "220-STARTTLS\r\n220 STARTTLS\r\n", 100), SMTP_SEND);
    assert_int_equal(say(&s, "250 HELP\r\n", 100), SMTP_WITHOUT);
}

static void starttls_replies(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        enum smtp_status status;
    } rows[] = {
        {"220 go\r\n", SMTP_READY},        {"220-go\r\n220 on\r\n", SMTP_READY},
        {"454 not now\r\n", SMTP_REFUSED}, {"501 no parameters\r\n", SMTP_REFUSED},
        {"554 refused\r\n", SMTP_REFUSED}, {"\x16\x03\x03\n", SMTP_MALFORMED},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct smtp s = {0};
        assert_int_equal(say(&s, "220 a\r\n", 100), SMTP_SEND);
        assert_int_equal(say(&s, "250 STARTTLS\r\n", 100), SMTP_SEND);
        assert_int_equal(say(&s, rows[i].said, 3), rows[i].status);
    }
}

/* A short line after a long one is judged by its own bytes only. */
static void lines_do_not_mix(void **state)
{
    (void)state;
    static const char *const said[] = {"25\r\n", "2\r\n", "\r\n", "250S\r\n"};
    for (size_t i = 0; i < N_OF(said); i++) {
        struct smtp s = {0};
        assert_int_equal(say(&s, "220 a\r\n", 100), SMTP_SEND);
        assert_int_equal(say(&s, "250-XXXXXXXX and more\r\n", 100), SMTP_MORE);
        assert_int_equal(say(&s, said[i], 100), SMTP_MALFORMED);
    }
    struct smtp s = {0};
    assert_int_equal(say(&s, "220 STARTTLS STARTTLS\r\n", 100), SMTP_SEND);
    assert_int_equal(say(&s, "250-\r\n250-S\r\n250 STAR\r\n", 100), SMTP_WITHOUT);
    assert_string_equal(s.line, "250 STAR");
}

static void nul_bytes(void **state)
{
    (void)state;
    struct smtp s = {0};
    size_t left;
    assert_int_equal(say(&s, "220 a\r\n", 100), SMTP_SEND);
    assert_int_equal(say_bytes(&s, "250 x\0STARTTLS\r\n", 16, 4, &left), SMTP_WITHOUT);
    s = (struct smtp){0};
    assert_int_equal(say_bytes(&s, "2\0000 x\r\n", 8, 100, &left), SMTP_MALFORMED);
}

/* Memory and the number of lines are bounded. */
static void limits(void **state)
{
    (void)state;
    static char line[SMTP_LINE + 8];
    for (size_t n = SMTP_LINE - 3; n <= SMTP_LINE + 2; n++) {
        struct smtp s = {0};
        size_t left;
        memset(line, 'x', sizeof line);
        memcpy(line, "220 ", 4);
        line[n] = '\n';
        enum smtp_status status = say_bytes(&s, line, n + 1, 7, &left);
        assert_int_equal(status, n < SMTP_LINE ? SMTP_SEND : SMTP_MALFORMED);
        if (status == SMTP_SEND) assert_int_equal(strlen(s.line), n);
    }
    struct smtp s = {0};
    for (unsigned i = 0; i < SMTP_LINES; i++) assert_int_equal(say(&s, "220-\r\n", 7), SMTP_MORE);
    assert_int_equal(say(&s, "220-\r\n", 7), SMTP_MALFORMED);
    /* The last line that counts may be the end. */
    s = (struct smtp){0};
    for (unsigned i = 1; i < SMTP_LINES; i++) assert_int_equal(say(&s, "220-\r\n", 7), SMTP_MORE);
    assert_int_equal(say(&s, "220 \r\n", 7), SMTP_SEND);
}

static void nothing(void **state)
{
    (void)state;
    struct smtp s = {0};
    size_t used = 1;
    assert_int_equal(smtp_feed(&s, "", 0, &used), SMTP_MORE);
    assert_int_equal(used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogue),         cmocka_unit_test(every_cut),
        cmocka_unit_test(leaves_the_rest),  cmocka_unit_test(greetings),
        cmocka_unit_test(ehlo_replies),     cmocka_unit_test(starttls_replies),
        cmocka_unit_test(lines_do_not_mix), cmocka_unit_test(nul_bytes),
        cmocka_unit_test(limits),           cmocka_unit_test(nothing),
    };
    return cmocka_run_group_tests_name("smtp", tests, NULL, NULL);
}
