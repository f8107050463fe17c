/* CONNECT requests and destination patterns, as tables good[] and bad[]. */
#include "helper.h"

#include "policy/target.h"

static const struct {
    const char *text, *host;
    uint16_t port;
    bool is_ip;
} good_targets[] = {
    {"gate.example:443", "gate.example", 443, false},
    {"GATE.Example:443", "gate.example", 443, false},
    {"gate.example.:443", "gate.example", 443, false},
    {"localhost:1", "localhost", 1, false},
    {"a_b.example:65535", "a_b.example", 65535, false},
    {"xn--bcher-kva.example:8443", "xn--bcher-kva.example", 8443, false},
    {"203.0.113.7:443", "203.0.113.7", 443, true},
    {"[2001:db8::1]:443", "2001:db8::1", 443, true},
    {"[::]:80", "::", 80, true},
    {"[::ffff:203.0.113.7]:80", "::ffff:203.0.113.7", 80, true},
    {"gate.example:00443", "gate.example", 443, false},
};

static const char *const bad_targets[] = {
    "",
    ":",
    ":443",
    "gate.example",
    "gate.example:",
    "gate.example:0",
    "gate.example:65536",
    "gate.example:-1",
    "gate.example:+443",
    "gate.example: 443",
    "gate.example:443 ",
    "gate.example:4 43",
    "gate.example:443x",
    "gate.example:0x1bb",
    "gate.example:99999999999",
    "gate.example:443/",
    "user@gate.example:443",
    "user:pass@gate.example:443",
    "https://gate.example:443",
    "//gate.example:443",
    "gate.example/:443",
    ".gate.example:443",
    "gate..example:443",
    "gate.example..:443",
    "-gate.example:443",
    "ga te.example:443",
    "*.example:443",
    "*:443",
    "[gate.example]:443",
    "[203.0.113.7]:443",
    "2001:db8::1:443",
    "::1:443",
    "[::1]443",
    "[::1]",
    "[::1",
    "::1]:443",
    "[]:443",
    "[::1%lo]:443",
    "[:::1]:443",
    "203.0.113.256:443",
    "203.0.113:443",
    "1.2.3.4.5:443",
    "12345:443",
    "0x7f.1:443",
    "gate.example:443:443",
    "g\xc3\xa4te.example:443",
    "gate.example?:443",
    "gate.example#a:443",
    "gate%2eexample:443",
    ".:443",
};

static void targets(void **state)
{
    (void)state;
    struct target t;
    for (size_t i = 0; i < N_OF(good_targets); i++) {
        const char *s = good_targets[i].text;
        if (!target_from_text(s, strlen(s), &t)) fail_msg("%s is refused", s);
        assert_string_equal(t.host, good_targets[i].host);
        assert_int_equal(t.port, good_targets[i].port);
        assert_int_equal(t.is_ip, good_targets[i].is_ip);
    }
    for (size_t i = 0; i < N_OF(bad_targets); i++)
        if (target_from_text(bad_targets[i], strlen(bad_targets[i]), &t))
            fail_msg("%s is accepted", bad_targets[i]);
}

/* A NUL hides nothing: bytes that a C string would not show are checked, too. */
static void target_with_nul(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
    } rows[] = {
#define BYTES(s) {s, sizeof(s) - 1}
        BYTES("gate.example\0.evil.test:443"), BYTES("203.0.113.7\0.evil.test:443"),
        BYTES("[2001:db8::1\0evil]:443"),      BYTES("gate.example:443\0"),
        BYTES("gate.example:4\0003"),          BYTES("\0:443"),
        BYTES("gate.example\0:443"),           BYTES("203.0.113.7\0:443"),
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct target t;
        if (target_from_text(rows[i].p, rows[i].n, &t)) fail_msg("row %zu is accepted", i);
        assert_string_equal(t.host, "");
    }
}

static void target_formats(void **state)
{
    (void)state;
    static const char *const texts[] = {"gate.example:443", "203.0.113.7:1", "[2001:db8::1]:65535"};
    for (size_t i = 0; i < N_OF(texts); i++) {
        struct target t;
        char out[TARGET_TEXT_SIZE];
        assert_true(target_from_text(texts[i], strlen(texts[i]), &t));
        target_format(&t, out);
        assert_string_equal(out, texts[i]);
    }
}

static const struct {
    const char *name, *request;
    enum target_status status;
} requests[] = {
    {"plain", "CONNECT gate.example:443 HTTP/1.1\r\nHost: gate.example:443\r\n\r\n", TARGET_OK},
    {"no Host", "CONNECT gate.example:443 HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"no Host in HTTP/1.2", "CONNECT gate.example:443 HTTP/1.2\r\n\r\n", TARGET_BAD},
    {"HTTP/1.2", "CONNECT gate.example:443 HTTP/1.2\r\nHost: a\r\n\r\n", TARGET_OK},
    {"two Hosts", "CONNECT gate.example:443 HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", TARGET_BAD},
    {"two Hosts in HTTP/1.0", "CONNECT a.test:443 HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
     TARGET_BAD},
    {"empty Host", "CONNECT gate.example:443 HTTP/1.1\r\nHost:\r\n\r\n", TARGET_OK},
    {"Host with blanks around", "CONNECT a.test:443 HTTP/1.1\r\nHost: \ta:1 \t\r\n\r\n", TARGET_OK},
    {"IPv6 Host", "CONNECT a.test:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", TARGET_OK},
    {"IPv4 Host in brackets", "CONNECT a.test:443 HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", TARGET_BAD},
    {"open bracket", "CONNECT a.test:443 HTTP/1.1\r\nHost: [::1\r\n\r\n", TARGET_BAD},
    {"text behind the bracket", "CONNECT a.test:443 HTTP/1.1\r\nHost: [::1]a<\r\n\r\n", TARGET_BAD},
    {"Host with a user", "CONNECT a.test:443 HTTP/1.1\r\nHost: me@a\r\n\r\n", TARGET_BAD},
    {"Host with a blank", "CONNECT a.test:443 HTTP/1.1\r\nHost: a b\r\n\r\n", TARGET_BAD},
    {"Host with a path", "CONNECT a.test:443 HTTP/1.1\r\nHost: a/b\r\n\r\n", TARGET_BAD},
    {"Host with a word for a port", "CONNECT a.test:443 HTTP/1.1\r\nHost: a:https\r\n\r\n",
     TARGET_BAD},
    {"a field whose name begins so", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nHosts: <\r\n\r\n",
     TARGET_OK},
    {"a length", "CONNECT a.test:443 HTTP/1.0\r\nContent-Length: 17\r\n\r\n", TARGET_OK},
    {"two lengths", "CONNECT a.test:443 HTTP/1.0\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
     TARGET_BAD},
    {"an empty length", "CONNECT a.test:443 HTTP/1.0\r\nContent-Length:\r\n\r\n", TARGET_BAD},
    {"a signed length", "CONNECT a.test:443 HTTP/1.0\r\nContent-Length: +1\r\n\r\n", TARGET_BAD},
    {"a list of lengths", "CONNECT a.test:443 HTTP/1.0\r\nContent-Length: 0, 0\r\n\r\n",
     TARGET_BAD},
    {"a length of 19 digits",
     "CONNECT a.test:443 HTTP/1.0\r\nContent-Length: 1000000000000000000\r\n\r\n", TARGET_BAD},
    {"chunked", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
     TARGET_OK},
    {"chunked in HTTP/1.0", "CONNECT a.test:443 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
     TARGET_BAD},
    {"chunked with a length",
     "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: "
     "chunked\r\n\r\n",
     TARGET_BAD},
    {"another coding", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
     TARGET_BAD},
    {"an empty line first", "\r\nCONNECT a.test:443 HTTP/1.0\r\n\r\n", TARGET_OK},
    {"two empty lines first", "\r\n\nCONNECT a.test:443 HTTP/1.0\r\n\r\n", TARGET_OK},
    {"only an empty line", "\r\n", TARGET_MORE},
    {"half an empty line", "\r\n\r", TARGET_MORE},
    {"a CR first", "\rCONNECT a.test:443 HTTP/1.0\r\n\r\n", TARGET_NOT_HTTP},
    {"HTTP/1.0", "CONNECT gate.example:443 HTTP/1.0\r\n\r\n", TARGET_OK},
    {"bare LF", "CONNECT gate.example:443 HTTP/1.1\nHost: gate.example\n\n", TARGET_OK},
    {"mixed line ends", "CONNECT gate.example:443 HTTP/1.0\nA: b\r\n\n", TARGET_OK},
    {"IPv6", "CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n", TARGET_OK},
    {"another Host", "CONNECT gate.example:443 HTTP/1.1\r\nHost: other\r\n\r\n", TARGET_OK},
    {"empty value", "CONNECT gate.example:443 HTTP/1.0\r\nA:\r\n\r\n", TARGET_OK},
    {"tab in a value", "CONNECT gate.example:443 HTTP/1.0\r\nA:\tb\tc\r\n\r\n", TARGET_OK},
    {"bytes above ASCII in a value", "CONNECT gate.example:443 HTTP/1.0\r\nA: \xe4\r\n\r\n",
     TARGET_OK},
    {"colons in a value", "CONNECT gate.example:443 HTTP/1.0\r\nA: b:c:d\r\n\r\n", TARGET_OK},

    {"GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", TARGET_NOT_CONNECT},
    {"GET of an absolute URI", "GET http://gate.example/ HTTP/1.1\r\n\r\n", TARGET_NOT_CONNECT},
    {"POST", "POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\n", TARGET_NOT_CONNECT},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n\r\n", TARGET_NOT_CONNECT},
    {"connect in lower case is another method", "connect a.test:443 HTTP/1.1\r\n\r\n",
     TARGET_NOT_CONNECT},
    {"a longer method", "CONNECTX a.test:443 HTTP/1.1\r\n\r\n", TARGET_NOT_CONNECT},

    {"SSH", "SSH-2.0-OpenSSH_9\r\n", TARGET_NOT_HTTP},
    {"method of one word and a line end", "CONNECT\r\n\r\n", TARGET_NOT_HTTP},
    {"space first", " CONNECT a.test:443 HTTP/1.1\r\n\r\n", TARGET_NOT_HTTP},
    {"a method of 24 letters", "ABCDEFGHIJKLMNOPQRSTUVWX a.test:443 HTTP/1.1\r\n\r\n",
     TARGET_NOT_CONNECT},
    {"a method of 25 letters", "ABCDEFGHIJKLMNOPQRSTUVWXY a.test:443 HTTP/1.1\r\n\r\n",
     TARGET_NOT_HTTP},
    {"a very long word", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n\r\n",
     TARGET_NOT_HTTP},

    {"no port", "CONNECT gate.example HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"port 0", "CONNECT gate.example:0 HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"port 65536", "CONNECT gate.example:65536 HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"user information", "CONNECT me@gate.example:443 HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"a URI", "CONNECT https://gate.example:443 HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"a path", "CONNECT gate.example:443/ HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"no target", "CONNECT HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"two spaces", "CONNECT  gate.example:443 HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"two spaces behind", "CONNECT gate.example:443  HTTP/1.1\r\n\r\n", TARGET_BAD},
    {"a fourth word", "CONNECT gate.example:443 HTTP/1.1 x\r\n\r\n", TARGET_BAD},
    {"tab for space", "CONNECT gate.example:443\tHTTP/1.1\r\n\r\n", TARGET_BAD},
    {"no version", "CONNECT gate.example:443\r\n\r\n", TARGET_BAD},
    {"HTTP/2.0", "CONNECT gate.example:443 HTTP/2.0\r\n\r\n", TARGET_BAD},
    {"HTTP/1.10", "CONNECT gate.example:443 HTTP/1.10\r\n\r\n", TARGET_BAD},
    {"http in lower case", "CONNECT gate.example:443 http/1.1\r\n\r\n", TARGET_BAD},
    {"two CR", "CONNECT gate.example:443 HTTP/1.1\r\r\n\r\n", TARGET_BAD},
    {"field without a colon", "CONNECT gate.example:443 HTTP/1.1\r\nHost\r\n\r\n", TARGET_BAD},
    {"field without a name", "CONNECT gate.example:443 HTTP/1.1\r\n: x\r\n\r\n", TARGET_BAD},
    {"space before the colon", "CONNECT gate.example:443 HTTP/1.1\r\nHost : x\r\n\r\n", TARGET_BAD},
    {"folded field", "CONNECT gate.example:443 HTTP/1.1\r\nA: b\r\n c\r\n\r\n", TARGET_BAD},
    {"CR inside a value", "CONNECT gate.example:443 HTTP/1.1\r\nA: b\rc\r\n\r\n", TARGET_BAD},
    {"control character", "CONNECT gate.example:443 HTTP/1.1\r\nA: b\x01\r\n\r\n", TARGET_BAD},
    {"DEL", "CONNECT gate.example:443 HTTP/1.1\r\nA: b\x7f\r\n\r\n", TARGET_BAD},
    {"GET with HTTP/0.9", "GET /\r\n\r\n", TARGET_BAD},
    {"GET with a broken field", "GET / HTTP/1.1\r\nbroken\r\n\r\n", TARGET_BAD},

    {"unfinished line", "CONNECT gate.example:443 HT", TARGET_MORE},
    {"unfinished fields", "CONNECT gate.example:443 HTTP/1.1\r\nHost: a\r\n", TARGET_MORE},
    {"GET unfinished", "GET / HTTP/1.1\r\n", TARGET_MORE},
    {"error in an unfinished request", "CONNECT gate.example HTTP/1.1\r\n", TARGET_BAD},
};

static enum target_status parse_on(struct target_scan *scan, const void *p, size_t n,
                                   struct target *t, size_t *used)
{
    const char *why = NULL;
    uint8_t *copy = exact(p, n);
    enum target_status status = target_parse_request(copy, n, scan, t, used, &why);
    free(copy);
    assert_non_null(why);
    assert_int_equal(*why != '\0', status == TARGET_BAD);
    return status;
}

static enum target_status parse(const void *p, size_t n, struct target *t, size_t *used)
{
    return parse_on(&(struct target_scan){0}, p, n, t, used);
}

/* As a whole, and byte by byte: a final result stays, and only MORE comes before it. */
static void request_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(requests); i++) {
        const char *request = requests[i].request;
        size_t n = strlen(request), used;
        struct target t;
        enum target_status status = parse(request, n, &t, &used);
        if (status != requests[i].status)
            fail_msg("%s: status %d, not %d", requests[i].name, status, requests[i].status);
        assert_int_equal(used, status == TARGET_OK || status == TARGET_NOT_CONNECT ? n : 0);
        enum target_status last = TARGET_MORE;
        struct target_scan scan = {0};
        struct target grown;
        for (size_t k = 0; k <= n && last == TARGET_MORE; k++) {
            last = parse_on(&scan, request, k, &grown, &used);
            assert_true(scan.skipped + scan.searched <= k);
        }
        assert_int_equal(last, status);
        if (status != TARGET_MORE) assert_memory_equal(&grown, &t, sizeof t);
        last = TARGET_MORE;
        for (size_t k = 0; k <= n; k++) {
            enum target_status now = parse(request, k, &t, &used);
            if (last != TARGET_MORE && now != last)
                fail_msg("%s: status %d turns to %d at %zu bytes", requests[i].name, last, now, k);
            last = now;
        }
    }
}

/* The facts of a refused request, for its record. */
static void other_requests_have_a_destination(void **state)
{
    (void)state;
    static const struct {
        const char *request, *host;
        uint16_t port;
    } table[] = {
        {"GET http://gate.example/secret HTTP/1.1\r\n\r\n", "gate.example", 80},
        {"GET HTTP://Gate.Example:8080?q HTTP/1.1\r\n\r\n", "gate.example", 8080},
        {"POST https://[::1]/ HTTP/1.1\r\n\r\n", "::1", 443},
        {"GET http://10.0.0.1:1#x HTTP/1.0\r\n\r\n", "10.0.0.1", 1},
        {"GET http://user:secret@a.example/ HTTP/1.1\r\n\r\n", "", 0},
        {"GET http:///x HTTP/1.1\r\n\r\n", "", 0},
        {"GET http:// HTTP/1.1\r\n\r\n", "", 0},
        {"GET http://a_b!/ HTTP/1.1\r\n\r\n", "", 0},
        {"GET ftp://a.example/ HTTP/1.1\r\n\r\n", "", 0},
        {"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "", 0},
    };
    for (size_t i = 0; i < N_OF(table); i++) {
        struct target t;
        size_t used;
        assert_int_equal(parse(table[i].request, strlen(table[i].request), &t, &used),
                         TARGET_NOT_CONNECT);
        assert_string_equal(t.host, table[i].host);
        assert_int_equal(t.port, table[i].port);
    }
}

static void request_leaves_the_rest(void **state)
{
    (void)state;
    static const char request[] = "CONNECT gate.example:443 HTTP/1.0\r\n\r\n\x16\x03\x01\n\n";
    struct target t;
    size_t used;
    assert_int_equal(parse(request, sizeof request - 1, &t, &used), TARGET_OK);
    assert_int_equal(used, sizeof request - 1 - 5);
    assert_string_equal(t.host, "gate.example");
    assert_int_equal(t.port, 443);
}

static void request_with_nul(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
    } rows[] = {
        BYTES("CONNECT 203.0.113.7\0.evil.test:443 HTTP/1.1\r\n\r\n"),
        BYTES("CONNECT gate.example:443\0 HTTP/1.1\r\n\r\n"),
        BYTES("CONNECT gate.example:443 HTTP/1.1\0\r\n\r\n"),
        BYTES("CONNECT gate.example:443 HTTP/1.1\r\nA: \0\r\n\r\n"),
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct target t;
        size_t used;
        if (parse(rows[i].p, rows[i].n, &t, &used) != TARGET_BAD)
            fail_msg("row %zu is not refused", i);
    }
    struct target t;
    size_t used;
    assert_int_equal(parse("\0\0\0\0", 4, &t, &used), TARGET_NOT_HTTP);
    assert_int_equal(parse("\x16\x03\x01\x02\x00", 5, &t, &used), TARGET_NOT_HTTP);
}

/* The exact limit passes; one byte more, or no end within it, does not. */
static void request_limit(void **state)
{
    (void)state;
    static char request[TARGET_REQUEST_LIMIT + 100];
    struct target t;
    size_t used;
    for (size_t n = TARGET_REQUEST_LIMIT - 1; n <= TARGET_REQUEST_LIMIT + 1; n++) {
        memset(request, 'a', sizeof request);
        memcpy(request, "CONNECT a.test:443 HTTP/1.0\r\nA: ", 32);
        memcpy(request + n - 4, "\r\n\r\n", 4);
        assert_int_equal(parse(request, n, &t, &used),
                         n <= TARGET_REQUEST_LIMIT ? TARGET_OK : TARGET_BAD);
        assert_string_equal(t.host, "a.test"); /* at once or in pieces */
        assert_int_equal(parse(request, n - 1, &t, &used),
                         n <= TARGET_REQUEST_LIMIT ? TARGET_MORE : TARGET_BAD);
    }
}

static const struct {
    const char *pattern, *target;
    bool matches;
} matches[] = {
    {"*", "gate.example:1", true},
    {"*", "203.0.113.7:1", true},
    {"*", "[::1]:1", true},
    {"*:443", "gate.example:443", true},
    {"*:443", "gate.example:444", false},
    {"*:*", "gate.example:444", true},
    {"gate.example", "gate.example:1", true},
    {"GATE.example", "Gate.Example:1", true},
    {"gate.example", "a.gate.example:1", false},
    {"gate.example", "gate.example.test:1", false},
    {"gate.example:443,8443", "gate.example:443", true},
    {"gate.example:443,8443", "gate.example:8443", true},
    {"gate.example:443,8443", "gate.example:444", false},
    {"gate.example:1024-2048", "gate.example:1023", false},
    {"gate.example:1024-2048", "gate.example:1024", true},
    {"gate.example:1024-2048", "gate.example:2048", true},
    {"gate.example:1024-2048", "gate.example:2049", false},
    {"gate.example:1-65535", "gate.example:65535", true},
    {"*.example.com", "a.example.com:1", true},
    {"*.example.com", "a.b.example.com:1", true},
    {"*.example.com", "example.com:1", false},
    {"*.example.com", "aexample.com:1", false},
    {"*.example.com", "a.example.com.test:1", false},
    {"*.example.com:443", "a.example.com:80", false},
    {"*.Example.COM", "A.example.com:1", true},
    {"10.0.0.0/8", "10.255.0.1:1", true},
    {"10.0.0.0/8", "11.0.0.1:1", false},
    {"10.0.0.0/8:443,8443", "10.0.0.1:8443", true},
    {"10.0.0.0/8:443", "10.0.0.1:80", false},
    {"10.1.2.3", "10.1.2.3:1", true},
    {"10.1.2.3", "10.1.2.4:1", false},
    {"10.0.0.0/9", "10.128.0.1:1", false},
    {"0.0.0.0/0", "203.0.113.7:1", true},
    {"0.0.0.0/0", "[::1]:1", false},
    {"0.0.0.0/0", "gate.example:1", false},
    {"10.0.0.0/8", "[::ffff:10.0.0.1]:1", true},
    {"[2001:db8::]/32", "[2001:db8:ffff::1]:443", true},
    {"[2001:db8::]/32", "[2001:db9::1]:443", false},
    {"[2001:db8::]/32:443", "[2001:db8::1]:443", true},
    {"[2001:db8::]/32:443", "[2001:db8::1]:80", false},
    {"[2001:db8::1]", "[2001:db8::1]:443", true},
    {"[2001:db8::1]", "[2001:db8::2]:443", false},
    {"[::1]:443", "[::1]:443", true},
    {"[::]/0", "[2001:db8::1]:1", true},
    {"gate.example", "203.0.113.7:1", false},
};

static const char *const bad_patterns[] = {
    "",
    ":",
    ":443",
    "*:",
    "*:0",
    "*:65536",
    "*:443,",
    "*:,443",
    "*:443,,444",
    "*:8-7",
    "*:-7",
    "*:7-",
    "*:1-2-3",
    "*:a",
    "*:4 4",
    "*.",
    "*.*",
    "*.*.com",
    "a.*.com",
    "**",
    "*example.com",
    "a b",
    "a.-b",
    "gate.example.",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "10.0.0/8",
    "10.0.0.256",
    "[2001:db8::]/129",
    "[2001:db8::",
    "2001:db8::/32",
    "2001:db8::1",
    "[]",
    "[]/8",
    "[gate.example]",
    "[::1]x",
    "[::1]443",
    "*:1,2,3,4,5,6,7,8,9",
    "a@b",
    "https://gate.example",
    "gate.example:443:443",
};

static void patterns(void **state)
{
    (void)state;
    struct pattern p;
    struct target t;
    for (size_t i = 0; i < N_OF(matches); i++) {
        const char *target = matches[i].target;
        if (!pattern_from_text(matches[i].pattern, &p)) fail_msg("%s: bad", matches[i].pattern);
        assert_true(target_from_text(target, strlen(target), &t));
        if (pattern_matches(&p, &t) != matches[i].matches)
            fail_msg("%s and %s", matches[i].pattern, target);
    }
    for (size_t i = 0; i < N_OF(bad_patterns); i++)
        if (pattern_from_text(bad_patterns[i], &p)) fail_msg("%s is accepted", bad_patterns[i]);
    assert_true(pattern_from_text("*:1,2,3,4,5,6,7,8", &p));
    assert_int_equal(p.port_count, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets),
        cmocka_unit_test(target_with_nul),
        cmocka_unit_test(request_table),
        cmocka_unit_test(other_requests_have_a_destination),
        cmocka_unit_test(request_leaves_the_rest),
        cmocka_unit_test(request_limit),
        cmocka_unit_test(request_with_nul),
        cmocka_unit_test(patterns),
        cmocka_unit_test(target_formats),
    };
    return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
