/* The files and folders that a clerk reaches. Private to audit/: clerk.c. */
#ifndef AUDIT_CLERK_PLACES_H
#define AUDIT_CLERK_PLACES_H

#include "base/attr.h"
#include "config/config.h"

#include <stdbool.h>
#include <sys/types.h>

/* Zeroed: not confined. */
struct clerk_places {
    bool confined;
    struct clerk_place {
        char *path;
        dev_t device;
        ino_t inode;
    } * items;
    size_t n;
};

/* From now on this process reaches only the folders of this configuration's files, and those of its
 * files that are pipes, devices or standard output; to look up a syslog daemon's name, /etc and the
 * system's libraries to read. Before it has threads. Warns of what this kernel cannot do. False
 * when out of memory. */
WARN_UNUSED bool clerk_places_confine(struct clerk_places *p, const struct audit_config *config);
/* Does it reach what this configuration names? A folder that was made anew is another one. */
bool clerk_places_have(const struct clerk_places *p, const struct audit_config *config);
/* Was one of its folders made anew? */
bool clerk_places_have_changed(const struct clerk_places *p);
void clerk_places_fini(struct clerk_places *p);

#endif
