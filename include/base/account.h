/* The users that this program's processes run as, and what they keep of root's rights
 * (credentials(7), capabilities(7)). */
#ifndef BASE_ACCOUNT_H
#define BASE_ACCOUNT_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>
#include <sys/types.h>

enum { ACCOUNT_GROUPS = 64 };

/* A value. */
struct account {
    uid_t user;
    gid_t group;
    gid_t groups[ACCOUNT_GROUPS]; /* supplementary */
    size_t count;
};

/* The user of this name in the system's database. False with a sentence in errors. */
WARN_UNUSED bool account_find(const char *name, struct account *out, struct text *errors);
bool account_is_current(const struct account *a);
/* May this process become another user, and end processes of others? */
bool account_may_change(void);

/* What the manager gave for programs that this process starts: they get it only by
 * account_pass_on(). */
void account_keep_to_itself(void);
/* This process, which has no threads yet, becomes that user. It keeps the right to bind ports below
 * 1024 if it has it; with others, also that to start and end processes of other users. False with
 * errno. */
WARN_UNUSED bool account_become(const struct account *a, bool others);

/* The calling thread keeps nothing of root's rights but to lock memory (base/secret.h), nor do
 * those that it starts from now on. */
void account_give_up(void);

/* In a new process, before its program is started; signal-safety(7). Becomes that user with nothing
 * else; or passes on what this one has kept. False with errno. */
WARN_UNUSED bool account_become_only(const struct account *a);
void account_pass_on(void);

#endif
