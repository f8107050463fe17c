#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(const char *path, int flags, size_t limit, struct text *out, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
    if (fd < 0) return errno;
    struct stat is;
    int fault = fstat(fd, &is) < 0 ? errno : S_ISDIR(is.st_mode) ? EISDIR : 0;
    if (!fault && flags & O_NONBLOCK && S_ISFIFO(is.st_mode)) fault = EOPNOTSUPP;
    if (st) *st = is;
    char block[16384];
    while (!fault) {
        ssize_t n = read(fd, block, sizeof block);
        if (n == 0) break;
        if (n < 0 && errno != EINTR) fault = errno;
        if (n > 0) text_add_bytes(out, block, (size_t)n);
        if (out->size > limit) fault = EFBIG;
        if (out->failed) fault = ENOMEM;
    }
    explicit_bzero(block, sizeof block); /* it may be a secret */
    close(fd);
    return fault;
}

int file_read(const char *path, size_t limit, struct text *out, struct stat *st)
{
    return read_all(path, 0, limit, out, st);
}

int file_read_kept(const char *path, size_t limit, struct text *out, struct stat *st)
{
    return read_all(path, O_NONBLOCK, limit, out, st);
}

int file_read_own(const char *path, size_t limit, struct text *out, struct stat *st)
{
    return read_all(path, O_NOFOLLOW, limit, out, st);
}

void file_explain(const char *path, int fault, struct text *errors)
{
    text_printf(errors, "%s: %s", path, strerror(fault));
    if (fault == EACCES) {
        const struct passwd *own = getpwuid(geteuid());
        text_add(errors, ": chown it to ");
        if (own)
            text_add(errors, own->pw_name);
        else
            text_printf(errors, "user %u", (unsigned)geteuid());
        text_add(errors, ", the user of this process, whom its folders have to let in");
    }
    text_add(errors, "\n");
}

static uid_t owners[4];
static size_t owner_count;

void file_allow_owner(uid_t user)
{
    if (owner_count < COUNT_OF(owners)) owners[owner_count++] = user;
}

static bool may_own(uid_t user)
{
    bool may = user == 0 || user == geteuid();
    for (size_t i = 0; i < owner_count; i++) may = may || user == owners[i];
    return may;
}

bool file_is_private(const char *path, const struct stat *st, mode_t others, bool any_owner,
                     struct text *errors)
{
    if (!any_owner && !may_own(st->st_uid)) {
        text_printf(errors,
                    "%s belongs to user %u: whoever owns a private key can read and change it; "
                    "chown it to root or to the user of this process (%u)\n",
                    path, (unsigned)st->st_uid, (unsigned)(owner_count ? owners[0] : geteuid()));
        return false;
    }
    if (st->st_mode & others) {
        text_printf(errors, "%s can be read or changed by others (mode %03o): chmod 600 it\n", path,
                    (unsigned)st->st_mode & 07777);
        return false;
    }
    return true;
}

bool file_is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* owner: or NULL. By its descriptor: who may write to the folder could put another file there. */
static int create(const char *path, mode_t mode, const struct text *content,
                  const struct stat *owner)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return errno;
    if (owner && fchown(fd, owner->st_uid, owner->st_gid) < 0)
        errno = 0; /* it is this process's own, as a new file would be */
    const char *text = text_string(content);
    size_t left = content->size;
    int fault = 0;
    while (left > 0 && !fault) {
        ssize_t n = write(fd, text, left);
        if (n < 0 && errno != EINTR) fault = errno;
        if (n > 0) {
            text += n;
            left -= (size_t)n;
        }
    }
    if (!fault && fsync(fd) < 0 && errno != EINVAL) fault = errno;
    if (close(fd) < 0 && !fault) fault = errno;
    if (fault) unlink(path);
    return fault;
}

int file_create(const char *path, mode_t mode, const struct text *content)
{
    return create(path, mode, content, NULL);
}

bool file_folder(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int n = slash == path ? 1 : slash ? (int)(slash - path) : 0;
    return snprintf(out, PATH_MAX, "%.*s", n ? n : 1, n ? path : ".") < PATH_MAX;
}

int file_replace(const char *path, mode_t mode, const struct text *content)
{
    char next[PATH_MAX], folder[PATH_MAX];
    if (snprintf(next, sizeof next, "%s.new", path) >= (int)sizeof next) return ENAMETOOLONG;
    if (unlink(next) < 0 && errno != ENOENT) return errno; /* of a run that was ended */
    struct stat before;
    bool known = lstat(path, &before) == 0 && S_ISREG(before.st_mode);
    if (!known) known = file_folder(path, folder) && stat(folder, &before) == 0;
    int fault = create(next, mode, content, known ? &before : NULL);
    if (!fault && rename(next, path) < 0) {
        fault = errno;
        unlink(next);
    }
    return fault;
}
