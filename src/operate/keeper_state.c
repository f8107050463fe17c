#include "operate/keeper_state.h"

#include "base/numbers.h"

#include <stddef.h>

#define ROW(member)                                    \
    {                                                  \
#member, offsetof(struct keeper_state, member) \
    }
static const struct number_row rows[] = {
    ROW(started), ROW(loaded), ROW(loads), ROW(rejections), ROW(proxy_starts), ROW(clerk_starts),
};

void keeper_state_put(const struct keeper_state *s, struct text *out)
{
    numbers_put(rows, COUNT_OF(rows), s, out);
}

static void read_line(void *arg, const char *name, const char *rest)
{
    numbers_read(rows, COUNT_OF(rows), name, rest, arg);
}

void keeper_state_read(const char *text, struct keeper_state *out)
{
    *out = (struct keeper_state){0};
    numbers_each_line(text, read_line, out);
}
