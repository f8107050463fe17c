/* Lists of addresses and of destinations. A long list has an index, so that a look-up costs the
 * same whatever the list's length: a probe per prefix length or per label of a name that occurs in
 * it. A list owns all it has; list_*_free() ends it. */
#ifndef CONFIG_LISTS_H
#define CONFIG_LISTS_H

#include "base/addr.h"
#include "base/attr.h"
#include "policy/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct string_list {
    char **items;
    size_t n;
};

/* Hash chains over the items of a list; heads NULL: none, the list is short. */
struct list_index {
    uint32_t *heads, *next; /* item + 1; 0: none */
    size_t mask;
    uint64_t lengths[2][3]; /* of prefixes: of IPv4, of IPv6; one bit each */
};

/* texts: the lines of the configuration. A line "file:PATH", perhaps with #TAG behind it, stands
 * for the entries of a file. */
struct cidr_list {
    struct cidr *items;
    size_t n;
    struct string_list texts;
    struct list_index index;
};

struct pattern_list {
    struct pattern *items;
    size_t n;
    struct string_list texts;
    struct list_index index;
};

enum { LIST_LIMIT = 1000000 }; /* items */

/* The path and tag of a line that names a file, or NULL. */
const char *list_file(const char *text);

/* Takes the item, also when it fails: NULL, or out of memory. */
WARN_UNUSED bool list_add_text(struct string_list *list, char *item);
void list_free_texts(struct string_list *list);
/* False when out of memory or above LIST_LIMIT. */
WARN_UNUSED bool list_add_cidr(struct cidr_list *list, const struct cidr *item);
WARN_UNUSED bool list_add_pattern(struct pattern_list *list, const struct pattern *item);
/* After the last item: makes the index if the list is long. False when out of memory. */
WARN_UNUSED bool list_index_cidrs(struct cidr_list *list);
WARN_UNUSED bool list_index_patterns(struct pattern_list *list);
void list_free_cidrs(struct cidr_list *list);
void list_free_patterns(struct pattern_list *list);

bool list_has_address(const struct cidr_list *list, const struct addr *a);
/* named: "*" does not count. */
bool list_has_target(const struct pattern_list *list, const struct target *t, bool named);

#endif
