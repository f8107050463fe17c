#include "audit/state.h"

#include "base/diag.h"
#include "base/json.h"

#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATE_SIZE = 2048 }; /* a name of 255 characters, escaped, fits */

int lock_file(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

static int open_locked(const char *path, int *fault)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0640);
    *fault = fd < 0 ? errno : lock_file(fd);
    if (fd >= 0 && *fault) close(fd);
    return *fault ? -1 : fd;
}

int state_open(struct state_file *s, char *path, struct text *errors)
{
    int fault = ENOMEM;
    *s = (struct state_file){.path = path, .fd = -1};
    if (path) s->fd = open_locked(path, &fault);
    if (!fault) return 0;
    if (fault == EWOULDBLOCK)
        text_printf(errors, "audit state %s: another process is writing this log\n", path);
    else if (fault == ELOOP)
        text_printf(errors, "audit state %s is a symbolic link: remove it\n", path);
    else
        text_printf(errors, "audit state %s: %s\n", path ? path : "", strerror(fault));
    return fault;
}

static bool parse(const char *text, size_t n, const char *name, struct state *out)
{
    json_t *state = json_loadb(text, n, 0, NULL);
    json_int_t sequence = json_integer_value(json_object_get(state, "sequence"));
    const char *hash = json_string_value(json_object_get(state, "hash"));
    const char *file = json_string_value(json_object_get(state, "file"));
    bool ok = sequence > 0 && hash && strlen(hash) == CHAIN_HASH && file &&
              (!name || strcmp(file, name) == 0);
    if (ok) {
        out->last.sequence = (uint64_t)sequence;
        memcpy(out->last.hash, hash, CHAIN_HASH + 1);
        out->inode = (ino_t)json_integer_value(json_object_get(state, "inode"));
    }
    json_decref(state);
    return ok;
}

/* Reads until two reads are equal: the file may be written at this moment. */
bool state_read(int fd, const char *name, struct state *out)
{
    enum { ATTEMPTS = 20 };
    char text[STATE_SIZE] = "", again[STATE_SIZE] = "";
    ssize_t n = pread(fd, text, sizeof text, 0);
    for (int i = 0; i < ATTEMPTS && n > 0; i++) {
        if (pread(fd, again, sizeof again, 0) == n && memcmp(text, again, sizeof text) == 0)
            return parse(text, (size_t)n, name, out);
        memcpy(text, again, sizeof text);
    }
    return false;
}

void state_write(struct state_file *s, const struct state *is, const char *name)
{
    static int64_t last_complaint;
    if (s->fd < 0) return;
    struct json j = json_of(&s->scratch);
    s->scratch.size = 0;
    json_put_object(&j, NULL);
    json_put_number(&j, "sequence", (int64_t)is->last.sequence);
    json_put_string(&j, "hash", is->last.hash);
    json_put_number(&j, "pid", getpid());
    json_put_number(&j, "inode", (int64_t)is->inode);
    json_put_string(&j, "file", name);
    json_end_object(&j);
    size_t size = s->scratch.size;
    char *rest = size < STATE_SIZE ? text_extend(&s->scratch, STATE_SIZE - size) : NULL;
    if (rest) memset(rest, ' ', STATE_SIZE - size);
    if (rest) rest[STATE_SIZE - size - 1] = '\n';
    if ((s->scratch.failed || pwrite(s->fd, s->scratch.data, STATE_SIZE, 0) != STATE_SIZE) &&
        diag_due(&last_complaint, (int64_t)60 * 1000000000))
        diag_warning("%s cannot be written: %s", s->path, strerror(errno));
}

bool state_content(const struct state_file *s, struct text *out)
{
    char text[STATE_SIZE];
    if (s->fd < 0 || pread(s->fd, text, sizeof text, 0) != sizeof text) return false;
    text_add_bytes(out, text, sizeof text);
    return true;
}

void state_sync(const struct state_file *s)
{
    if (s->fd >= 0 && fdatasync(s->fd) < 0) diag_warning("%s: %s", s->path, strerror(errno));
}

bool state_restore(struct state_file *s)
{
    struct stat open_one, named;
    int fault;
    if (s->fd < 0 || fstat(s->fd, &open_one) < 0) return false;
    if (stat(s->path, &named) == 0 && named.st_dev == open_one.st_dev &&
        named.st_ino == open_one.st_ino)
        return false;
    int fd = open_locked(s->path, &fault);
    if (fd < 0) return false; /* its directory is gone too, or another process has it */
    close(s->fd);
    s->fd = fd;
    return true;
}

void state_close(struct state_file *s)
{
    if (s->fd >= 0) close(s->fd);
    text_fini(&s->scratch);
    free(s->path);
    *s = (struct state_file){.fd = -1};
}
