#include "options.h"

#include <stddef.h>
#include <stdlib.h>

const struct section_row sections[SECTION_COUNT] = {
#define SECTION(name, text, holder) {text, false},
#undef NAMED_SECTION
#define NAMED_SECTION(name, text, holder) {text, true},
#include "config/sections.def"
#undef SECTION
#undef NAMED_SECTION
};

#define SECTION(name, text, holder) typedef holder holder_##name;
#define NAMED_SECTION SECTION
#include "config/sections.def"
#undef SECTION
#undef NAMED_SECTION

enum { ALL_TYPES = (1u << LISTEN_TYPES) - 1 };

const struct option options[OPTION_COUNT] = {
#define ALL ALL_TYPES
#define FOR(type) (1u << LISTEN_##type)
#define TERMINATING (ALL & ~FOR(PUBLISH))
#define RELAYING (TERMINATING & ~FOR(TEST))
#define RANGE(least, most) \
    {                      \
        least, most        \
    }
#define ANY  \
    {        \
        0, 0 \
    }
#define OPTION(section, key, kind, member, range, standard, text) \
    {SECTION_##section, ALL, #key, kind, offsetof(holder_##section, member), range, standard, text},
#define LISTEN_OPTION(types, key, kind, member, range, standard, text) \
    {SECTION_LISTEN, types, #key, kind, offsetof(holder_LISTEN, member), range, standard, text},
#include "config/options.def"
#undef OPTION
#undef LISTEN_OPTION
#undef ANY
#undef RANGE
#undef RELAYING
#undef TERMINATING
#undef FOR
#undef ALL
};

void option_types(unsigned types, const char *between, struct text *out)
{
    for (unsigned t = LISTEN_UNSET + 1; t < LISTEN_TYPES; t++) {
        if (!(types & (1u << t))) continue;
        if (out->size > 0) text_add(out, between);
        text_add(out, listen_type_name((enum listen_type)t));
    }
}

size_t section_count(const struct config *c, enum section section)
{
    if (section == SECTION_LISTEN) return c->listener_count;
    if (section == SECTION_IDENTITY) return c->identity_count;
    return section == SECTION_PARENT ? c->parent_count : 1;
}

const void *section_holder(const struct config *c, enum section section, size_t i)
{
    if (section == SECTION_LISTEN) return &c->listeners[i];
    if (section == SECTION_IDENTITY) return &c->identities[i];
    return section == SECTION_PARENT ? (const void *)&c->parents[i] : c;
}

static void free_values(struct config *c, const struct option *o)
{
    for (size_t k = 0; k < section_count(c, o->section); k++)
        value_free(o->kind, (char *)section_holder(c, o->section, k) + o->offset);
}

void config_free_lists(struct config *c)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (options[i].kind == KIND_CIDR_LIST || options[i].kind == KIND_PATTERN_LIST)
            free_values(c, &options[i]);
}

void config_free(struct config *c)
{
    if (!c) return;
    for (size_t i = 0; i < COUNT_OF(options); i++) free_values(c, &options[i]);
    /* The structs of named sections begin with the name. */
    for (unsigned s = 0; s < SECTION_COUNT; s++)
        for (size_t i = 0; sections[s].named && i < section_count(c, s); i++)
            free(*(char *const *)section_holder(c, s, i));
    free(c->listeners);
    free(c->parents);
    free(c->identities);
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
    for (unsigned s = 0; s < SECTION_COUNT; s++)
        for (size_t i = 0; i < section_count(c, s); i++) {
            const void *holder = section_holder(c, s, i);
            const char *name = sections[s].named ? *(char *const *)holder : "";
            text_printf(out, "%s[%s%s%s]\n", out->size ? "\n" : "", sections[s].name,
                        name[0] ? " " : "", name);
            print_section(s, holder, out);
        }
}

void config_describe(void (*each)(void *arg, const char *section, const char *key,
                                  const char *standard, bool repeats, const char *text),
                     void *arg)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *o = &options[i];
        struct text text = {0};
        if (o->types != ALL_TYPES) option_types(o->types, ", ", &text);
        text_printf(&text, "%s%s", text.size ? ": " : "", o->text);
        each(arg, sections[o->section].name, o->key, o->standard, value_repeats(o->kind),
             text_string(&text));
        text_fini(&text);
    }
}

void config_each_path(const struct config *c, void (*each)(void *arg, const char *path), void *arg)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *o = &options[i];
        bool is_path = o->kind == KIND_PATH || o->kind == KIND_PATH_LIST;
        for (size_t k = 0;
             is_path && o->section != SECTION_AUDIT && k < section_count(c, o->section); k++)
            value_print(o->kind, (const char *)section_holder(c, o->section, k) + o->offset, each,
                        arg);
    }
}
