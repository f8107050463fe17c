/* CONNECT requests and destination patterns. The input is a request; its first line is also
 * read as a destination and as a pattern. */
#include "fuzz.h"

#include "policy/hello.h"
#include "policy/target.h"

static void check_target(const struct target *t)
{
    char text[TARGET_TEXT_SIZE];
    struct target again;
    CHECK(t->host[0] && t->port);
    CHECK(t->is_ip || hello_name_is_valid(t->host, strlen(t->host)));
    CHECK(!strpbrk(t->host, "\r\n \"<>&\\/@[]"));
    target_format(t, text);
    CHECK(target_from_text(text, strlen(text), &again));
    CHECK(again.port == t->port && again.is_ip == t->is_ip);
    CHECK(strcmp(again.host, t->host) == 0);
}

/* Counts independently of the parser: an accepted request has at most one Host, which only HTTP/1.0
 * may omit, and at most one length. */
static void check_fields(const char *p, size_t n)
{
    char *head = malloc(n + 1);
    unsigned hosts = 0, lengths = 0;
    if (!head) abort();
    memcpy(head, p, n);
    head[n] = '\0';
    for (const char *at = head; (at = strcasestr(at, "\nhost:")) != NULL; at++) hosts++;
    for (const char *at = head; (at = strcasestr(at, "\ncontent-length:")) != NULL; at++) lengths++;
    const char *version = strstr(head, " HTTP/1.");
    CHECK(version && (hosts == 1 || (hosts == 0 && version[8] == '0')));
    CHECK(lengths <= 1);
    free(head);
}

static enum target_status parse(struct target_scan *scan, const uint8_t *p, size_t n,
                                struct target *t, size_t *used)
{
    const char *why = NULL;
    uint8_t *copy = fuzz_copy(p, n);
    enum target_status status = target_parse_request(copy, n, scan, t, used, &why);
    CHECK(scan->skipped + scan->searched <= n);
    free(copy);
    CHECK(*used <= n && *used <= TARGET_REQUEST_LIMIT);
    CHECK(why && (*why != '\0') == (status == TARGET_BAD));
    if (status == TARGET_OK) {
        check_target(t);
        CHECK(*used > 0 && p[*used - 1] == '\n');
        size_t skipped = target_empty_lines(p, n);
        CHECK(skipped < *used && memcmp(p + skipped, "CONNECT ", 8) == 0);
        check_fields((const char *)p + skipped, *used - skipped);
        /* An accepted request has no byte that is harmful in a log or a header. */
        CHECK(!memchr(p, '\0', *used));
    }
    return status;
}

/* A final status for a prefix is the status of the whole. */
static void check_growth(const uint8_t *p, size_t n, enum target_status whole, size_t whole_used)
{
    uint32_t seed = (uint32_t)n;
    enum target_status last = TARGET_MORE;
    struct target_scan scan = {0};
    struct target t;
    for (size_t k = 0; last == TARGET_MORE; k += fuzz_piece(&seed, n)) {
        size_t used;
        last = parse(&scan, p, k < n ? k : n, &t, &used);
        if (last == TARGET_MORE && k < n) continue;
        CHECK(last == whole);
        CHECK(used == whole_used);
        if (k >= n) break;
    }
}

static void check_pattern(const char *text)
{
    static const char *const targets[] = {"a.example.com:443", "10.0.0.1:80", "[2001:db8::1]:443"};
    struct pattern p;
    if (!pattern_from_text(text, &p)) return;
    CHECK(p.port_count <= PATTERN_RANGES);
    CHECK(p.any || p.host[0] || p.range.family_size);
    for (size_t i = 0; i < p.port_count; i++)
        CHECK(p.ports[i].from && p.ports[i].from <= p.ports[i].to);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct target t;
        CHECK(target_from_text(targets[i], strlen(targets[i]), &t));
        bool matches = pattern_matches(&p, &t);
        CHECK(!p.any || p.port_count || matches);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct target t;
    size_t used;
    enum target_status status = parse(&(struct target_scan){0}, data, size, &t, &used);
    CHECK(size < TARGET_REQUEST_LIMIT || status != TARGET_MORE);
    check_growth(data, size, status, used);

    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t line = end ? (size_t)(end - data) : size;
    uint8_t *copy = fuzz_copy(data, line);
    if (target_from_text((const char *)copy, line, &t))
        check_target(&t);
    else
        CHECK(!t.host[0]);
    free(copy);
    char *text = malloc(line + 1);
    if (!text) abort();
    if (line) memcpy(text, data, line);
    text[line] = '\0';
    check_pattern(text);
    free(text);
    return 0;
}
