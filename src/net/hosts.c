#include "net/hosts.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static const char blank[] = " \t\r\v\f";

struct entry {
    const char *name; /* in text */
    size_t line;
    struct addr addr;
};

struct hosts {
    char *text;
    struct entry *entries; /* by name, then line */
    size_t n, room;
};

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcasecmp(x->name, y->name);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

static bool add(struct hosts *h, const char *name, const struct addr *addr, size_t line)
{
    if (h->n == h->room) {
        size_t room = h->room ? 2 * h->room : 16;
        struct entry *more = reallocarray(h->entries, room, sizeof *more);
        if (!more) return false;
        h->entries = more;
        h->room = room;
    }
    h->entries[h->n++] = (struct entry){name, line, *addr};
    return true;
}

static bool read_line(struct hosts *h, char *line, size_t number)
{
    struct addr addr;
    line[strcspn(line, "#")] = '\0';
    char *at = line + strspn(line, blank), *ip = strsep(&at, blank);
    if (!addr_from_ip(ip, 0, &addr)) return true;
    for (char *name; (name = strsep(&at, blank));)
        if (*name && !add(h, name, &addr, number)) return false;
    return true;
}

struct hosts *hosts_read(const char *text, size_t n)
{
    struct hosts *h = calloc(1, sizeof *h);
    bool ok = h && (h->text = text_copy(text, n));
    size_t number = 0;
    for (size_t i = 0; ok && i < n; i++)
        if (!h->text[i]) h->text[i] = '#'; /* the rest of such a line is none */
    for (char *rest = ok ? h->text : NULL, *line; ok && (line = strsep(&rest, "\n"));)
        ok = read_line(h, line, number++);
    if (!ok) {
        hosts_free(h);
        return NULL;
    }
    if (h->n > 0) qsort(h->entries, h->n, sizeof *h->entries, compare);
    return h;
}

void hosts_free(struct hosts *h)
{
    if (!h) return;
    free(h->entries);
    free(h->text);
    free(h);
}

size_t hosts_find(const struct hosts *h, const char *name, uint16_t port, struct addr *out,
                  size_t room)
{
    size_t low = 0, high = h->n, found = 0;
    while (low < high) { /* the first one that is not before it */
        size_t middle = low + (high - low) / 2;
        if (strcasecmp(h->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < h->n && found < room && strcasecmp(h->entries[low].name, name) == 0; low++) {
        uint8_t bytes[16];
        size_t size = addr_bytes(&h->entries[low].addr, bytes);
        out[found] = addr_from_bytes(bytes, size, port);
        if (found == 0 || !addr_same_ip(&out[found], &out[found - 1])) found++;
    }
    return found;
}
