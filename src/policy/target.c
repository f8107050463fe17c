#include "policy/target.h"

#include "base/reader.h"
#include "base/text.h"
#include "base/units.h"
#include "policy/hello.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool host_from_text(const char *s, size_t n, struct target *t)
{
    bool bracketed = n >= 2 && s[0] == '[' && s[n - 1] == ']';
    if (bracketed) {
        s++;
        n -= 2;
    }
    if (n == 0 || n >= sizeof t->host || memchr(s, '\0', n)) return false;
    memcpy(t->host, s, n);
    t->host[n] = '\0';
    struct addr a;
    t->is_ip = addr_from_ip(t->host, 0, &a);
    if (t->is_ip) return (a.sa.sa_family == AF_INET6) == bracketed;
    if (bracketed) return false;
    if (n > 1 && t->host[n - 1] == '.') t->host[--n] = '\0';
    text_lower(t->host);
    return hello_name_is_valid(t->host, n);
}

bool target_from_text(const char *s, size_t n, struct target *t)
{
    *t = (struct target){0};
    size_t colon = n;
    while (colon > 0 && s[colon - 1] != ':') colon--;
    char port_text[6];
    uint64_t port;
    if (colon < 2 || n - colon == 0 || n - colon >= sizeof port_text || memchr(s, '\0', n))
        return false;
    memcpy(port_text, s + colon, n - colon);
    port_text[n - colon] = '\0';
    if (!units_count(port_text, 65535, &port) || port == 0) return false;
    if (!host_from_text(s, colon - 1, t)) {
        *t = (struct target){0};
        return false;
    }
    t->port = (uint16_t)port;
    return true;
}

struct target target_of_addr(const struct addr *a)
{
    struct target t = {.port = addr_port(a), .is_ip = true};
    addr_format_ip(a, t.host);
    return t;
}

void target_format(const struct target *t, char out[TARGET_TEXT_SIZE])
{
    snprintf(out, TARGET_TEXT_SIZE, strchr(t->host, ':') ? "[%s]:%u" : "%s:%u", t->host, t->port);
}

/* The end of the header section, after its empty line; 0 if it has not come. Searches from *at, and
 * moves *at to where the next search has to begin. */
static size_t header_end(const uint8_t *p, size_t n, size_t *at)
{
    const uint8_t *newline;
    for (size_t i = *at; (newline = memchr(p + i, '\n', n - i)) != NULL; i++) {
        i = *at = (size_t)(newline - p);
        size_t next = i + 1;
        if (next < n && p[next] == '\r') next++;
        if (next == n) return 0;
        if (p[next] == '\n') return next + 1;
    }
    *at = n;
    return 0;
}

static bool is_token(uint8_t c)
{
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/* Could these bytes begin an HTTP request line? A method token of up to 24 bytes. */
static bool begins_http(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && i < 24 && is_token(p[i])) i++;
    return i == n || (i > 0 && p[i] == ' ');
}

/* Header fields have a name and a colon; no control characters but tab (RFC 9112 section 5). Their
 * values are not checked. */
static bool fields_are_sane(const uint8_t *p, size_t n)
{
    bool at_start = true, in_name = false;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = p[i];
        if (c == '\n') {
            if (in_name) return false;
            at_start = true;
            continue;
        }
        if (c == '\r') {
            if (i + 1 >= n || p[i + 1] != '\n') return false;
            continue;
        }
        if (at_start) in_name = true;
        if (at_start && !is_token(c)) return false;
        at_start = false;
        if (in_name && c == ':')
            in_name = false;
        else if (in_name && !is_token(c))
            return false;
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

/* uri-host [":" port], which may be empty (RFC 9112 section 3.2, RFC 3986 section 3.2.2). */
static bool host_field_is_valid(struct span value)
{
    size_t n = value.n, i = 0;
    if (n > 0 && value.p[0] == '[') {
        while (i < n && value.p[i] != ']') i++;
        struct addr ip;
        char text[ADDR_TEXT_SIZE];
        if (i == n || i - 1 >= sizeof text) return false;
        memcpy(text, value.p + 1, i - 1);
        text[i - 1] = '\0';
        if (memchr(text, '\0', i - 1) || !addr_from_ip(text, 0, &ip) || !strchr(text, ':'))
            return false;
        i++;
    }
    for (; i < n && value.p[i] != ':'; i++)
        if (!isalnum(value.p[i]) && (!value.p[i] || !strchr("-._~%!$&'()*+,;=", value.p[i])))
            return false;
    if (i < n) i++;
    for (; i < n; i++)
        if (!isdigit(value.p[i])) return false;
    return true;
}

/* 1*DIGIT, of a plausible length (RFC 9110 section 8.6). What follows the head belongs to the
 * tunnel in any case (section 9.3.6). */
static bool length_is_valid(struct span value)
{
    enum { DIGITS_LIMIT = 18 };
    for (size_t i = 0; i < value.n; i++)
        if (!isdigit(value.p[i])) return false;
    return value.n > 0 && value.n <= DIGITS_LIMIT;
}

static struct span trimmed(const uint8_t *p, size_t n)
{
    while (n > 0 && (p[0] == ' ' || p[0] == '\t')) p++, n--;
    while (n > 0 && strchr(" \t\r", p[n - 1])) n--;
    return (struct span){p, n};
}

static bool named(const uint8_t *p, const uint8_t *colon, const char *name)
{
    size_t n = strlen(name);
    return (size_t)(colon - p) == n && strncasecmp((const char *)p, name, n) == 0;
}

/* How often a request has the fields that frame it. */
struct framing {
    unsigned hosts, lengths, codings;
};

static const char *fault_of_field(struct framing *f, const uint8_t *name, const uint8_t *colon,
                                  struct span value)
{
    if (named(name, colon, "host")) {
        if (++f->hosts > 1) return "The request has two Host fields.";
        if (!host_field_is_valid(value)) return "The Host field is no host and port.";
    } else if (named(name, colon, "content-length")) {
        if (++f->lengths > 1) return "The request has two Content-Length fields.";
        if (!length_is_valid(value)) return "The Content-Length is no length.";
    } else if (named(name, colon, "transfer-encoding")) {
        bool chunked = value.n == 7 && strncasecmp((const char *)value.p, "chunked", 7) == 0;
        if (++f->codings > 1 || !chunked) return "The Transfer-Encoding is not chunked, once.";
    }
    return NULL;
}

/* What is wrong with the fields of a CONNECT request, or NULL (RFC 9112 sections 3.2, 6.1 and 6.3).
 * fields_are_sane() has accepted them. is_10: HTTP/1.0, which needs no Host and has no
 * Transfer-Encoding. */
static const char *fault_of_fields(const uint8_t *p, size_t n, bool is_10)
{
    struct framing f = {0};
    const uint8_t *end = p + n, *newline, *colon;
    for (; (newline = memchr(p, '\n', (size_t)(end - p))) != NULL; p = newline + 1) {
        if (!(colon = memchr(p, ':', (size_t)(newline - p)))) continue;
        struct span value = trimmed(colon + 1, (size_t)(newline - colon - 1));
        const char *fault = fault_of_field(&f, p, colon, value);
        if (fault) return fault;
    }
    if (f.hosts == 0 && !is_10) return "The request has no Host field, which HTTP/1.1 needs.";
    if (f.codings > 0 && (is_10 || f.lengths > 0))
        return "A Transfer-Encoding fits neither HTTP/1.0 nor a Content-Length.";
    return NULL;
}

static enum target_status bad(const char **why, const char *sentence)
{
    *why = sentence;
    return TARGET_BAD;
}

/* The destination of a request in absolute form (RFC 9112 section 3.2.2), for the record: host and
 * port, nothing else of the URI. */
static void note_destination(const char *uri, size_t n, struct target *t)
{
    static const struct {
        const char *prefix;
        unsigned port;
    } schemes[] = {{"http://", 80}, {"https://", 443}};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t prefix = strlen(schemes[i].prefix), end = prefix;
        char whole[TARGET_TEXT_SIZE];
        if (n <= prefix || strncasecmp(uri, schemes[i].prefix, prefix) != 0) continue;
        while (end < n && !strchr("/?#", uri[end])) end++;
        if (target_from_text(uri + prefix, end - prefix, t)) return;
        int length = snprintf(whole, sizeof whole, "%.*s:%u", (int)(end - prefix), uri + prefix,
                              schemes[i].port);
        if (length > 0 && (size_t)length < sizeof whole)
            (void)!target_from_text(whole, (size_t)length, t);
    }
}

/* "CONNECT host:port HTTP/1.1" without its line end. */
static enum target_status parse_line(const char *line, size_t n, struct target *t, bool *is_10,
                                     const char **why)
{
    const char *space = memchr(line, ' ', n);
    if (!space) return bad(why, "The request line has no target.");
    bool is_connect = (size_t)(space - line) == 7 && memcmp(line, "CONNECT", 7) == 0;
    const char *authority = space + 1;
    size_t rest = n - (size_t)(authority - line);
    const char *second = memchr(authority, ' ', rest);
    if (!second) return bad(why, "The request line has no HTTP version.");
    size_t version = rest - (size_t)(second + 1 - authority);
    /* A higher minor version is handled as 1.1 (RFC 9110 section 2.5). */
    if (version != 8 || memcmp(second + 1, "HTTP/1.", 7) != 0 || !isdigit((uint8_t)second[8]))
        return bad(why, "The HTTP version is not 1.1 or 1.0.");
    *is_10 = second[8] == '0';
    if (!is_connect) {
        note_destination(authority, (size_t)(second - authority), t);
        return TARGET_NOT_CONNECT;
    }
    if (!target_from_text(authority, (size_t)(second - authority), t))
        return bad(why, "The target is not host:port with a valid host and a port from 1 to "
                        "65535; user information is not allowed.");
    return TARGET_OK;
}

static size_t empty_lines(const uint8_t *p, size_t n, size_t i)
{
    while (i < n && (p[i] == '\n' || (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n')))
        i += p[i] == '\n' ? 1 : 2;
    return i;
}

size_t target_empty_lines(const uint8_t *p, size_t n)
{
    return empty_lines(p, n, 0);
}

enum target_status target_parse_request(const uint8_t *p, size_t n, struct target_scan *scan,
                                        struct target *t, size_t *used, const char **why)
{
    if (!scan->line_read) *t = (struct target){0};
    *used = 0;
    *why = "";
    size_t most = n < TARGET_REQUEST_LIMIT ? n : TARGET_REQUEST_LIMIT;
    size_t skipped = scan->skipped = empty_lines(p, most, scan->skipped);
    bool open = n == skipped || (n == skipped + 1 && p[skipped] == '\r');
    if (open) return n < TARGET_REQUEST_LIMIT ? TARGET_MORE : TARGET_NOT_HTTP;
    if (!begins_http(p + skipped, n - skipped)) return TARGET_NOT_HTTP;
    size_t end = header_end(p + skipped, most - skipped, &scan->searched);
    bool too_large = end == 0 && n >= TARGET_REQUEST_LIMIT;
    static const char size_fault[] = "The request is larger than 16 KiB.";
    if (end == 0 && scan->line_read) return too_large ? bad(why, size_fault) : TARGET_MORE;
    p += skipped;
    n -= skipped;
    const uint8_t *newline = memchr(p, '\n', n);
    if (!newline) return too_large ? bad(why, size_fault) : TARGET_MORE;
    size_t line = (size_t)(newline - p);
    if (line > 0 && p[line - 1] == '\r') line--;
    bool is_10 = false;
    enum target_status status = parse_line((const char *)p, line, t, &is_10, why);
    /* An error in the line is reported at once; all others wait for the whole request. */
    if (status == TARGET_BAD) return status;
    scan->line_read = true;
    if (end == 0) return too_large ? bad(why, size_fault) : TARGET_MORE;
    size_t fields = (size_t)(newline - p) + 1;
    if (!fields_are_sane(p + fields, end - fields)) return bad(why, "A header field is malformed.");
    const char *fault =
        status == TARGET_OK ? fault_of_fields(p + fields, end - fields, is_10) : NULL;
    if (fault) return bad(why, fault);
    *used = skipped + end;
    return status;
}

static bool parse_ports(const char *s, struct pattern *out)
{
    char item[16];
    while (*s) {
        size_t n = strcspn(s, ",");
        uint64_t from, to;
        if (n == 0 || n >= sizeof item || out->port_count == PATTERN_RANGES) return false;
        memcpy(item, s, n);
        item[n] = '\0';
        char *dash = strchr(item, '-');
        if (dash) *dash = '\0';
        if (!units_count(item, 65535, &from)) return false;
        to = from;
        if (dash && !units_count(dash + 1, 65535, &to)) return false;
        if (from == 0 || from > to) return false;
        out->ports[out->port_count].from = (uint16_t)from;
        out->ports[out->port_count++].to = (uint16_t)to;
        s += n;
        if (*s == ',' && *++s == '\0') return false;
    }
    return out->port_count > 0;
}

/* "[2001:db8::]/32" without its brackets, which are for IPv6 and only for IPv6. */
static bool range_from_text(const char *s, struct cidr *out)
{
    char plain[ADDR_TEXT_SIZE + 8];
    const char *close = s[0] == '[' ? strchr(s, ']') : NULL;
    if (!close) return strchr(s, ':') == NULL && cidr_from_text(s, out);
    if (close[1] != '\0' && close[1] != '/') return false;
    int n = snprintf(plain, sizeof plain, "%.*s%s", (int)(close - s - 1), s + 1, close + 1);
    return n > 0 && (size_t)n < sizeof plain && strchr(plain, ':') && cidr_from_text(plain, out);
}

bool pattern_from_text(const char *s, struct pattern *out)
{
    *out = (struct pattern){0};
    char host[TARGET_HOST_SIZE];
    const char *after = strchr(s, ']');
    const char *colon = strchr(after ? after : s, ':');
    size_t n = colon ? (size_t)(colon - s) : strlen(s);
    if (n == 0 || n >= sizeof host) return false;
    memcpy(host, s, n);
    host[n] = '\0';
    if (colon && strcmp(colon, ":*") != 0 && !parse_ports(colon + 1, out)) return false;
    if (strcmp(host, "*") == 0) {
        out->any = true;
        return true;
    }
    if (range_from_text(host, &out->range)) return true;
    out->wildcard = strncmp(host, "*.", 2) == 0;
    const char *name = out->wildcard ? host + 2 : host;
    snprintf(out->host, sizeof out->host, "%s", name);
    text_lower(out->host);
    return hello_name_is_valid(name, strlen(name));
}

static bool host_matches(const struct pattern *p, const struct target *t)
{
    if (p->any) return true;
    if (t->is_ip) {
        struct addr a;
        return !p->host[0] && addr_from_ip(t->host, 0, &a) && cidr_contains(&p->range, &a);
    }
    if (!p->host[0]) return false;
    if (!p->wildcard) return strcmp(p->host, t->host) == 0;
    size_t have = strlen(t->host), tail = strlen(p->host);
    return have > tail + 1 && t->host[have - tail - 1] == '.' &&
           strcmp(t->host + have - tail, p->host) == 0;
}

bool pattern_matches(const struct pattern *p, const struct target *t)
{
    if (!host_matches(p, t)) return false;
    for (size_t i = 0; i < p->port_count; i++)
        if (t->port >= p->ports[i].from && t->port <= p->ports[i].to) return true;
    return p->port_count == 0;
}
