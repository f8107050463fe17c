/* What this system says about names: its hosts file, and which name servers to ask how
 * (resolv.conf(5), nsswitch.conf(5); as c-ares understands them). A process that may open no file
 * is given it by another one. Any thread may call. */
#ifndef NET_NAMES_H
#define NET_NAMES_H

#include "base/text.h"
#include "net/hosts.h"

#include <stdbool.h>

/* Immutable and counted. */
struct names {
    unsigned users; /* atomic */
    char *servers;  /* "IP:port,[IP]:port" */
    char *order;    /* 'b': name servers, 'f': the hosts file */
    int dots;       /* a name with fewer of them is looked up in the domains first */
    bool rotate;    /* another server first, each time */
    char **domains; /* searched */
    size_t domain_count;
    struct text hosts_file;
    struct hosts *hosts; /* what it says */
};

/* As the files are now: they are looked at once a second at most, and those who ask get the same
 * one until they change. Or what this process was given. The caller's to release; NULL when out of
 * memory or if nothing can be read. */
WARN_UNUSED struct names *names_use(void);
void names_release(struct names *n);

/* The system's in a memory file that nobody can change (base/snapshot.h): the caller's descriptor.
 * -1 with errno. */
WARN_UNUSED int names_seal(const struct names *n);
/* From now on names_use() gives what this file has, and opens none. Does not take fd. False with
 * errno; what was given before stays. */
WARN_UNUSED bool names_give(int fd);

#endif
