#include "config/lists.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_LIST = 16, IPV6 = 16 };
/* What an item is found by. */
enum key { KEY_ANY, KEY_RANGE, KEY_HOST, KEY_WILDCARD };

const char *list_file(const char *text)
{
    static const char begins[] = "file:";
    size_t n = sizeof begins - 1;
    return strncmp(text, begins, n) == 0 ? text + n : NULL;
}

bool list_add_text(struct string_list *list, char *item)
{
    char **items = item ? realloc(list->items, (list->n + 1) * sizeof *items) : NULL;
    if (!items) {
        free(item);
        return false;
    }
    list->items = items;
    items[list->n++] = item;
    return true;
}

void list_free_texts(struct string_list *list)
{
    for (size_t i = 0; i < list->n; i++) free(list->items[i]);
    free(list->items);
    *list = (struct string_list){0};
}

/* Room for one more; capacities are powers of two. NULL: none. */
static void *grow(void **items, size_t n, size_t size)
{
    bool full = (n & (n - 1)) == 0;
    if (n >= LIST_LIMIT) return NULL;
    void *more = full ? realloc(*items, (n ? 2 * n : 1) * size) : *items;
    if (!more) return NULL;
    *items = more;
    return (char *)more + n * size;
}

bool list_add_cidr(struct cidr_list *list, const struct cidr *item)
{
    struct cidr *place = grow((void **)&list->items, list->n, sizeof *place);
    if (!place) return false;
    *place = *item;
    list->n++;
    return true;
}

bool list_add_pattern(struct pattern_list *list, const struct pattern *item)
{
    struct pattern *place = grow((void **)&list->items, list->n, sizeof *place);
    if (!place) return false;
    *place = *item;
    list->n++;
    return true;
}

/* ---- the index ------------------------------------------------------------------------------ */

/* FNV-1a */
static uint64_t hash(enum key key, const void *p, size_t n)
{
    const uint8_t *bytes = p;
    uint64_t h = (UINT64_C(14695981039346656037) ^ key) * UINT64_C(1099511628211);
    for (size_t i = 0; i < n; i++) h = (h ^ bytes[i]) * UINT64_C(1099511628211);
    return h ^ h >> 32;
}

/* The first `bits` bits of an address, and their number. */
static uint64_t hash_range(const uint8_t *bytes, uint8_t size, unsigned bits)
{
    uint8_t key[IPV6 + 2] = {0};
    key[0] = size;
    key[1] = (uint8_t)bits;
    memcpy(key + 2, bytes, bits / 8);
    if (bits % 8) key[2 + bits / 8] = (uint8_t)(bytes[bits / 8] & (0xff << (8 - bits % 8)));
    return hash(KEY_RANGE, key, sizeof key);
}

static bool make_index(struct list_index *x, size_t n)
{
    size_t size = 1;
    while (size < 2 * n) size *= 2;
    *x = (struct list_index){.heads = calloc(size, sizeof *x->heads),
                             .next = calloc(n, sizeof *x->next),
                             .mask = size - 1};
    return x->heads && x->next;
}

static void put(struct list_index *x, uint64_t h, size_t item)
{
    uint32_t *head = &x->heads[h & x->mask];
    x->next[item] = *head;
    *head = (uint32_t)item + 1;
}

static void put_range(struct list_index *x, const struct cidr *range, size_t item)
{
    x->lengths[range->family_size == IPV6][range->bits / 64] |= UINT64_C(1) << range->bits % 64;
    put(x, hash_range(range->bytes, range->family_size, range->bits), item);
}

static void put_pattern(struct list_index *x, const struct pattern *p, size_t item)
{
    if (p->any)
        put(x, hash(KEY_ANY, "", 0), item);
    else if (!p->host[0])
        put_range(x, &p->range, item);
    else
        put(x, hash(p->wildcard ? KEY_WILDCARD : KEY_HOST, p->host, strlen(p->host)), item);
}

bool list_index_cidrs(struct cidr_list *list)
{
    if (list->n <= SHORT_LIST) return true;
    if (!make_index(&list->index, list->n)) return false;
    for (size_t i = 0; i < list->n; i++) put_range(&list->index, &list->items[i], i);
    return true;
}

bool list_index_patterns(struct pattern_list *list)
{
    if (list->n <= SHORT_LIST) return true;
    if (!make_index(&list->index, list->n)) return false;
    for (size_t i = 0; i < list->n; i++) put_pattern(&list->index, &list->items[i], i);
    return true;
}

static void free_index(struct list_index *x)
{
    free(x->heads);
    free(x->next);
    *x = (struct list_index){0};
}

void list_free_cidrs(struct cidr_list *list)
{
    free(list->items);
    list_free_texts(&list->texts);
    free_index(&list->index);
    *list = (struct cidr_list){0};
}

void list_free_patterns(struct pattern_list *list)
{
    free(list->items);
    list_free_texts(&list->texts);
    free_index(&list->index);
    *list = (struct pattern_list){0};
}

/* ---- look-ups ------------------------------------------------------------------------------- */

/* Does one of the items of a chain fit? */
typedef bool fits(const void *list, size_t item, const void *wanted);

static bool chain_fits(const struct list_index *x, uint64_t h, fits *fit, const void *list,
                       const void *wanted)
{
    for (uint32_t i = x->heads[h & x->mask]; i; i = x->next[i - 1])
        if (fit(list, i - 1, wanted)) return true;
    return false;
}

/* Tries each prefix length that occurs. */
static bool range_fits(const struct list_index *x, const struct addr *a, fits *fit,
                       const void *list, const void *wanted)
{
    uint8_t bytes[IPV6] = {0};
    uint8_t size = addr_bytes(a, bytes);
    const uint64_t *lengths = x->lengths[size == IPV6];
    for (unsigned bits = 0; bits <= 8u * size; bits++) {
        if (!(lengths[bits / 64] >> bits % 64 & 1)) continue;
        if (chain_fits(x, hash_range(bytes, size, bits), fit, list, wanted)) return true;
    }
    return false;
}

static bool cidr_fits(const void *list, size_t item, const void *wanted)
{
    return cidr_contains(&((const struct cidr_list *)list)->items[item], wanted);
}

bool list_has_address(const struct cidr_list *list, const struct addr *a)
{
    if (list->index.heads) return range_fits(&list->index, a, cidr_fits, list, a);
    for (size_t i = 0; i < list->n; i++)
        if (cidr_contains(&list->items[i], a)) return true;
    return false;
}

struct search {
    const struct target *target;
    bool named; /* "*" does not count */
};

/* A chain has items of other keys as well. */
static bool pattern_fits(const void *list, size_t item, const void *wanted)
{
    const struct pattern *p = &((const struct pattern_list *)list)->items[item];
    const struct search *search = wanted;
    return !(search->named && p->any) && pattern_matches(p, search->target);
}

/* The name itself, then the wildcards of each domain above it. */
static bool name_fits(const struct pattern_list *list, const struct search *search)
{
    const struct list_index *x = &list->index;
    const char *name = search->target->host;
    if (chain_fits(x, hash(KEY_HOST, name, strlen(name)), pattern_fits, list, search)) return true;
    while ((name = strchr(name, '.'))) {
        name++;
        if (chain_fits(x, hash(KEY_WILDCARD, name, strlen(name)), pattern_fits, list, search))
            return true;
    }
    return false;
}

static bool indexed_has(const struct pattern_list *list, const struct search *search)
{
    struct addr a;
    if (chain_fits(&list->index, hash(KEY_ANY, "", 0), pattern_fits, list, search)) return true;
    if (!search->target->is_ip) return name_fits(list, search);
    return addr_from_ip(search->target->host, 0, &a) &&
           range_fits(&list->index, &a, pattern_fits, list, search);
}

bool list_has_target(const struct pattern_list *list, const struct target *t, bool named)
{
    struct search search = {t, named};
    if (list->index.heads) return indexed_has(list, &search);
    for (size_t i = 0; i < list->n; i++)
        if (pattern_fits(list, i, &search)) return true;
    return false;
}
