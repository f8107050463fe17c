/* /proxy.pac from any patterns, one a line: its text is balanced, and what is taken from a pattern
 * stays in its string. */
#include "fuzz.h"

#include "page/pac.h"

enum { PATTERNS = 8 };

/* The decision, after the functions: strings have only the characters of names, addresses and
 * proxies; all else is code of known characters. */
static void check_decision(const char *p)
{
    int open = 0;
    bool in_string = false;
    for (; *p; p++) {
        if (*p == '"') {
            in_string = !in_string;
        } else if (in_string) {
            CHECK(strchr("abcdefghijklmnopqrstuvwxyzDIRECTPROXY0123456789.-_:;[] ", *p));
        } else {
            CHECK(strchr("abcdefghijklmnopqrstuvwxyz0123456789 \n(),=|&<>?:;}", *p));
            if (*p == '(') open++;
            if (*p == ')') CHECK(--open >= 0);
        }
    }
    CHECK(!in_string && open == 0);
}

static size_t count(const char *all, const char *part)
{
    size_t n = 0;
    for (; (all = strstr(all, part)) != NULL; all++) n++;
    return n;
}

static size_t read_patterns(const uint8_t *data, size_t size, struct pattern only[PATTERNS])
{
    size_t n = 0;
    while (size > 0 && n < PATTERNS) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t line = end ? (size_t)(end - data) : size;
        char *text = malloc(line + 1);
        if (!text) abort();
        memcpy(text, data, line);
        text[line] = '\0';
        if (pattern_from_text(text, &only[n])) n++;
        free(text);
        line += end != NULL;
        data += line;
        size -= line;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const proxies[] = {"a-b.example:8080", "[2001:db8::5]:8081"};
    struct pattern only[PATTERNS];
    struct text out = {0};
    size_t n = read_patterns(data, size, only), ranges = 0;
    for (size_t i = 0; i < n; i++) ranges += only[i].port_count;
    pac_render(proxies, 2, only, n, &out);
    const char *decision = strstr(text_string(&out), "  var proxied = ");
    CHECK(decision);
    CHECK(count(decision, "port >= ") == ranges);
    CHECK(count(decision, "PROXY ") == 2 && count(decision, "return ") == 1);
    CHECK(count(decision, "true") + count(decision, "host == ") + count(decision, "below(host, ") +
              count(decision, "within(host, ") >=
          (n ? n : 1));
    check_decision(decision);
    text_fini(&out);
    return 0;
}
