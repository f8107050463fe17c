/* Which files this process may still reach, from now on and until its end (landlock(7)). */
#ifndef BASE_CONFINE_FILES_H
#define BASE_CONFINE_FILES_H

#include "base/attr.h"

#include <stddef.h>

enum confine_reach {
    CONFINE_FILE,  /* a file may be read */
    CONFINE_WRITE, /* a device or a pipe may be read and written */
    CONFINE_READ,  /* all in a folder may be read */
    CONFINE_CHANGE /* made, changed and removed, too */
};

struct confine_place {
    const char *path;
    enum confine_reach reach;
};

enum confine_answer {
    CONFINE_DONE,
    CONFINE_OFF,     /* not possible for this process (base/confine.h): nothing has changed */
    CONFINE_UNKNOWN, /* this kernel has no Landlock, or it is switched off: likewise */
    CONFINE_FAILED   /* errno: likewise */
};

/* A place that does not exist is left out. Of other processes, only those below this one are within
 * reach of signals and abstract sockets then, where the kernel can do that (6.12). For this
 * thread, and those that it starts. */
WARN_UNUSED enum confine_answer confine_files(const struct confine_place *places, size_t n);
/* A line about what was not done. who: "the proxy" */
void confine_files_warn(const char *who, enum confine_answer answer);

#endif
