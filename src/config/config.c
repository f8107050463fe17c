#include "config/config.h"

#include "base/file.h"
#include "options.h"

#include <ini.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUITE_LINES = 2 * SUITE_COUNT };
enum { LINE_LIMIT = 198 }; /* what the INI library reads of a line */

struct parser {
    struct config *config;
    enum section section;
    void *holder;                 /* of the current section's options; NULL: none */
    bool seen[COUNT_OF(options)]; /* in this section; if it has no name, in the whole file */
    const char *next, *end;       /* text not yet handed to the library */
    unsigned line;
    unsigned suite_lines[SUITE_LINES]; /* of the first suite options */
    const char *file;
    char *directory;
    struct text *errors;
};

static void complain(struct parser *p, unsigned line, const char *what, const char *about)
{
    text_printf(p->errors, "%s:%u: %s%s%s\n", p->file, line, what, about[0] ? ": " : "", about);
}

/* Room for one more section with this name; its struct begins with the name. NULL: complained. */
static void *begin_named(struct parser *p, void **items, size_t *count, size_t size,
                         const char *name)
{
    const char *what = p->section == SECTION_LISTEN ? "listener" : sections[p->section].name;
    if (!label_is_valid(name)) {
        text_printf(p->errors, "%s:%u: %s: the name is 1 to 40 letters, digits, - or _: %s\n",
                    p->file, p->line, what, name);
        return NULL;
    }
    for (size_t i = 0; i < *count; i++)
        if (strcmp(*(char **)((char *)*items + i * size), name) == 0)
            text_printf(p->errors, "%s:%u: this %s is defined twice: %s\n", p->file, p->line, what,
                        name);
    char *more = realloc(*items, (*count + 1) * size);
    if (more) *items = more;
    char *copy = more ? text_copy(name, strlen(name)) : NULL;
    if (!copy) {
        complain(p, p->line, "out of memory", "");
        return NULL;
    }
    memset(more + *count * size, 0, size);
    *(char **)(more + *count * size) = copy;
    return more + (*count)++ * size;
}

static void begin_listener(struct parser *p, const char *name)
{
    struct config *c = p->config;
    struct listen_config *l =
        begin_named(p, (void **)&c->listeners, &c->listener_count, sizeof *c->listeners, name);
    if (l) l->line = p->line;
    p->holder = l;
}

static void begin_parent(struct parser *p, const char *name)
{
    struct config *c = p->config;
    struct parent_config *parent =
        begin_named(p, (void **)&c->parents, &c->parent_count, sizeof *c->parents, name);
    if (parent) parent->line = p->line;
    p->holder = parent;
}

static void begin_identity(struct parser *p, const char *name)
{
    struct config *c = p->config;
    struct identity_config *identity =
        begin_named(p, (void **)&c->identities, &c->identity_count, sizeof *c->identities, name);
    if (identity) identity->line = p->line;
    p->holder = identity;
}

/* Options that mean nothing for the listener's type. */
static void check_types(struct parser *p)
{
    const struct listen_config *l = p->holder;
    if (!l || l->type == LISTEN_UNSET) return;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *o = &options[i];
        if (!p->seen[i] || o->section != SECTION_LISTEN || o->types & (1u << l->type)) continue;
        struct text names = {0}, what = {0};
        option_types(o->types, ", ", &names);
        text_printf(&what, "%s is for %s listeners", o->key, text_string(&names));
        complain(p, l->line, text_string(&what), l->name);
        text_fini(&names);
        text_fini(&what);
    }
}

static void end_section(struct parser *p)
{
    if (p->section == SECTION_LISTEN) check_types(p);
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (sections[options[i].section].named) p->seen[i] = false;
    p->holder = NULL;
    p->section = SECTION_NONE;
}

/* "listen forward" belongs to the row "listen". */
static bool is_of_section(const struct section_row *row, const char *name)
{
    size_t n = strlen(row->name);
    if (!row->named) return strcmp(name, row->name) == 0;
    return strncmp(name, row->name, n) == 0 && name[n] == ' ';
}

static void begin_section(struct parser *p, const char *name)
{
    end_section(p);
    for (unsigned s = 0; s < SECTION_COUNT; s++)
        if (is_of_section(&sections[s], name)) p->section = (enum section)s;
    p->holder = p->config;
    if (p->section == SECTION_NONE) {
        bool unnamed = false;
        for (unsigned s = 0; s < SECTION_COUNT; s++)
            unnamed = unnamed || (sections[s].named && strcmp(name, sections[s].name) == 0);
        complain(p, p->line,
                 unnamed ? "this section needs a name, such as [listen forward] or [parent office]"
                         : "unknown section",
                 name);
    } else if (sections[p->section].named) {
        const char *own = name + strlen(sections[p->section].name);
        own += strspn(own, " ");
        if (p->section == SECTION_LISTEN)
            begin_listener(p, own);
        else if (p->section == SECTION_PARENT)
            begin_parent(p, own);
        else
            begin_identity(p, own);
    }
}

/* Finds on the raw line what the INI library would silently ignore. */
static void check_raw_line(struct parser *p, const char *line, size_t n)
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

/* ini_reader: the next line, as from fgets(), but without its line end. */
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
    size_t bom = p->line == 1 && strncmp(kept, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    check_raw_line(p, kept + bom, n > LINE_LIMIT ? n : n - bom);
    snprintf(out, (size_t)size, "%s", kept);
    return out;
}

static const struct option *find_option(enum section section, const char *key)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (options[i].section == section && strcmp(options[i].key, key) == 0) return &options[i];
    return NULL;
}

/* ini_handler: 1 = go on. Errors do not stop parsing: all are reported together. */
static int take_option(void *user, const char *section, const char *key, const char *value)
{
    struct parser *p = user;
    (void)section; /* begin_section() has seen the whole name */
    if (p->section == SECTION_NONE) {
        if (!section[0]) complain(p, p->line, "the option stands before any section", key);
        return 1;
    }
    if (!p->holder) return 1;
    const struct option *o = find_option(p->section, key);
    if (!o) {
        char about[160];
        snprintf(about, sizeof about, "%s in [%s]", key, sections[p->section].name);
        complain(p, p->line, "unknown option", about);
        return 1;
    }
    bool *seen = &p->seen[o - options];
    if (*seen && !value_repeats(o->kind)) complain(p, p->line, "given twice", key);
    *seen = true;
    if (o->kind == KIND_SUITE_LIST && p->config->suite_names.n < SUITE_LINES)
        p->suite_lines[p->config->suite_names.n] = p->line;
    char right[VALUE_RIGHT];
    const char *fault =
        value_parse(o->kind, &o->range, value, p->directory, (char *)p->holder + o->offset, right);
    if (fault) {
        char about[320];
        if (o->kind == KIND_PARENT_URL) /* it may have a password */
            snprintf(about, sizeof about, "must be %s", fault);
        else
            snprintf(about, sizeof about, "must be %s, not \"%s\"", fault, value);
        complain(p, p->line, key, about);
    }
    return 1;
}

static void set_defaults(struct parser *p)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *o = &options[i];
        if (!o->standard || sections[o->section].named) continue;
        char right[VALUE_RIGHT];
        if (value_parse(o->kind, &o->range, o->standard, p->directory,
                        (char *)p->config + o->offset, right))
            complain(p, 0, "out of memory", o->key);
    }
}

/* One source may use at most half of a large table. */
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

static void check_client_certificate(struct parser *p, const struct listen_config *l)
{
    if (listen_asks_certificate(l) && !l->client_ca)
        complain(p, l->line, "client_certificate needs client_ca", l->name);
    if (!listen_asks_certificate(l) && (l->client_ca || l->client_crl))
        complain(p, l->line,
                 "client_ca and client_crl need client_certificate, or no client is asked",
                 l->name);
    if (listen_asks_certificate(l) && l->mode == MODE_OBSERVE)
        complain(p, l->line, "a listener that only observes cannot ask for client_certificate",
                 l->name);
}

/* Options that depend on each other. */
static void check_listener(struct parser *p, const struct listen_config *l)
{
    if (l->type == LISTEN_FIXED && !l->upstream.host[0])
        complain(p, l->line, "a fixed listener needs upstream", l->name);
    if (l->type == LISTEN_SNI && l->allow_upstreams.texts.n == 0)
        complain(p, l->line, "an sni listener needs allow_upstreams: its clients name the upstream",
                 l->name);
    bool port_is_open = l->systemd || (l->address.length && !addr_port(&l->address));
    if (l->type == LISTEN_SNI && !l->upstream_port && port_is_open)
        complain(p, l->line, "an sni listener on a free port needs upstream_port", l->name);
    if (l->certificates.n != l->keys.n)
        complain(p, l->line, "as many key lines as certificate lines are needed", l->name);
    if (l->certificates.n > KEY_TYPES)
        complain(p, l->line, "at most one certificate for each key type", l->name);
    check_client_certificate(p, l);
}

static const struct parent_config *find_parent(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->parent_count; i++)
        if (strcmp(c->parents[i].name, name) == 0) return &c->parents[i];
    return NULL;
}

static void finish_parents(struct parser *p)
{
    const struct config *c = p->config;
    for (size_t i = 0; i < c->parent_count; i++) {
        const struct parent_config *parent = &c->parents[i];
        if (!parent->url.target.host[0])
            complain(p, parent->line, "the parent needs url", parent->name);
        if (strcmp(parent->name, "direct") == 0)
            complain(p, parent->line, "the name means to go without one", parent->name);
    }
    if (c->upstream.parent && !find_parent(c, c->upstream.parent))
        complain(p, p->line, "[upstream] parent: there is no such section", c->upstream.parent);
}

static void check_identities(struct parser *p)
{
    for (size_t i = 0; i < p->config->identity_count; i++) {
        const struct identity_config *identity = &p->config->identities[i];
        if (!identity->certificate || !identity->key)
            complain(p, identity->line, "the identity needs certificate and key", identity->name);
        if (identity->upstreams.texts.n == 0)
            complain(p, identity->line, "the identity needs upstreams: who may see it",
                     identity->name);
    }
}

static void finish_parent_of(struct parser *p, struct listen_config *l)
{
    const char *name = l->parent_name ? l->parent_name : p->config->upstream.parent;
    if (!listen_relays(l) || !name || strcmp(name, "direct") == 0) return;
    l->parent = find_parent(p->config, name);
    if (!l->parent && l->parent_name)
        complain(p, l->line, "parent: there is no such section", name);
}

static void finish_listener(struct parser *p, struct listen_config *l)
{
    if (l->type == LISTEN_UNSET) complain(p, l->line, "the listener needs a type", l->name);
    if (!l->address.length && !l->systemd)
        complain(p, l->line, "the listener needs an address", l->name);
    check_listener(p, l);
    if (l->address.length && !addr_is_loopback(&l->address) && l->allow_clients.texts.n == 0)
        complain(p, l->line,
                 "a listener that is not on loopback needs allow_clients, or it would be an open "
                 "proxy",
                 l->name);
    for (struct listen_config *o = p->config->listeners; o < l; o++)
        if ((o->systemd && l->systemd && strcmp(o->systemd, l->systemd) == 0) ||
            (o->address.length && l->address.length && addr_same_ip(&o->address, &l->address) &&
             addr_port(&l->address) && addr_port(&o->address) == addr_port(&l->address)))
            complain(p, l->line, "another listener has the same address", o->name);
    if (l->allow_clients.texts.n == 0 && !value_allow_loopback(&l->allow_clients))
        complain(p, l->line, "out of memory", l->name);
    if (!l->idle_timeout && listen_relays(l)) l->idle_timeout = p->config->proxy.idle_timeout;
    if (l->type == LISTEN_FIXED && !l->upstream_name && l->upstream.host[0])
        l->upstream_name = text_copy(l->upstream.host, strlen(l->upstream.host));
    if (l->type == LISTEN_SNI && !l->upstream_port) l->upstream_port = addr_port(&l->address);
    finish_parent_of(p, l);
    if (!l->mode && listen_relays(l)) l->mode = MODE_ENFORCE;
    if (l->type == LISTEN_TRANSPARENT && !l->transparent) l->transparent = TRANSPARENT_REDIRECT;
    if (!l->client_certificate && l->type != LISTEN_PUBLISH)
        l->client_certificate = CLIENT_CERTIFICATE_NONE;
}

static void finish_operate(struct parser *p)
{
    struct config *c = p->config;
    const struct addr *a = &c->operate.address.address;
    if (a->length == 0) return;
    if (!addr_is_loopback(a) && c->operate.allow_clients.texts.n == 0)
        complain(p, p->line,
                 "[operate] address: one that is not on loopback needs allow_clients, or anybody "
                 "could see what this proxy does",
                 "");
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct listen_config *l = &c->listeners[i];
        if (addr_port(a) && addr_same_ip(a, &l->address) && addr_port(a) == addr_port(&l->address))
            complain(p, l->line, "[operate] has the same address", l->name);
    }
    if (c->operate.allow_clients.texts.n == 0 && !value_allow_loopback(&c->operate.allow_clients))
        complain(p, p->line, "out of memory", "");
}

/* The file's directory, as an absolute path if it exists. */
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
        end_section(&p);
        if (fault > 0)
            complain(&p, (unsigned)fault, "not a [section], a comment or key = value", "");
        if (fault < 0) complain(&p, p.line, "out of memory", "");
        finish_proxy(p.config);
        finish_policy(&p);
        finish_parents(&p);
        check_identities(&p);
        for (size_t i = 0; i < p.config->listener_count; i++)
            finish_listener(&p, &p.config->listeners[i]);
        finish_operate(&p);
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

bool config_read(const char *file, struct text *out, struct text *errors)
{
    enum { FILE_LIMIT = 1 << 20 };
    int fault = file_read(file, FILE_LIMIT, out, NULL);
    if (fault) text_printf(errors, "%s: %s\n", file, strerror(fault));
    return !fault;
}

struct config *config_load(const char *file, struct text *errors)
{
    struct text content = {0};
    struct config *c = config_read(file, &content, errors)
                           ? config_parse(text_string(&content), content.size, file, errors)
                           : NULL;
    text_fini(&content);
    return c;
}
