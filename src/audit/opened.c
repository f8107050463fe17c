#include "opened.h"

#include "base/text.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { ID_MOST = 39 };

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The id in a line of ours; what a process that was taken over writes there is only its own. */
static bool find_id(struct span line, char id[ID_MOST + 1])
{
    static const char key[] = "\"connection_id\":\"";
    const char *at = memmem(line.p, line.n, key, sizeof key - 1);
    if (!at) return false;
    at += sizeof key - 1;
    const char *end = memchr(at, '"', (size_t)((const char *)line.p + line.n - at));
    size_t n = end ? (size_t)(end - at) : 0;
    if (n == 0 || n > ID_MOST) return false;
    memcpy(id, at, n);
    id[n] = '\0';
    return strspn(id, "0123456789abcdef-") == n;
}

static void add(struct opened *o, const char *id)
{
    char *copy = o->count < OPENED_LIMIT ? text_copy(id, strlen(id)) : NULL;
    char *const *place = copy ? tsearch(copy, &o->tree, compare) : NULL;
    if (!place) o->missed = true;
    if (place && *place == copy)
        o->count++;
    else
        free(copy);
}

static void take_out(struct opened *o, const char *id)
{
    char *const *place = tfind(id, &o->tree, compare);
    if (!place) return;
    char *own = *place;
    tdelete(id, &o->tree, compare);
    free(own);
    o->count--;
}

void opened_note(struct opened *o, enum audit_action action, struct span line)
{
    char id[ID_MOST + 1];
    bool opens = action == AUDIT_CONNECTION_OPENED || action == AUDIT_CONNECTION_OBSERVED;
    if ((!opens && action != AUDIT_CONNECTION_CLOSED) || !find_id(line, id)) return;
    if (opens)
        add(o, id);
    else
        take_out(o, id);
}

struct visit {
    void (*each)(void *arg, const char *id);
    void *arg;
};

static void visit_one(const void *node, VISIT which, void *arg)
{
    const struct visit *v = arg;
    if (which == postorder || which == leaf) v->each(v->arg, *(char *const *)node);
}

void opened_each(const struct opened *o, void (*each)(void *arg, const char *id), void *arg)
{
    struct visit v = {each, arg};
    twalk_r(o->tree, visit_one, &v);
}

void opened_fini(struct opened *o)
{
    tdestroy(o->tree, free);
    *o = (struct opened){NULL, 0, false};
}
