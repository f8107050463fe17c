#include "serve/list_watch.h"

#include "base/errand.h"
#include "base/file.h"
#include "base/text.h"
#include "runtime/list_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double interval_s = 1.;

struct watched_file {
    struct watched_file *next;
    char *path;
    struct stat known, last; /* when it was last reported; at the last look. Zeros: no file */
    bool wanted;
};

static struct stat look(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st : (struct stat){0};
}

/* Has it changed, and been quiet since the last look? */
static bool has_changed(struct watched_file *f)
{
    struct stat now = look(f->path);
    bool quiet = file_is_same(&now, &f->last);
    f->last = now;
    if (!quiet || file_is_same(&now, &f->known)) return false;
    f->known = now;
    return true;
}

struct look_errand {
    struct watched_file *files;
    bool changed;
};

static void on_look(void *arg)
{
    struct look_errand *e = arg;
    for (struct watched_file *f = e->files; f; f = f->next)
        if (has_changed(f)) e->changed = true;
}

static void on_interval(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct list_watch *w = timer->data;
    struct look_errand looking = {.files = w->files};
    errand_run(on_look, &looking);
    if (looking.changed) w->changed(w->arg);
}

void list_watch_init(struct list_watch *w, struct ev_loop *loop, void (*changed)(void *arg),
                     void *arg)
{
    *w = (struct list_watch){.loop = loop, .changed = changed, .arg = arg};
    ev_timer_init(&w->timer, on_interval, interval_s, interval_s);
    w->timer.data = w;
}

struct wanted {
    struct list_watch *watch;
    const struct config *config;
    bool ok;
};

static void want(void *arg, const char *path)
{
    struct wanted *wanted = arg;
    struct list_watch *w = wanted->watch;
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

static void drop_unwanted(struct list_watch *w)
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
}

bool list_watch_use(struct list_watch *w, const struct config *c)
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

void list_watch_fini(struct list_watch *w)
{
    if (!w->loop) return;
    ev_timer_stop(w->loop, &w->timer);
    drop_unwanted(w);
}
