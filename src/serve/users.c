#include "serve/users.h"

#include "base/file.h"
#include "base/spawn.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *own_or(const char *own, const char *other)
{
    return own ? own : other;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Finds one that this process is, or can become. */
static bool find(const char *name, struct account *out, struct text *errors)
{
    if (!account_find(name, out, errors)) return false;
    if (account_is_current(out) || account_may_change()) return true;
    text_printf(errors,
                "[process]: this process is run by user %u and cannot become %s: start it as root "
                "or as %s\n",
                (unsigned)geteuid(), name, name);
    return false;
}

static bool prepare_part(const char *part, const char *name, const struct account *keeper,
                         struct text *errors)
{
    struct account a;
    if (!name) return true;
    if (!find(name, &a, errors)) return false;
    if (a.user != keeper->user || a.group != keeper->group) spawn_set_user(part, &a);
    return true;
}

bool users_prepare(struct users *u, const struct config *c, struct text *errors)
{
    const char *name = c->process.user;
    if (!name && geteuid() == 0) {
        text_add(errors, "this is started by root: name the user that it shall run as, [process] "
                         "user = NAME; or user = root, if it has to stay root\n");
        return false;
    }
    u->keeper = (struct account){.user = geteuid(), .group = getegid()};
    if (name && !find(name, &u->keeper, errors)) return false;
    if (name) file_allow_owner(u->keeper.user);
    u->keeper_changes = name && !account_is_current(&u->keeper);
    return prepare_part("clerk", own_or(c->process.clerk_user, name), &u->keeper, errors) &&
           prepare_part("proxy", own_or(c->process.proxy_user, name), &u->keeper, errors);
}

bool users_change(const struct users *u, struct text *errors)
{
    if (!u->keeper_changes || account_become(&u->keeper, spawn_has_users())) return true;
    text_printf(errors, "this process cannot become user %u: %s\n", (unsigned)u->keeper.user,
                strerror(errno));
    return false;
}

bool users_are_same(const struct config *before, const struct config *next, struct text *errors)
{
    if (is_same(before->process.user, next->process.user) &&
        is_same(before->process.clerk_user, next->process.clerk_user) &&
        is_same(before->process.proxy_user, next->process.proxy_user))
        return true;
    text_add(errors, "[process] has other users than before: that needs a restart\n");
    return false;
}
