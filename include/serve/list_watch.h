/* Watches the files of addresses and destinations that the configuration names: looks at them each
 * second. A change is reported once a file has been quiet for a second, since one that is written
 * in place is not yet whole. For the main thread's loop. */
#ifndef SERVE_LIST_WATCH_H
#define SERVE_LIST_WATCH_H

#include "config/config.h"

#include <ev.h>

struct watched_file;

struct list_watch {
    struct ev_loop *loop;
    struct watched_file *files;
    ev_timer timer;
    void (*changed)(void *arg);
    void *arg;
};

void list_watch_init(struct list_watch *w, struct ev_loop *loop, void (*changed)(void *arg),
                     void *arg);
/* Watches the files of this configuration, and no others, from now on. Files that are watched
 * already stay so: no change is missed. False when out of memory. */
WARN_UNUSED bool list_watch_use(struct list_watch *w, const struct config *c);
void list_watch_fini(struct list_watch *w);

#endif
