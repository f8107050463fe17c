#include "serve/file_watch.h"

#include "base/errand.h"
#include "base/file.h"
#include "base/text.h"
#include "runtime/list_files.h"
#include "runtime/loaded_config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double interval_s = 1.;
enum { LOUDEST = 10 };

struct watched_file {
    struct watched_file *next;
    char *path;
    struct stat known, last; /* when it was last reported; at the last look. Zeros: no file */
    bool quiet, wanted;
};

static struct stat look(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st : (struct stat){0};
}

struct look_errand {
    struct watched_file *files;
    unsigned loud;       /* looks since one changed that was not quiet */
    const char *changed; /* one of those that have, once all are quiet; NULL: none */
};

static void on_look(void *arg)
{
    struct look_errand *e = arg;
    bool quiet = true;
    for (struct watched_file *f = e->files; f; f = f->next) {
        struct stat now = look(f->path);
        f->quiet = file_is_same(&now, &f->last);
        f->last = now;
        quiet = quiet && f->quiet;
    }
    e->loud = quiet ? 0 : e->loud + 1;
    if (e->loud == LOUDEST) e->loud = 0; /* one that always changes does not hold the others */
    for (struct watched_file *f = e->files; f && e->loud == 0; f = f->next) {
        if (!f->quiet || file_is_same(&f->last, &f->known)) continue;
        f->known = f->last;
        e->changed = f->path;
    }
}

static void on_interval(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct file_watch *w = timer->data;
    struct look_errand looking = {.files = w->files, .loud = w->loud};
    errand_run(on_look, &looking);
    w->loud = looking.loud;
    if (looking.changed) w->changed(w->arg, looking.changed);
}

void file_watch_init(struct file_watch *w, struct ev_loop *loop,
                     void (*changed)(void *arg, const char *path), void *arg)
{
    *w = (struct file_watch){.loop = loop, .changed = changed, .arg = arg};
    ev_timer_init(&w->timer, on_interval, interval_s, interval_s);
    w->timer.data = w;
}

struct wanted {
    struct file_watch *watch;
    const struct config *config;
    bool ok;
};

static void want(void *arg, const char *path)
{
    struct wanted *wanted = arg;
    struct file_watch *w = wanted->watch;
    for (struct watched_file *f = w->files; f; f = f->next)
        if (strcmp(f->path, path) == 0) {
            f->wanted = true;
            return;
        }
    struct watched_file *f = calloc(1, sizeof *f);
    char *copy = text_copy(path, strlen(path));
    if (!f || !copy) {
        free(f);
        free(copy);
        wanted->ok = false;
        return;
    }
    *f = (struct watched_file){.next = w->files, .path = copy, .wanted = true};
    f->known = f->last = look(path);
    w->files = f;
}

static void drop_unwanted(struct file_watch *w)
{
    for (struct watched_file **at = &w->files; *at;) {
        struct watched_file *f = *at;
        if (f->wanted) {
            f->wanted = false;
            at = &f->next;
            continue;
        }
        *at = f->next;
        free(f->path);
        free(f);
    }
}

static void on_want(void *arg)
{
    struct wanted *wanted = arg;
    list_files_each(wanted->config, want, wanted);
    loaded_config_each_file(wanted->config, want, wanted);
}

bool file_watch_use(struct file_watch *w, const struct config *c)
{
    struct wanted wanted = {w, c, true};
    errand_run(on_want, &wanted);
    drop_unwanted(w);
    if (w->files)
        ev_timer_start(w->loop, &w->timer);
    else
        ev_timer_stop(w->loop, &w->timer);
    return wanted.ok;
}

void file_watch_fini(struct file_watch *w)
{
    if (!w->loop) return;
    ev_timer_stop(w->loop, &w->timer);
    drop_unwanted(w);
}
