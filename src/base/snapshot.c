#include "base/snapshot.h"

#include "base/file.h"
#include "base/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct kept {
    struct kept *next;
    char *path;
    struct text content;
};

struct snapshot {
    struct kept *files;
    bool given;
};

struct snapshot *snapshot_new(void)
{
    return calloc(1, sizeof(struct snapshot));
}

void snapshot_free(struct snapshot *s)
{
    if (!s) return;
    while (s->files) {
        struct kept *f = s->files;
        s->files = f->next;
        /* It may be a secret. */
        text_wipe(&f->content);
        free(f->path);
        free(f);
    }
    free(s);
}

static struct kept *find(const struct snapshot *s, const char *path)
{
    for (struct kept *f = s->files; f; f = f->next)
        if (strcmp(f->path, path) == 0) return f;
    return NULL;
}

/* Takes the path. */
static struct kept *add(struct snapshot *s, char *path)
{
    struct kept *f = path ? calloc(1, sizeof *f) : NULL;
    if (!f) {
        free(path);
        return NULL;
    }
    *f = (struct kept){.next = s->files, .path = path};
    s->files = f;
    return f;
}

bool snapshot_is_given(const struct snapshot *s)
{
    return s && s->given;
}

static bool set(struct kept *f, const char *p, size_t n)
{
    if (f->content.data) explicit_bzero(f->content.data, f->content.size);
    f->content.size = 0;
    text_reserve(&f->content, n);
    text_add_bytes(&f->content, p, n);
    return !f->content.failed;
}

bool snapshot_put(struct snapshot *s, const char *path, const struct text *content)
{
    if (!s || s->given) return true;
    struct kept *f = find(s, path);
    if (!f) f = add(s, text_copy(path, strlen(path)));
    return f && !content->failed && set(f, text_string(content), content->size);
}

static int read_given(const struct snapshot *s, const char *path, size_t limit, struct text *out,
                      struct stat *st)
{
    const struct kept *f = find(s, path);
    if (!f) return ENOENT;
    if (f->content.size > limit) return EFBIG;
    text_add_bytes(out, text_string(&f->content), f->content.size);
    if (st) *st = (struct stat){.st_size = (off_t)f->content.size};
    return out->failed ? ENOMEM : 0;
}

int snapshot_read(struct snapshot *s, const char *path, size_t limit, struct text *out,
                  struct stat *st)
{
    if (snapshot_is_given(s)) return read_given(s, path, limit, out, st);
    int fault = file_read_kept(path, limit, out, st);
    if (!fault && !snapshot_put(s, path, out)) fault = ENOMEM;
    return fault;
}

bool snapshot_has(const struct snapshot *s, const char *path)
{
    if (snapshot_is_given(s)) return find(s, path) != NULL;
    return access(path, F_OK) == 0 || errno != ENOENT;
}

/* ---- as a memory file: for each one, the lengths of path and content, then both ---- */

struct lengths {
    uint64_t path, content;
};

static bool write_all(int fd, const void *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        p = (const char *)p + done;
        n -= (size_t)done;
    }
    return true;
}

int snapshot_seal(const struct snapshot *s)
{
    int fd = memfd_create("configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool ok = fd >= 0;
    for (const struct kept *f = s->files; ok && f; f = f->next) {
        const struct lengths n = {strlen(f->path), f->content.size};
        ok = write_all(fd, &n, sizeof n) && write_all(fd, f->path, n.path) &&
             write_all(fd, text_string(&f->content), n.content);
    }
    ok =
        ok && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
    if (ok || fd < 0) return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

static bool take(struct snapshot *s, struct reader *r)
{
    struct lengths n;
    struct span head = reader_bytes(r, sizeof n);
    if (r->failed) return false;
    memcpy(&n, head.p, sizeof n);
    struct span path = reader_bytes(r, n.path), content = reader_bytes(r, n.content);
    if (r->failed) return false;
    struct kept *f = add(s, text_copy((const char *)path.p, path.n));
    return f && set(f, (const char *)content.p, content.n);
}

struct snapshot *snapshot_open(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return NULL;
    size_t size = (size_t)st.st_size;
    void *map = size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) return NULL;
    struct snapshot *s = snapshot_new();
    struct reader r = reader_of((struct span){map, size});
    bool ok = s != NULL;
    while (ok && r.left > 0) ok = take(s, &r);
    munmap(map, size);
    if (ok) {
        s->given = true;
        return s;
    }
    snapshot_free(s);
    errno = EINVAL;
    return NULL;
}
