#include "config/config.h"

#include "values.h"

#include <ini.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum section {
    SECTION_PROXY,
    SECTION_POLICY,
    SECTION_CA,
    SECTION_UPSTREAM,
    SECTION_AUDIT,
    SECTION_LISTEN,
    SECTION_COUNT,
    SECTION_NONE = SECTION_COUNT
};

static const char *const section_names[SECTION_COUNT] = {"proxy",    "policy", "ca",
                                                         "upstream", "audit",  "listen"};

struct option {
    enum section section;
    const char *key;
    enum value_kind kind;
    size_t offset; /* in struct config, or struct listen_config for SECTION_LISTEN */
    const char *standard;
    const char *text;
};

#define HOLDER_PROXY struct config
#define HOLDER_POLICY struct config
#define HOLDER_CA struct config
#define HOLDER_UPSTREAM struct config
#define HOLDER_AUDIT struct config
#define HOLDER_LISTEN struct listen_config

static const struct option options[] = {
#define OPTION(section, key, kind, member, standard, text) \
    {SECTION_##section, #key, kind, offsetof(HOLDER_##section, member), standard, text},
#include "config/options.def"
#undef OPTION
};
_Static_assert(COUNT_OF(options) <= 64, "one bit an option in `seen`");

enum { SUITE_LINES = 2 * SUITE_COUNT };
enum { LINE_LIMIT = 198, NAME_LIMIT = 40 }; /* what the INI library keeps of a line */

struct parser {
    struct config *config;
    struct listen_config *listener; /* of the current section */
    enum section section;
    const char *next, *end; /* text not yet handed to the library */
    unsigned line;
    unsigned suite_lines[SUITE_LINES]; /* of the suite options, the first of them */
    const char *file;
    char *directory;
    struct text *errors;
};

static void complain(struct parser *p, unsigned line, const char *what, const char *about)
{
    text_printf(p->errors, "%s:%u: %s%s%s\n", p->file, line, what, about[0] ? ": " : "", about);
}

static bool listener_name_is_valid(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > NAME_LIMIT) return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == n;
}

static void begin_listener(struct parser *p, const char *name)
{
    struct config *c = p->config;
    if (!listener_name_is_valid(name)) {
        complain(p, p->line, "a listener's name is 1 to 40 letters, digits, - or _", name);
        return;
    }
    for (size_t i = 0; i < c->listener_count; i++)
        if (strcmp(c->listeners[i].name, name) == 0)
            complain(p, p->line, "this listener is defined twice", name);
    struct listen_config *more = realloc(c->listeners, (c->listener_count + 1) * sizeof *more);
    char *copy = text_copy(name, strlen(name));
    if (more) c->listeners = more;
    if (!more || !copy) {
        free(copy);
        complain(p, p->line, "out of memory", "");
        return;
    }
    p->listener = &c->listeners[c->listener_count++];
    *p->listener = (struct listen_config){.name = copy, .line = p->line};
}

static void begin_section(struct parser *p, const char *name)
{
    p->listener = NULL;
    p->section = SECTION_NONE;
    if (strncmp(name, "listen ", 7) == 0) {
        p->section = SECTION_LISTEN;
        begin_listener(p, name + 7 + strspn(name + 7, " "));
        return;
    }
    for (int s = 0; s < SECTION_LISTEN; s++)
        if (strcmp(name, section_names[s]) == 0) p->section = (enum section)s;
    if (p->section == SECTION_NONE)
        complain(p, p->line,
                 strcmp(name, "listen") == 0 ? "a listener needs a name, such as [listen forward]"
                                             : "unknown section",
                 name);
}

/* What the INI library would pass over in silence is found here, on the raw line. */
static void look_at_line(struct parser *p, const char *line, size_t n)
{
    if (n > LINE_LIMIT) {
        complain(p, p->line, "the line is longer than 198 characters", "");
        return;
    }
    if (memchr(line, '\0', n)) complain(p, p->line, "the line has a NUL character", "");
    if (n > 0 && (line[0] == ' ' || line[0] == '\t')) {
        size_t blank = strspn(line, " \t");
        if (blank < n && !strchr("\r\n;#", line[blank]))
            complain(p, p->line,
                     "the line is indented; an option that takes several values repeats", "");
        return;
    }
    if (n == 0 || line[0] != '[') return;
    const char *close = memchr(line, ']', n);
    if (!close) return; /* the library reports it */
    const char *rest = close + 1;
    while (rest < line + n && strchr(" \t\r\n", *rest)) rest++;
    if (rest < line + n && *rest != ';' && *rest != '#')
        complain(p, p->line, "text behind the section's name", "");
    char name[LINE_LIMIT + 1];
    size_t length = (size_t)(close - line) - 1;
    memcpy(name, line + 1, length);
    name[length] = '\0';
    begin_section(p, name);
}

/* ini_reader: the next line, as fgets() would give it but for its end. */
static char *read_line(char *out, int size, void *stream)
{
    struct parser *p = stream;
    if (p->next == p->end) return NULL;
    const char *line = p->next;
    const char *newline = memchr(line, '\n', (size_t)(p->end - line));
    size_t n = (size_t)((newline ? newline : p->end) - line);
    p->next = newline ? newline + 1 : p->end;
    p->line++;
    char kept[LINE_LIMIT + 1] = "";
    memcpy(kept, line, n <= LINE_LIMIT ? n : LINE_LIMIT);
    size_t mark = p->line == 1 && strncmp(kept, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    look_at_line(p, kept + mark, n > LINE_LIMIT ? n : n - mark);
    snprintf(out, (size_t)size, "%s", kept);
    return out;
}

static const struct option *find_option(enum section section, const char *key)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (options[i].section == section && strcmp(options[i].key, key) == 0) return &options[i];
    return NULL;
}

static void *member_of(struct parser *p, const struct option *o)
{
    if (o->section == SECTION_LISTEN) return (char *)p->listener + o->offset;
    return (char *)p->config + o->offset;
}

/* ini_handler: 1 = go on. Every error is noted and parsing goes on to find the rest. */
static int take_option(void *user, const char *section, const char *key, const char *value)
{
    struct parser *p = user;
    (void)section; /* begin_section() has seen the whole name */
    if (p->section == SECTION_NONE) {
        if (!section[0]) complain(p, p->line, "the option stands before any section", key);
        return 1;
    }
    if (p->section == SECTION_LISTEN && !p->listener) return 1;
    const struct option *o = find_option(p->section, key);
    if (!o) {
        char about[160];
        snprintf(about, sizeof about, "%s in [%s]", key, section_names[p->section]);
        complain(p, p->line, "unknown option", about);
        return 1;
    }
    uint64_t *seen = p->listener ? &p->listener->seen : &p->config->seen;
    uint64_t bit = (uint64_t)1 << (o - options);
    if (*seen & bit && !value_repeats(o->kind)) complain(p, p->line, "given twice", key);
    *seen |= bit;
    if (o->kind == KIND_SUITE_LIST && p->config->suite_names.n < SUITE_LINES)
        p->suite_lines[p->config->suite_names.n] = p->line;
    const char *fault = value_parse(o->kind, value, p->directory, member_of(p, o));
    if (fault) {
        char about[320];
        snprintf(about, sizeof about, "must be %s, not \"%s\"", fault, value);
        complain(p, p->line, key, about);
    }
    return 1;
}

static void set_defaults(struct parser *p)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *o = &options[i];
        if (!o->standard || o->section == SECTION_LISTEN) continue;
        if (value_parse(o->kind, o->standard, p->directory, member_of(p, o)))
            complain(p, 0, "out of memory", o->key);
    }
}

/* One source leaves at least half of a large table to the others. */
static void finish_proxy(struct config *c)
{
    enum { SMALL_TABLE = 256 };
    unsigned half = (c->proxy.max_connections + 1) / 2;
    if (c->proxy.per_source.connections == SOURCE_COUNT_AUTO)
        c->proxy.per_source.connections = half > SMALL_TABLE ? half : SMALL_TABLE;
}

static void finish_policy(struct parser *p)
{
    struct config *c = p->config;
    suite_set profile = policy_profile_suites(c->policy.profile), chosen = 0;
    for (size_t i = 0; i < c->suite_names.n; i++) {
        suite_set bit = suite_bit(suite_by_name(c->suite_names.items[i]));
        if (!(bit & profile))
            complain(p, i < SUITE_LINES ? p->suite_lines[i] : p->line,
                     "not in this profile (the policy can only be narrowed)",
                     c->suite_names.items[i]);
        chosen |= bit;
    }
    c->policy.allowed = c->suite_names.n ? chosen & profile : profile;
}

/* Options that mean something for some types only. */
static void check_type(struct parser *p, const struct listen_config *l)
{
    bool fixed = l->type == LISTEN_FIXED, test = l->type == LISTEN_TEST;
    if (fixed && !l->upstream.host[0])
        complain(p, l->line, "a fixed listener needs upstream", l->name);
    if (!fixed && (l->upstream.host[0] || l->upstream_name))
        complain(p, l->line, "upstream and upstream_name are for fixed listeners", l->name);
    if (!fixed && !test && (l->certificates.n || l->keys.n))
        complain(p, l->line, "certificate and key are for fixed and test listeners", l->name);
    if (test && l->idle_timeout)
        complain(p, l->line, "a test listener has no tunnels that idle", l->name);
    if (test && l->allow_upstreams.n)
        complain(p, l->line, "a test listener has no upstreams to allow", l->name);
    if (l->certificates.n != l->keys.n)
        complain(p, l->line, "as many key lines as certificate lines are needed", l->name);
    if (l->certificates.n > KEY_TYPES)
        complain(p, l->line, "one certificate a key type at most", l->name);
}

static void finish_listener(struct parser *p, struct listen_config *l)
{
    if (l->type == LISTEN_UNSET) complain(p, l->line, "the listener needs a type", l->name);
    if (!l->address.length) complain(p, l->line, "the listener needs an address", l->name);
    check_type(p, l);
    if (l->address.length && !addr_is_loopback(&l->address) && l->allow_clients.n == 0)
        complain(p, l->line,
                 "a listener that is not on loopback needs allow_clients, or it would be an open "
                 "proxy",
                 l->name);
    for (struct listen_config *o = p->config->listeners; o < l; o++)
        if (o->address.length && l->address.length && addr_same_ip(&o->address, &l->address) &&
            addr_port(&l->address) && addr_port(&o->address) == addr_port(&l->address))
            complain(p, l->line, "another listener has the same address", o->name);
    if (l->allow_clients.n == 0 &&
        (value_parse(KIND_CIDR_LIST, "127.0.0.0/8", "", &l->allow_clients) ||
         value_parse(KIND_CIDR_LIST, "::1/128", "", &l->allow_clients)))
        complain(p, l->line, "out of memory", l->name);
    if (!l->idle_timeout && l->type != LISTEN_TEST) l->idle_timeout = p->config->proxy.idle_timeout;
    if (l->type == LISTEN_FIXED && !l->upstream_name && l->upstream.host[0])
        l->upstream_name = text_copy(l->upstream.host, strlen(l->upstream.host));
}

/* The folder the file lies in, as an absolute path where it exists. */
static char *directory_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *named = !slash          ? text_copy(".", 1)
                  : slash == file ? text_copy("/", 1)
                                  : text_copy(file, (size_t)(slash - file));
    char *absolute = named ? realpath(named, NULL) : NULL;
    if (!absolute) return named;
    free(named);
    return absolute;
}

struct config *config_parse(const char *text, size_t n, const char *file, struct text *errors)
{
    struct parser p = {.config = calloc(1, sizeof(struct config)),
                       .section = SECTION_NONE,
                       .next = text,
                       .end = text + n,
                       .file = file,
                       .directory = directory_of(file),
                       .errors = errors};
    if (p.config && p.directory) {
        set_defaults(&p);
        int fault = ini_parse_stream(read_line, &p, take_option, &p);
        if (fault > 0)
            complain(&p, (unsigned)fault, "not a [section], a comment or key = value", "");
        if (fault < 0) complain(&p, p.line, "out of memory", "");
        finish_proxy(p.config);
        finish_policy(&p);
        for (size_t i = 0; i < p.config->listener_count; i++)
            finish_listener(&p, &p.config->listeners[i]);
        if (p.config->listener_count == 0)
            complain(&p, p.line, "no listener: add a section such as [listen forward]", "");
    } else {
        complain(&p, 0, "out of memory", "");
    }
    free(p.directory);
    if (errors->size == 0 && !errors->failed) return p.config;
    config_free(p.config);
    return NULL;
}

struct config *config_load(const char *file, struct text *errors, bool *unreadable)
{
    enum { FILE_LIMIT = 1 << 20 };
    *unreadable = true;
    FILE *f = fopen(file, "re");
    if (!f) {
        text_printf(errors, "%s: %s\n", file, strerror(errno));
        return NULL;
    }
    struct text content = {0};
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0 && content.size < FILE_LIMIT)
        text_add_bytes(&content, block, n);
    bool bad = ferror(f) || content.failed || content.size >= FILE_LIMIT;
    if (bad) text_printf(errors, "%s: %s\n", file, ferror(f) ? strerror(errno) : "too large");
    fclose(f);
    *unreadable = bad;
    struct config *c = bad ? NULL : config_parse(text_string(&content), content.size, file, errors);
    text_fini(&content);
    return c;
}

void config_free(struct config *c)
{
    if (!c) return;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if (options[i].section != SECTION_LISTEN) {
            value_free(options[i].kind, (char *)c + options[i].offset);
            continue;
        }
        for (size_t l = 0; l < c->listener_count; l++)
            value_free(options[i].kind, (char *)&c->listeners[l] + options[i].offset);
    }
    for (size_t l = 0; l < c->listener_count; l++) free(c->listeners[l].name);
    free(c->listeners);
    free(c);
}

struct printer {
    struct text *out;
    const char *key;
};

static void print_value(void *arg, const char *text)
{
    struct printer *p = arg;
    text_printf(p->out, "%s = %s\n", p->key, text);
}

static void print_section(enum section section, const void *holder, struct text *out)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if (options[i].section != section) continue;
        struct printer p = {out, options[i].key};
        value_print(options[i].kind, (const char *)holder + options[i].offset, print_value, &p);
    }
}

void config_print(const struct config *c, struct text *out)
{
    for (int s = 0; s < SECTION_LISTEN; s++) {
        text_printf(out, "%s[%s]\n", s ? "\n" : "", section_names[s]);
        print_section((enum section)s, c, out);
    }
    for (size_t l = 0; l < c->listener_count; l++) {
        text_printf(out, "\n[listen %s]\n", c->listeners[l].name);
        print_section(SECTION_LISTEN, &c->listeners[l], out);
    }
}

void config_describe(void (*each)(void *arg, const char *section, const char *key,
                                  const char *standard, bool repeats, const char *text),
                     void *arg)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        each(arg, section_names[options[i].section], options[i].key, options[i].standard,
             value_repeats(options[i].kind), options[i].text);
}

bool config_needs_ca(const struct config *c)
{
    for (size_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].certificates.n == 0) return true;
    return false;
}

bool listen_allows_client(const struct listen_config *l, const struct addr *client)
{
    for (size_t i = 0; i < l->allow_clients.n; i++)
        if (cidr_contains(&l->allow_clients.items[i], client)) return true;
    return false;
}

bool listen_allows_upstream(const struct listen_config *l, const struct target *t)
{
    for (size_t i = 0; i < l->allow_upstreams.n; i++)
        if (pattern_matches(&l->allow_upstreams.items[i], t)) return true;
    return l->allow_upstreams.n == 0;
}

bool listen_names_address(const struct listen_config *l, const struct addr *a)
{
    struct target t = {.port = addr_port(a), .is_ip = true};
    addr_format_ip(a, t.host);
    for (size_t i = 0; i < l->allow_upstreams.n; i++) {
        const struct pattern *p = &l->allow_upstreams.items[i];
        if (!p->any && pattern_matches(p, &t)) return true;
    }
    return false;
}
