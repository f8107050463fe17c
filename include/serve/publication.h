/* What a publish listener gives away: fixed paths, made of one configuration and its local CA.
 * Immutable but for its CRLs, which publication_renew() makes anew; the owner sees to it that
 * nobody reads meanwhile. */
#ifndef SERVE_PUBLICATION_H
#define SERVE_PUBLICATION_H

#include "runtime/loaded_config.h"

struct publication;

/* NULL with sentences in errors. */
WARN_UNUSED struct publication *publication_new(struct loaded_config *loaded, time_t now,
                                                struct text *errors);
void publication_free(struct publication *p);
/* Makes the CRLs anew that are past half their life. */
void publication_renew(struct publication *p, time_t now);

struct published {
    const char *type; /* media type */
    unsigned max_age; /* seconds */
    struct text body; /* the caller frees it */
};
/* path: as the client asks, without a query. local: the address to which it connected. False: there
 * is nothing, or no memory. */
WARN_UNUSED bool publication_get(const struct publication *p, const struct listen_config *listener,
                                 const char *path, const struct addr *local,
                                 const struct addr *client, struct published *out);

#endif
