/* [process]: the users of the keeper, the clerk and the proxy. */
#ifndef SERVE_USERS_H
#define SERVE_USERS_H

#include "base/account.h"
#include "config/config.h"

/* Zeroed: as it was started. */
struct users {
    bool keeper_changes; /* else it is this one already, or stays root */
    struct account keeper;
};

/* Judges what the configuration says, before anything is opened. Keys may belong to these users
 * from now on. False with a sentence in errors: root without a user, or a user that this process
 * cannot become. */
WARN_UNUSED bool users_prepare(struct users *u, const struct config *c, struct text *errors);
/* Root's rights are no longer needed: this process becomes the keeper's user. It has no threads
 * yet. False with a sentence in errors. */
WARN_UNUSED bool users_change(const struct users *u, struct text *errors);
/* Does the next configuration name the same ones? */
WARN_UNUSED bool users_are_same(const struct config *before, const struct config *next,
                                struct text *errors);

#endif
