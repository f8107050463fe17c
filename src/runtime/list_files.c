#include "runtime/list_files.h"

#include "base/file.h"

#include <errno.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 64 << 20, FAULTS_SHOWN = 5, TAG_SIZE = 128, ENTRY_SIZE = 512 };

/* One of the two kinds of lists. */
struct list {
    struct cidr_list *cidrs;
    struct pattern_list *patterns;
};

struct reading {
    struct list list;
    const char *path;
    struct text *errors;
    unsigned faults;
};

static const struct string_list *texts_of(struct list list)
{
    return list.cidrs ? &list.cidrs->texts : &list.patterns->texts;
}

static void complain(struct reading *r, const char *where, const char *what)
{
    if (r->faults++ < FAULTS_SHOWN) text_printf(r->errors, "%s%s: %s\n", r->path, where, what);
}

static void add_range(struct reading *r, const char *where, const struct cidr *range)
{
    struct pattern p = {.range = *range};
    bool ok = r->list.cidrs ? list_add_cidr(r->list.cidrs, range)
                            : list_add_pattern(r->list.patterns, &p);
    if (!ok) complain(r, where, "more entries than fit (1,000,000, or memory)");
}

static void add_entry(struct reading *r, unsigned line, const char *entry)
{
    struct cidr range;
    struct pattern p;
    char where[16];
    snprintf(where, sizeof where, ":%u", line);
    if (r->list.cidrs) {
        if (cidr_from_text(entry, &range))
            add_range(r, where, &range);
        else
            complain(r, where, "not an address or a range such as 10.0.0.0/8");
    } else if (!pattern_from_text(entry, &p)) {
        complain(r, where, "not a host pattern and ports, such as *.example.com:443");
    } else if (!list_add_pattern(r->list.patterns, &p)) {
        complain(r, where, "more entries than fit (1,000,000, or memory)");
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The length without a comment, which begins with # or ; at the line's start or after a blank. */
static size_t before_comment(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((line[i] == '#' || line[i] == ';') && (i == 0 || is_blank(line[i - 1]))) return i;
    return n;
}

static void read_line(struct reading *r, unsigned number, const char *line, size_t n)
{
    char entry[ENTRY_SIZE];
    n = before_comment(line, n);
    for (; n > 0 && is_blank(*line); n--) line++;
    while (n > 0 && is_blank(line[n - 1])) n--;
    if (n == 0) return;
    snprintf(entry, sizeof entry, "%.*s", (int)n, line);
    if (n >= sizeof entry || strlen(entry) != n)
        complain(r, "", "a line is too long or has a NUL");
    else
        add_entry(r, number, entry);
}

static void read_text(struct reading *r, const char *content, size_t n)
{
    const char *line = content, *end = content + n;
    if (n > 0 && end[-1] != '\n')
        complain(r, "", "its last line has no end: it may be half written");
    for (unsigned number = 1; line < end && r->faults <= FAULTS_SHOWN; number++) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *next = newline ? newline : end;
        read_line(r, number, line, (size_t)(next - line));
        line = next + 1;
    }
}

static json_t *find_tag(json_t *root, const char *tag)
{
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(root, "values"), i, value)
    {
        const char *name = json_string_value(json_object_get(value, "name"));
        if (name && strcmp(name, tag) == 0) return value;
    }
    return NULL;
}

/* {"values": [{"name": "AzureCloud.westeurope", "properties": {"addressPrefixes": [..]}}, ..]} */
static void read_service_tags(struct reading *r, const char *content, size_t n, const char *tag)
{
    json_error_t fault;
    json_t *root = json_loadb(content, n, JSON_REJECT_DUPLICATES, &fault), *prefix;
    json_t *found = root && tag ? find_tag(root, tag) : NULL;
    json_t *prefixes = json_object_get(json_object_get(found, "properties"), "addressPrefixes");
    size_t i;
    if (!root)
        complain(r, "", "is JSON that cannot be read");
    else if (!tag)
        complain(r, "", "is JSON: name one of its service tags, such as #AzureCloud.westeurope");
    else if (!json_is_array(prefixes))
        complain(r, "", "has no such service tag with addressPrefixes");
    json_array_foreach(prefixes, i, prefix)
    {
        struct cidr range;
        const char *text = json_string_value(prefix);
        if (text && cidr_from_text(text, &range))
            add_range(r, "", &range);
        else
            complain(r, "", "has an address prefix that is none");
    }
    json_decref(root);
}

static bool is_json(const char *content, size_t n)
{
    size_t at = 0;
    while (at < n && (is_blank(content[at]) || content[at] == '\n')) at++;
    return at < n && content[at] == '{';
}

static void read_whole(struct reading *r, const struct text *content, const char *tag)
{
    const char *p = text_string(content);
    size_t n = content->size;
    size_t bom = n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    p += bom;
    n -= bom;
    if (is_json(p, n))
        read_service_tags(r, p, n, tag);
    else if (tag)
        complain(r, "", "is no JSON, so it has no service tags");
    else
        read_text(r, p, n);
}

static void read_content(struct list list, const char *path, const char *tag,
                         const struct text *content, struct text *errors)
{
    struct reading r = {.list = list, .path = path, .errors = errors};
    read_whole(&r, content, tag);
    if (r.faults > FAULTS_SHOWN) text_printf(errors, "%s: and more\n", path);
}

void list_content_read(struct pattern_list *list, const char *tag, const struct text *content,
                       struct text *errors)
{
    read_content((struct list){.patterns = list}, "list", tag, content, errors);
}

/* A path may have a # itself: the tag is what follows the last one, if that file exists. */
static char *split(const struct snapshot *files, const char *text, const char **tag)
{
    const char *hash = strrchr(text, '#');
    *tag = hash && !snapshot_has(files, text) ? hash + 1 : NULL;
    return text_copy(text, *tag ? (size_t)(hash - text) : strlen(text));
}

static void read_file(struct list list, struct snapshot *files, const char *text,
                      struct text *errors)
{
    const char *tag;
    char *path = split(files, text, &tag);
    struct text content = {0};
    int fault = path ? snapshot_read(files, path, FILE_LIMIT, &content, NULL) : ENOMEM;
    if (fault)
        file_explain(text, fault, errors);
    else
        read_content(list, path, tag, &content, errors);
    text_fini(&content);
    free(path);
}

static void read_list(struct list list, struct snapshot *files, struct text *errors)
{
    const struct string_list *texts = texts_of(list);
    for (size_t i = 0; i < texts->n; i++) {
        const char *file = list_file(texts->items[i]);
        if (file) read_file(list, files, file, errors);
    }
    bool ok = list.cidrs ? list_index_cidrs(list.cidrs) : list_index_patterns(list.patterns);
    if (!ok) text_add(errors, "out of memory\n");
}

/* All lists of a configuration. */
static void each_list(const struct config *c, void (*each)(struct list list, void *arg), void *arg)
{
    for (size_t i = 0; i < c->listener_count; i++) {
        struct listen_config *l = &c->listeners[i];
        each((struct list){.cidrs = &l->allow_clients}, arg);
        each((struct list){.cidrs = &l->proxy_protocol_from}, arg);
        each((struct list){.patterns = &l->allow_upstreams}, arg);
        each((struct list){.patterns = &l->only}, arg);
    }
    each((struct list){.cidrs = &((struct config *)c)->operate.allow_clients}, arg);
    for (size_t i = 0; i < c->parent_count; i++)
        each((struct list){.patterns = &c->parents[i].no_proxy}, arg);
    for (size_t i = 0; i < c->identity_count; i++)
        each((struct list){.patterns = &c->identities[i].upstreams}, arg);
}

struct each_file {
    struct snapshot *files;
    struct text *errors;
};

static void read_each(struct list list, void *arg)
{
    const struct each_file *e = arg;
    read_list(list, e->files, e->errors);
}

void list_files_read(struct config *c, struct snapshot *files, struct text *errors)
{
    struct each_file e = {files, errors};
    each_list(c, read_each, &e);
}

struct visit {
    void (*each)(void *arg, const char *path);
    void *arg;
};

static void visit_list(struct list list, void *arg)
{
    const struct visit *v = arg;
    const struct string_list *texts = texts_of(list);
    for (size_t i = 0; i < texts->n; i++) {
        const char *tag, *file = list_file(texts->items[i]);
        char *path = file ? split(NULL, file, &tag) : NULL;
        if (path) v->each(v->arg, path);
        free(path);
    }
}

void list_files_each(const struct config *c, void (*each)(void *arg, const char *path), void *arg)
{
    struct visit v = {each, arg};
    each_list(c, visit_list, &v);
}
