/* The tables of sections and options. Private to config/. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "config/config.h"
#include "values.h"

enum section {
#define SECTION(name, text, holder) SECTION_##name,
#define NAMED_SECTION SECTION
#include "config/sections.def"
#undef SECTION
    SECTION_COUNT,
    SECTION_NONE = SECTION_COUNT
};

struct section_row {
    const char *name;
    bool named; /* it repeats, each time with a name */
};

struct option {
    enum section section;
    unsigned types; /* of listeners, one bit per type */
    const char *key;
    enum value_kind kind;
    size_t offset; /* in the section's holder */
    struct range range;
    const char *standard;
    const char *text;
};

enum {
    OPTION_COUNT = 0
#define OPTION(...) +1
#define LISTEN_OPTION OPTION
#include "config/options.def"
#undef OPTION
#undef LISTEN_OPTION
};

extern const struct section_row sections[SECTION_COUNT];
extern const struct option options[OPTION_COUNT];

/* How many sections of a kind the configuration has, 1 if the section has no name; and the struct
 * that holds the options of one. */
size_t section_count(const struct config *c, enum section section);
const void *section_holder(const struct config *c, enum section section, size_t i);

/* Names the types in the set: "forward and fixed". */
void option_types(unsigned types, const char *between, struct text *out);

#endif
