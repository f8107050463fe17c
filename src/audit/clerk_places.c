#include "clerk_places.h"

#include "base/addr.h"
#include "base/confine_files.h"
#include "config/syslog_address.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a configuration wants. */
struct wanted {
    struct wanted_place {
        char *path;
        enum confine_reach reach;
    } * items;
    size_t n, room;
    bool failed;
};

/* Takes the path. */
static void want(struct wanted *w, char *path, enum confine_reach reach)
{
    if (path && w->n == w->room) {
        size_t room = w->room ? 2 * w->room : 16;
        struct wanted_place *more = reallocarray(w->items, room, sizeof *more);
        if (more) w->items = more;
        w->room = more ? room : w->room;
    }
    if (!path || w->n == w->room) {
        w->failed = true;
        free(path);
        return;
    }
    w->items[w->n++] = (struct wanted_place){path, reach};
}

static void want_copy(struct wanted *w, const char *path, enum confine_reach reach)
{
    want(w, text_copy(path, strlen(path)), reach);
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return text_copy(".", 1);
    return text_copy(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Of a folder that is not there yet: the one in which it may appear. */
static void want_folder(struct wanted *w, const char *path)
{
    struct stat st;
    char *folder = folder_of(path);
    while (folder && strchr(folder, '/') && strcmp(folder, "/") != 0 && stat(folder, &st) < 0) {
        char *outer = folder_of(folder);
        free(folder);
        folder = outer;
    }
    want(w, folder, CONFINE_CHANGE);
}

static void want_file(struct wanted *w, const char *path)
{
    struct stat st;
    if (strcmp(path, "-") == 0)
        want_copy(w, "/proc/self/fd/1", CONFINE_WRITE);
    else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        want_copy(w, path, CONFINE_WRITE);
    else
        want_folder(w, path);
}

static bool has_name(const struct audit_config *config)
{
    for (size_t i = 0; i < config->syslog.n; i++) {
        struct syslog_address a;
        struct addr ip;
        if (syslog_address_from_text(config->syslog.items[i], &a) && a.transport != SYSLOG_UNIX &&
            !addr_from_ip(a.target.host, 0, &ip))
            return true;
    }
    return false;
}

/* What the C library reads to look up a name. */
static void want_names(struct wanted *w)
{
    static const char *const folders[] = {"/etc", "/usr/lib", "/lib"};
    char *settings = realpath("/etc/resolv.conf", NULL); /* often a link to a folder in /run */
    for (size_t i = 0; i < COUNT_OF(folders); i++) want_copy(w, folders[i], CONFINE_READ);
    if (settings) want(w, folder_of(settings), CONFINE_READ);
    free(settings);
}

static struct wanted wanted_by(const struct audit_config *config)
{
    struct wanted w = {0};
    want_file(&w, config->file);
    if (config->key) want_folder(&w, config->key);
    for (size_t i = 0; i < config->copies.n; i++) want_file(&w, config->copies.items[i]);
    if (has_name(config)) want_names(&w);
    return w;
}

static void wanted_fini(struct wanted *w)
{
    for (size_t i = 0; i < w->n; i++) free(w->items[i].path);
    free(w->items);
}

static struct clerk_place look(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (struct clerk_place){.device = st.st_dev, .inode = st.st_ino}
                                : (struct clerk_place){0};
}

bool clerk_places_confine(struct clerk_places *p, const struct audit_config *config)
{
    struct wanted w = wanted_by(config);
    struct confine_place *places = calloc(w.n, sizeof *places);
    p->items = calloc(w.n, sizeof *p->items);
    bool ok = !w.failed && p->items && places;
    for (size_t i = 0; ok && i < w.n; i++) {
        places[i] = (struct confine_place){w.items[i].path, w.items[i].reach};
        p->items[i] = look(w.items[i].path);
        p->items[i].path = text_copy(w.items[i].path, strlen(w.items[i].path));
        ok = p->items[i].path != NULL;
        p->n++;
    }
    if (ok) {
        enum confine_answer answer = confine_files(places, w.n);
        confine_files_warn("the clerk", answer);
        p->confined = answer == CONFINE_DONE;
    }
    free(places);
    wanted_fini(&w);
    return ok;
}

static bool has(const struct clerk_places *p, struct clerk_place place)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->items[i].device == place.device && p->items[i].inode == place.inode) return true;
    return place.inode == 0; /* there is none: whatever opens it says so */
}

bool clerk_places_have(const struct clerk_places *p, const struct audit_config *config)
{
    if (!p->confined) return true;
    struct wanted w = wanted_by(config);
    bool all = true;
    for (size_t i = 0; i < w.n; i++) all = all && has(p, look(w.items[i].path));
    wanted_fini(&w);
    return all;
}

bool clerk_places_have_changed(const struct clerk_places *p)
{
    bool changed = false;
    for (size_t i = 0; p->confined && i < p->n; i++)
        changed = changed || !has(p, look(p->items[i].path));
    return changed;
}

void clerk_places_fini(struct clerk_places *p)
{
    for (size_t i = 0; i < p->n; i++) free(p->items[i].path);
    free(p->items);
}
