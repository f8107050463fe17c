#include "policy/connect_answer.h"

#include "base/reader.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Appends printable ASCII, as far as there is room. */
static void add(char *out, size_t room, const char *p, size_t n)
{
    size_t have = strlen(out);
    for (size_t i = 0; i < n && have + 1 < room; i++)
        if (p[i] >= ' ' && p[i] <= '~') out[have++] = p[i];
    out[have] = '\0';
}

/* The length of the head, to its empty line; 0 if it has not come. */
static size_t head_size(const char *p, size_t n)
{
    const char *line = p;
    for (const char *end; (end = memchr(line, '\n', n - (size_t)(line - p))); line = end + 1)
        if (end == line || (end == line + 1 && *line == '\r')) return (size_t)(end - p) + 1;
    return 0;
}

/* "HTTP/1.1 200 Connection established" */
static bool read_status(const char *line, size_t n, struct connect_answer *out)
{
    enum { VERSION = 9, CODE = 3 };
    if (n < VERSION + CODE || memcmp(line, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)line[7]) ||
        line[8] != ' ')
        return false;
    const char *code = line + VERSION;
    for (int i = 0; i < CODE; i++) {
        if (!isdigit((unsigned char)code[i])) return false;
        out->status = 10 * out->status + (unsigned)(code[i] - '0');
    }
    if (n > VERSION + CODE && code[CODE] != ' ') return false;
    if (n > VERSION + CODE + 1)
        add(out->reason, sizeof out->reason, code + CODE + 1, n - VERSION - CODE - 1);
    return out->status >= 100 && out->status <= 599;
}

static bool is_token(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Past a quoted string that begins at i, or to the end. */
static size_t past_string(const char *p, size_t n, size_t i)
{
    for (i++; i < n && p[i] != '"'; i++)
        if (p[i] == '\\') i++;
    return i < n ? i + 1 : n;
}

/* The schemes of a list of challenges (RFC 9110 section 11.6.1): the tokens that no "=" follows and
 * that begin the list or follow a comma. */
static void read_challenges(const char *p, size_t n, struct connect_answer *out)
{
    bool begins = true;
    for (size_t i = 0; i < n;) {
        if (p[i] == '"') {
            i = past_string(p, n, i);
            begins = false;
        } else if (!is_token(p[i])) {
            begins = begins ? p[i] == ' ' || p[i] == '\t' || p[i] == ',' : p[i] == ',';
            i++;
        } else {
            size_t from = i;
            while (i < n && is_token(p[i])) i++;
            size_t after = i;
            while (after < n && p[after] == ' ') after++;
            if (begins && (after == n || p[after] != '=')) {
                if (out->schemes[0]) add(out->schemes, sizeof out->schemes, ", ", 2);
                add(out->schemes, sizeof out->schemes, p + from, i - from);
            }
            begins = false;
        }
    }
}

static void read_field(const char *line, size_t n, struct connect_answer *out)
{
    static const char name[] = "proxy-authenticate:";
    size_t size = sizeof name - 1;
    if (n > size && strncasecmp(line, name, size) == 0) read_challenges(line + size, n - size, out);
}

enum connect_answer_status connect_answer_parse(const uint8_t *p, size_t n, size_t *used,
                                                struct connect_answer *out)
{
    static const char begins[] = "HTTP/1.";
    const char *line = (const char *)p;
    size_t begun = sizeof begins - 1;
    *out = (struct connect_answer){0};
    if (n == 0) return CONNECT_ANSWER_MORE;
    if (memcmp(p, begins, n < begun ? n : begun) != 0) return CONNECT_ANSWER_BAD;
    size_t left = head_size(line, n);
    if (left == 0) return n < CONNECT_ANSWER_LIMIT ? CONNECT_ANSWER_MORE : CONNECT_ANSWER_BAD;
    if (left > CONNECT_ANSWER_LIMIT || memchr(p, '\0', left)) return CONNECT_ANSWER_BAD;
    *used = left;
    for (bool first = true; left > 0; first = false) {
        const char *end = memchr(line, '\n', left);
        size_t whole = (size_t)(end - line) + 1, size = whole - 1;
        if (size > 0 && line[size - 1] == '\r') size--;
        if (first && !read_status(line, size, out)) return CONNECT_ANSWER_BAD;
        if (!first) read_field(line, size, out);
        line += whole;
        left -= whole;
    }
    return CONNECT_ANSWER_OK;
}
