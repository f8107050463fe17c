/* What a publish listener gives away: fixed paths, made of one configuration and its local CA, with
 * the CRLs of that load (loaded_config_is_stale()). Immutable. */
#ifndef SERVE_PUBLICATION_H
#define SERVE_PUBLICATION_H

#include "runtime/loaded_config.h"

struct publication;

/* NULL with sentences in errors. */
WARN_UNUSED struct publication *publication_new(struct loaded_config *loaded, struct text *errors);
void publication_free(struct publication *p);

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
