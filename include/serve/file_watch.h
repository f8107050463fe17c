/* Watches the files that the configuration names, and those beside the local CA: looks at them each
 * second, through all symbolic links, as certbot renews certificates by changing links. A change is
 * reported once all have been quiet for a second, or after ten: one that is written in place is not
 * yet whole, and a certificate and its key change together. For the main thread's loop. */
#ifndef SERVE_FILE_WATCH_H
#define SERVE_FILE_WATCH_H

#include "config/config.h"

#include <ev.h>

struct watched_file;

struct file_watch {
    struct ev_loop *loop;
    struct watched_file *files;
    ev_timer timer;
    unsigned loud; /* looks since all were quiet */
    void (*changed)(void *arg, const char *path);
    void *arg;
};

void file_watch_init(struct file_watch *w, struct ev_loop *loop,
                     void (*changed)(void *arg, const char *path), void *arg);
/* Watches the files of this configuration, and no others, from now on. Files that are watched
 * already stay so: no change is missed. False when out of memory. */
WARN_UNUSED bool file_watch_use(struct file_watch *w, const struct config *c);
void file_watch_fini(struct file_watch *w);

#endif
