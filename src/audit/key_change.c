#include "audit/key_change.h"

#include "base/clock.h"
#include "base/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { AGAIN_S = 3600 };
static const int64_t second_ns = 1000000000;

static bool name_next(const char *path, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s.next", path);
    if (n > 0 && n < PATH_MAX) return true;
    errno = ENAMETOOLONG;
    return false;
}

void key_change_begin(struct key_change *c, const char *path)
{
    struct stat st;
    *c = (struct key_change){.path = path};
    if (!path || stat(path, &st) < 0) return;
    int64_t left = (int64_t)st.st_mtime + KEY_CHANGE_S - (int64_t)time(NULL);
    if (left < 0) left = 0;
    if (left > KEY_CHANGE_S) left = KEY_CHANGE_S; /* a clock that was wrong */
    c->due_ns = clock_steady_ns() + left * second_ns;
}

static bool make_next(const char *path, struct log_key *out)
{
    char next[PATH_MAX];
    struct text errors = {0};
    if (!name_next(path, next) || (unlink(next) < 0 && errno != ENOENT)) return false;
    errno = 0;
    bool ok = log_key_load(next, true, out, &errors);
    text_fini(&errors);
    return ok;
}

bool key_change_prepare(struct key_change *c)
{
    static bool said;
    c->due_ns = 0;
    if (make_next(c->path, &c->next)) return true;
    if (!said)
        diag_warning("the log key %s stays the same, since no other can be made beside it: %s",
                     c->path, strerror(errno));
    said = true;
    c->due_ns = clock_steady_ns() + AGAIN_S * second_ns;
    return false;
}

/* As far as the file system writes in place. */
static void wipe(const char *path)
{
    static const char zeros[512];
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return;
    bool plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    for (off_t at = 0; plain && at < st.st_size; at += (off_t)sizeof zeros) {
        size_t n =
            (size_t)(st.st_size - at) < sizeof zeros ? (size_t)(st.st_size - at) : sizeof zeros;
        if (pwrite(fd, zeros, n, at) < 0) break;
    }
    if (plain) (void)!fsync(fd);
    close(fd);
}

/* The next key's file takes the place of the old one's. */
static void replace(const char *path)
{
    char next[PATH_MAX];
    if (!name_next(path, next)) return;
    wipe(path);
    if (rename(next, path) < 0)
        diag_error("the log key %s cannot be replaced by %s: %s: do that before the next start",
                   path, next, strerror(errno));
}

void key_change_commit(struct key_change *c, struct log_key *key)
{
    log_key_fini(key);
    *key = c->next;
    c->next = (struct log_key){0};
    c->announced = false;
    replace(c->path);
    c->due_ns = clock_steady_ns() + KEY_CHANGE_S * second_ns;
    diag_info("the audit log's key has changed; its id is now %s", key->id);
}

void key_change_abandon(struct key_change *c)
{
    char next[PATH_MAX];
    if (!c->next.id[0]) return;
    if (name_next(c->path, next)) unlink(next);
    log_key_fini(&c->next);
    c->next = (struct log_key){0};
    c->announced = false;
    c->due_ns = clock_steady_ns() + AGAIN_S * second_ns;
}

bool key_change_settle(const char *path, bool (*announced)(void *arg, const char *id), void *arg,
                       struct text *errors)
{
    char next[PATH_MAX];
    struct log_key key;
    if (!name_next(path, next) || access(next, F_OK) < 0) return true;
    struct text unused = {0};
    if (!log_key_load(next, false, &key, &unused)) { /* half written */
        text_fini(&unused);
        unlink(next);
        return true;
    }
    bool is = announced(arg, key.id);
    log_key_fini(&key);
    text_fini(&unused);
    if (!is) {
        unlink(next);
        return true;
    }
    wipe(path);
    if (rename(next, path) == 0) return true;
    text_printf(errors, "the log key %s cannot be replaced by %s: %s\n", path, next,
                strerror(errno));
    return false;
}
