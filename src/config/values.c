#include "values.h"

#include "base/units.h"
#include "config/syslog_address.h"
#include "policy/hello.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PRINTED = TARGET_TEXT_SIZE + 16 };

static const char out_of_memory[] = "smaller: out of memory";

/* The texts of a list; NULL for other kinds. */
static const struct string_list *texts_of(enum value_kind kind, const void *member)
{
    switch (kind) {
    case KIND_SUITE_LIST:
    case KIND_PATH_LIST:
    case KIND_SYSLOG_LIST:
    case KIND_RESOLVER_LIST:
        return member;
    case KIND_CIDR_LIST:
        return &((const struct cidr_list *)member)->texts;
    case KIND_PATTERN_LIST:
        return &((const struct pattern_list *)member)->texts;
    default:
        return NULL;
    }
}

bool value_repeats(enum value_kind kind)
{
    static const union {
        struct string_list texts;
        struct cidr_list cidrs;
        struct pattern_list patterns;
    } any;
    return texts_of(kind, &any) != NULL;
}

char *value_resolve_path(const char *text, const char *directory)
{
    struct text t = {0};
    size_t n = strlen(directory);
    bool as_is = text[0] == '/' || strcmp(text, "-") == 0 || strcmp(text, "system") == 0 ||
                 strncmp(text, "pkcs11:", 7) == 0;
    while (!as_is && strncmp(text, "../", 3) == 0 && n > 1) {
        text += 3;
        while (n > 0 && directory[--n] != '/')
            ;
    }
    if (!as_is) {
        text_add_bytes(&t, directory, n);
        if (n == 0 || directory[n - 1] != '/') text_add(&t, "/");
    }
    text_add(&t, text);
    return text_take(&t);
}

const char *value_set_string(char **member, char *value)
{
    if (!value) return out_of_memory;
    free(*member);
    *member = value;
    return NULL;
}

/* Reads "auto"; false when the text is something else or the kind has no "auto". */
static bool parse_auto(enum value_kind kind, const struct range *range, const char *text,
                       unsigned *out)
{
    if (strcmp(text, "auto") != 0) return false;
    if (kind == KIND_SOURCE_COUNT) {
        *out = SOURCE_COUNT_AUTO;
        return true;
    }
    if (kind != KIND_WORKERS) return false;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t n = cores < 1 ? 1 : (uint64_t)cores;
    *out = (unsigned)(n > range->most ? range->most : n);
    return true;
}

static bool is_duration(enum value_kind kind)
{
    return kind == KIND_DURATION || kind == KIND_TIME_LIMIT;
}

static bool parse_amount(enum value_kind kind, const struct range *range, const char *text,
                         uint64_t *out)
{
    if (kind == KIND_TIME_LIMIT && strcmp(text, "off") == 0) {
        *out = 0;
        return true;
    }
    bool ok = kind == KIND_RATE   ? units_rate(text, range->most, out)
              : kind == KIND_SIZE ? units_size(text, range->most, out)
              : is_duration(kind) ? units_duration(text, range->most, out)
                                  : units_count(text, range->most, out);
    return ok && *out >= range->least;
}

static const char *describe_range(enum value_kind kind, const struct range *range,
                                  char out[VALUE_RIGHT])
{
    char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];
    snprintf(least, sizeof least, "%" PRIu64, range->least);
    snprintf(most, sizeof most, "%" PRIu64, range->most);
    switch (kind) {
    case KIND_WORKERS:
        snprintf(out, VALUE_RIGHT, "auto or %s to %s", least, most);
        break;
    case KIND_SOURCE_COUNT:
        snprintf(out, VALUE_RIGHT, "auto, or 0 (off) to %s", most);
        break;
    case KIND_RATE:
        return "a rate such as 200/s, or 0 (off)";
    case KIND_RSA_BITS:
        snprintf(out, VALUE_RIGHT, "%s to %s (the policy can be narrowed, never widened)", least,
                 most);
        break;
    case KIND_SIZE:
        units_format_size(range->least, least);
        units_format_size(range->most, most);
        snprintf(out, VALUE_RIGHT, "a size with a unit, such as 80KiB, from %s to %s", least, most);
        break;
    case KIND_DURATION:
    case KIND_TIME_LIMIT:
        units_format_duration(range->most, most);
        snprintf(out, VALUE_RIGHT, "%sa duration with a unit, such as 250ms, 10s or 5m, up to %s",
                 kind == KIND_TIME_LIMIT ? "off, or " : "", most);
        break;
    default:
        snprintf(out, VALUE_RIGHT, "%s to %s", least, most);
    }
    return out;
}

static const char *parse_number(enum value_kind kind, const struct range *range, const char *text,
                                void *member, char right[VALUE_RIGHT])
{
    uint64_t v;
    bool wide = kind == KIND_SIZE || is_duration(kind);
    if (!wide && parse_auto(kind, range, text, member)) return NULL;
    if (!parse_amount(kind, range, text, &v)) return describe_range(kind, range, right);
    if (wide)
        *(uint64_t *)member = v;
    else
        *(unsigned *)member = (unsigned)v;
    return NULL;
}

static const char *parse_suite(const char *text, struct string_list *list)
{
    const struct suite *s = suite_by_name(text);
    if (!s) return "one of the eight suites that suitegate policy lists";
    return list_add_text(list, text_copy(s->iana, strlen(s->iana))) ? NULL : out_of_memory;
}

/* A line that names a file of entries, with its path made absolute. */
static const char *add_file(const char *path, const char *directory, struct string_list *texts)
{
    struct text line = {0};
    char *resolved = value_resolve_path(path, directory);
    text_printf(&line, "file:%s", resolved ? resolved : "");
    char *copy = resolved ? text_take(&line) : NULL;
    free(resolved);
    text_fini(&line);
    return list_add_text(texts, copy) ? NULL : out_of_memory;
}

static const char *parse_cidr(const char *text, const char *directory, struct cidr_list *list)
{
    struct cidr range;
    const char *path = list_file(text);
    if (path && *path) return add_file(path, directory, &list->texts);
    if (!cidr_from_text(text, &range))
        return "an address, a range such as 10.0.0.0/8, or file:PATH";
    return list_add_text(&list->texts, text_copy(text, strlen(text))) && list_add_cidr(list, &range)
               ? NULL
               : out_of_memory;
}

bool value_allow_loopback(struct cidr_list *list)
{
    return !parse_cidr("127.0.0.0/8", "", list) && !parse_cidr("::1/128", "", list);
}

static const char *parse_pattern(const char *text, const char *directory, struct pattern_list *list)
{
    struct pattern p;
    const char *path = list_file(text);
    if (path && *path) return add_file(path, directory, &list->texts);
    if (!pattern_from_text(text, &p))
        return "a host pattern and ports, such as *.example.com:443 or 10.0.0.0/8:443,8443, or "
               "file:PATH";
    return list_add_text(&list->texts, text_copy(text, strlen(text))) && list_add_pattern(list, &p)
               ? NULL
               : out_of_memory;
}

/* An HTTP URL in visible ASCII: CRLs are never fetched over TLS (RFC 5280 section 8). */
static bool url_is_valid(const char *text)
{
    if (strncmp(text, "http://", 7) != 0 || !text[7]) return false;
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~') return false;
    return true;
}

/* A DNS name or an IP address. */
static bool name_is_valid(const char *text)
{
    struct addr a;
    return hello_name_is_valid(text, strlen(text)) || addr_from_ip(text, 0, &a);
}

static const char *parse_syslog(const char *text, struct string_list *list)
{
    struct syslog_address address;
    if (!syslog_address_from_text(text, &address))
        return "unix:/dev/log, udp:HOST:PORT or tcp:HOST:PORT";
    return list_add_text(list, text_copy(text, strlen(text))) ? NULL : out_of_memory;
}

bool label_is_valid(const char *s)
{
    enum { LABEL_LIMIT = 40 };
    size_t n = strlen(s);
    if (n == 0 || n > LABEL_LIMIT) return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == n;
}

static const char *const schemes[] = {
    [PARENT_HTTP] = "http://", [PARENT_HTTPS] = "https://", [PARENT_SOCKS5] = "socks5://"};

/* A final "/" is allowed, as people copy it. */
static const char *parse_parent_url(const char *text, struct parent_url *out)
{
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t n = strlen(schemes[i]), left = strlen(text);
        if (strncmp(text, schemes[i], n) != 0) continue;
        if (left > n && text[left - 1] == '/') left--;
        out->kind = (enum parent_kind)i;
        if (target_from_text(text + n, left - n, &out->target)) return NULL;
        out->target = (struct target){0};
    }
    return "http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, without a user name";
}

static const char *parse_resolver(const char *text, struct string_list *list)
{
    enum { DNS_PORT = 53 };
    struct addr server;
    char whole[ADDR_TEXT_SIZE];
    bool ok = addr_from_ip(text, DNS_PORT, &server) || addr_from_text(text, &server);
    if (!ok || addr_port(&server) == 0 || addr_is_unspecified(&server))
        return "the IP address of a name server, with a port if it is not 53";
    addr_format(&server, whole);
    return list_add_text(list, text_copy(whole, strlen(whole))) ? NULL : out_of_memory;
}

/* Plain HTTP: what is published is signed, and its reader may not trust any CA yet. */
static bool publish_url_is_valid(const char *text)
{
    static const char scheme[] = "http://";
    struct target target;
    size_t n = sizeof scheme - 1;
    return strncmp(text, scheme, n) == 0 && target_from_text(text + n, strlen(text + n), &target) &&
           strlen(text) < PUBLISH_URL_LIMIT;
}

enum { USER_LIMIT = 255 };

static const char *parse_string(enum value_kind kind, const char *text, const char *directory,
                                char **member)
{
    if (kind == KIND_PATH) return value_set_string(member, value_resolve_path(text, directory));
    if (kind == KIND_URL && !url_is_valid(text)) return "an http:// URL";
    if (kind == KIND_PUBLISH_URL && !publish_url_is_valid(text)) return "http://HOST:PORT";
    if (kind == KIND_LABEL && !label_is_valid(text))
        return "the name of a section: letters, digits, - or _";
    if (kind == KIND_USER && (strlen(text) > USER_LIMIT || strpbrk(text, " \t:/")))
        return "the name of a user";
    if (kind == KIND_NAME && !name_is_valid(text)) return "a DNS name or an IP address";
    const char *fault = value_set_string(member, text_copy(text, strlen(text)));
    if (!fault && kind == KIND_NAME) text_lower(*member);
    return fault;
}

const char *value_parse(enum value_kind kind, const struct range *range, const char *text,
                        const char *directory, void *member, char right[VALUE_RIGHT])
{
    if (!text[0]) return "given a value";
    switch (kind) {
    case KIND_WORKERS:
    case KIND_COUNT:
    case KIND_SOURCE_COUNT:
    case KIND_RATE:
    case KIND_RSA_BITS:
    case KIND_PORT:
    case KIND_SIZE:
    case KIND_DURATION:
    case KIND_TIME_LIMIT:
        return parse_number(kind, range, text, member, right);
    case KIND_REFUSE_ALLOW:
    case KIND_YES_NO:
    case KIND_PROFILE:
    case KIND_LISTEN_TYPE:
    case KIND_SYNC:
    case KIND_TRANSPARENT:
    case KIND_MODE:
    case KIND_PROXY_VERSION:
    case KIND_CLIENT_CERTIFICATE:
        return word_parse(kind, text, member, right);
    case KIND_SUITE_LIST:
        return parse_suite(text, member);
    case KIND_PATH:
    case KIND_URL:
    case KIND_PUBLISH_URL:
    case KIND_NAME:
    case KIND_LABEL:
    case KIND_USER:
        return parse_string(kind, text, directory, member);
    case KIND_PATH_LIST:
        return list_add_text(member, value_resolve_path(text, directory)) ? NULL : out_of_memory;
    case KIND_SYSLOG_LIST:
        return parse_syslog(text, member);
    case KIND_RESOLVER_LIST:
        return parse_resolver(text, member);
    case KIND_LISTEN_ADDRESS:
        return place_parse_listen(text, member);
    case KIND_ENDPOINT:
        return place_parse_endpoint(text, directory, member);
    case KIND_IP:
        return addr_from_ip(text, 0, member) && !addr_is_unspecified(member)
                   ? NULL
                   : "an IP address of this machine, such as 192.0.2.1";
    case KIND_CIDR_LIST:
        return parse_cidr(text, directory, member);
    case KIND_PATTERN_LIST:
        return parse_pattern(text, directory, member);
    case KIND_TARGET:
        return target_from_text(text, strlen(text), member) ? NULL : "host:port";
    case KIND_PARENT_URL:
        return parse_parent_url(text, member);
    }
    return "of a known kind";
}

static void print_url(const struct parent_url *url, char out[PRINTED])
{
    char target[TARGET_TEXT_SIZE];
    if (!url->target.host[0]) return;
    target_format(&url->target, target);
    snprintf(out, PRINTED, "%s%s", schemes[url->kind], target);
}

void value_print(enum value_kind kind, const void *member,
                 void (*each)(void *arg, const char *text), void *arg)
{
    char s[PRINTED] = "";
    switch (kind) {
    case KIND_WORKERS:
    case KIND_COUNT:
    case KIND_SOURCE_COUNT:
    case KIND_RSA_BITS:
    case KIND_PORT:
        if (kind == KIND_PORT && *(const unsigned *)member == 0) return; /* not given */
        snprintf(s, sizeof s, "%u", *(const unsigned *)member);
        break;
    case KIND_RATE:
        units_format_rate(*(const unsigned *)member, s);
        break;
    case KIND_SIZE:
        units_format_size(*(const uint64_t *)member, s);
        break;
    case KIND_DURATION:
        if (*(const uint64_t *)member == 0) return; /* not given */
        units_format_duration(*(const uint64_t *)member, s);
        break;
    case KIND_TIME_LIMIT:
        if (*(const uint64_t *)member == 0)
            snprintf(s, sizeof s, "off");
        else
            units_format_duration(*(const uint64_t *)member, s);
        break;
    case KIND_LISTEN_ADDRESS:
        place_print_listen(member, s);
        break;
    case KIND_ENDPOINT:
        place_print_endpoint(member, each, arg);
        return;
    case KIND_IP:
        if (((const struct addr *)member)->length) addr_format_ip(member, s);
        break;
    case KIND_TARGET:
        if (((const struct target *)member)->host[0]) target_format(member, s);
        break;
    case KIND_PARENT_URL:
        print_url(member, s);
        break;
    case KIND_PATH:
    case KIND_URL:
    case KIND_PUBLISH_URL:
    case KIND_NAME:
    case KIND_LABEL:
    case KIND_USER:
        if (*(char *const *)member) each(arg, *(char *const *)member);
        return;
    default:
        if (kind_is_word(kind)) snprintf(s, sizeof s, "%s", word_of(kind, member));
        break;
    }
    const struct string_list *texts = texts_of(kind, member); /* of a list */
    for (size_t i = 0; texts && i < texts->n; i++) each(arg, texts->items[i]);
    if (s[0]) each(arg, s);
}

void value_free(enum value_kind kind, void *member)
{
    switch (kind) {
    case KIND_PATH:
    case KIND_URL:
    case KIND_PUBLISH_URL:
    case KIND_NAME:
    case KIND_LABEL:
    case KIND_USER:
        free(*(char **)member);
        *(char **)member = NULL;
        break;
    case KIND_LISTEN_ADDRESS:
        free(((struct listen_address *)member)->systemd);
        ((struct listen_address *)member)->systemd = NULL;
        break;
    case KIND_ENDPOINT:
        free(((struct endpoint *)member)->path);
        ((struct endpoint *)member)->path = NULL;
        break;
    case KIND_SUITE_LIST:
    case KIND_PATH_LIST:
    case KIND_SYSLOG_LIST:
    case KIND_RESOLVER_LIST:
        list_free_texts(member);
        break;
    case KIND_CIDR_LIST:
        list_free_cidrs(member);
        break;
    case KIND_PATTERN_LIST:
        list_free_patterns(member);
        break;
    default:
        break;
    }
}
