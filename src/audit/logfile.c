#include "audit/logfile.h"

#include "audit/key_change.h"

#include "base/clock.h"
#include "base/diag.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TAIL_LIMIT = 4 << 20 };
static const char line_start[] = "{\"@timestamp\":\"";

/* ---- names ---- */

char *logfile_beside(const char *path, const char *ending)
{
    struct text t = {0};
    if (strcmp(path, "-") == 0) return NULL;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    text_add_bytes(&t, path, dot && dot > name ? (size_t)(dot - path) : strlen(path));
    text_add(&t, ending);
    return text_take(&t);
}

bool logfile_is_same(const char *a, const char *b)
{
    struct stat one, other;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && S_ISREG(one.st_mode) &&
           one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

char *logfile_key_path(const struct audit_config *config)
{
    if (config->key) return text_copy(config->key, strlen(config->key));
    return logfile_beside(config->file, ".key");
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Standard output, a pipe or a device: it cannot be read back. */
static bool is_stream(const char *path)
{
    struct stat st;
    return strcmp(path, "-") == 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

char *logfile_state_path(const struct audit_config *config)
{
    struct text t = {0};
    if (!is_stream(config->file)) return logfile_beside(config->file, ".state");
    if (!config->key) return NULL;
    text_printf(&t, "%s.state", config->key);
    return text_take(&t);
}

bool logfile_read_state(const char *path, struct chain *out)
{
    char *name = logfile_beside(path, ".state");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
    struct state is;
    bool ok = fd >= 0 && state_read(fd, name_of(path), &is);
    if (ok) *out = is.last;
    if (fd >= 0) close(fd);
    free(name);
    return ok;
}

void logfile_note(struct logfile *l)
{
    struct state is = {l->written, l->inode};
    state_write(&l->state, &is, name_of(l->path));
}

/* ---- the file ---- */

static bool lock_log(int fd, const char *path, struct text *errors)
{
    int fault = lock_file(fd);
    if (fault == EWOULDBLOCK)
        text_printf(errors, "audit file %s: another process is writing this log\n", path);
    else if (fault)
        text_printf(errors, "audit file %s cannot be locked: %s\n", path, strerror(fault));
    return !fault;
}

/* Non-blocking, so that a pipe that nobody reads cannot hold the thread. */
int logfile_open_again(const char *path, struct text *errors)
{
    enum { FLAGS = O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY };
    bool standard = strcmp(path, "-") == 0;
    /* Open it again: the terminal or pipe may be shared with other processes. */
    const char *name = standard ? "/proc/self/fd/1" : path;
    int follow = standard ? 0 : O_NOFOLLOW;
    int fd = standard ? -1 : open(name, O_RDWR | O_CREAT | FLAGS | follow, 0640);
    /* Some devices are writable only. */
    int fault = errno;
    if (fd < 0) fd = open(name, O_WRONLY | FLAGS | follow);
    if (fd < 0 && errno == ENOENT && !standard) errno = fault;
    if (fd < 0 && standard) fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 && errno == ELOOP)
        text_printf(errors,
                    "audit file %s is a symbolic link: name the file it leads to (a folder may be "
                    "a link), or - for standard output\n",
                    path);
    else if (fd < 0)
        text_printf(errors, "audit file %s: %s\n", path, strerror(errno));
    return fd;
}

/* A new file must be in its directory after a power failure too. */
static void sync_directory(const char *path)
{
    char *name = text_copy(path, strlen(path));
    char *slash = name ? strrchr(name, '/') : NULL;
    if (slash) *(slash == name ? slash + 1 : slash) = '\0';
    int fd = name ? open(slash ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0 && fsync(fd) < 0) diag_warning("%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    free(name);
}

bool logfile_cut(struct logfile *l, size_t n)
{
    struct stat st;
    if (n == 0) return true;
    return l->regular && fstat(l->fd, &st) == 0 && st.st_size >= (off_t)n &&
           ftruncate(l->fd, st.st_size - (off_t)n) == 0;
}

/* The file's last bytes, from the beginning of a line if possible. False: unreadable. */
static bool read_tail(int fd, struct text *out)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return false;
    off_t from = st.st_size > TAIL_LIMIT ? st.st_size - TAIL_LIMIT : 0;
    char *place = text_extend(out, (size_t)(st.st_size - from));
    size_t have = 0;
    while (place && have < out->size) {
        ssize_t n = pread(fd, place + have, out->size - have, from + (off_t)have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        have += (size_t)n;
    }
    return place != NULL;
}

/* Half a line of ours was never confirmed to a caller: remove it and keep it in a record. Other
 * text stays and gets a line end. */
static void take_out_torn_line(struct logfile *l, struct text *tail)
{
    const char *last = tail->size ? memrchr(tail->data, '\n', tail->size) : NULL;
    size_t whole = last ? (size_t)(last - tail->data) + 1 : 0, torn = tail->size - whole;
    size_t same = torn < sizeof line_start - 1 ? torn : sizeof line_start - 1;
    struct logfile_findings *f = &l->findings;
    if (torn == 0) return;
    if (memcmp(tail->data + whole, line_start, same) != 0) {
        text_add(&f->detail, "The file ended in half a line that is none of this log. ");
        if (write(l->fd, "\n", 1) != 1) diag_warning("audit file %s: %s", l->path, strerror(errno));
        return;
    }
    text_add_bytes(&f->torn, tail->data + whole, torn);
    bool out = logfile_cut(l, torn);
    /* An append-only file: at least end the line. */
    if (!out && write(l->fd, "\n", 1) != 1)
        diag_warning("audit file %s: %s", l->path, strerror(errno));
    text_printf(&f->detail, "The last line was cut short at %zu bytes and %s taken out. ", torn,
                out ? "has been" : "cannot be");
    tail->size = whole;
}

/* The last line of the file; false when it is not a sealed one. */
static bool last_line(const struct text *tail, struct chain *out)
{
    struct chain_line line;
    size_t n = tail->size;
    if (n == 0 || tail->data[n - 1] != '\n') return false;
    const char *before = memrchr(tail->data, '\n', n - 1);
    const char *start = before ? before + 1 : tail->data;
    if (!chain_read(start, (size_t)(tail->data + n - 1 - start), &line)) return false;
    out->sequence = line.sequence;
    memcpy(out->hash, line.hash, CHAIN_HASH);
    out->hash[CHAIN_HASH] = '\0';
    return true;
}

/* Does the tail have this record with another hash? */
static bool contradicts(const struct text *tail, const struct chain *known)
{
    const char *p = text_string(tail), *end = p + tail->size, *newline;
    struct chain_line line;
    for (; p < end && (newline = memchr(p, '\n', (size_t)(end - p))); p = newline + 1)
        if (chain_read(p, (size_t)(newline - p), &line) && line.sequence == known->sequence)
            return memcmp(line.hash, known->hash, CHAIN_HASH) != 0;
    return false;
}

/* With more senders than have a place, the ones that wrote last keep theirs. */
static void note_receipt(struct logfile *l, const struct receipt *r)
{
    size_t i = 0;
    while (i < l->receipt_count && strcmp(l->receipts[i].sender, r->sender) != 0) i++;
    if (i == LOGFILE_RECEIPTS) i = 0;
    if (i == l->receipt_count) l->receipt_count++;
    for (; i + 1 < l->receipt_count; i++) l->receipts[i] = l->receipts[i + 1];
    l->receipts[i] = *r;
}

static void find_receipts(struct logfile *l, const struct text *tail)
{
    const char *p = text_string(tail), *end = p + tail->size, *newline;
    struct receipt r;
    for (; p < end && (newline = memchr(p, '\n', (size_t)(end - p))); p = newline + 1)
        if (receipt_read(p, (size_t)(newline - p), &r)) note_receipt(l, &r);
}

/* The file that the state names may have another name now, and be one batch ahead of the state: use
 * its last line. */
static void find_former_file(struct logfile *l, ino_t inode, struct chain *head)
{
    struct text tail = {0};
    struct chain last;
    struct stat st;
    char *folder = text_copy(l->path, (size_t)(name_of(l->path) - l->path));
    DIR *d = folder ? opendir(folder[0] ? folder : ".") : NULL;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_ino != inode) continue;
        int fd =
            openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        bool ok = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read_tail(fd, &tail);
        const char *end = ok && tail.size ? memrchr(tail.data, '\n', tail.size) : NULL;
        if (end) tail.size = (size_t)(end - tail.data) + 1;
        if (end && last_line(&tail, &last) && last.sequence > head->sequence &&
            !contradicts(&tail, head))
            *head = last;
        if (end) find_receipts(l, &tail);
        text_fini(&tail);
        if (fd >= 0) close(fd);
    }
    if (d) closedir(d);
    free(folder);
}

/* Where does the chain continue? The state is what was written for certain. After a kill the file
 * may be one batch ahead of it; it is behind only if lines were lost. */
static void find_head(struct logfile *l, const struct text *tail)
{
    struct chain file, state;
    struct logfile_findings *f = &l->findings;
    struct state is;
    bool has_state = state_read(l->state.fd, name_of(l->path), &is);
    bool has_file = last_line(tail, &file);
    if (has_state && !has_file && is.inode != l->inode) find_former_file(l, is.inode, &is.last);
    if (has_state) state = is.last;
    if (tail->size && !has_file)
        text_add(&f->detail, "The file's last line is no record of this log. ");
    if (has_file && !has_state)
        text_add(&f->detail,
                 "There was no state file: the chain goes on from what the file shows. ");
    if (has_file && has_state && file.sequence < state.sequence) {
        f->missing_from = file.sequence + 1;
        f->missing_to = state.sequence;
        text_printf(&f->detail,
                    "Records %" PRIu64 " to %" PRIu64 " were written and are not in the file. ",
                    f->missing_from, f->missing_to);
    }
    if (has_file && has_state && file.sequence > state.sequence)
        text_printf(&f->detail,
                    "Records %" PRIu64 " to %" PRIu64 " are in the file and not in the state: they "
                    "were written as the process died, or by somebody else. ",
                    state.sequence + 1, file.sequence);
    if (has_file && has_state && contradicts(tail, &state))
        text_printf(&f->detail, "Record %" PRIu64 " is not the one that was written. ",
                    state.sequence);
    if (has_file && (!has_state || file.sequence > state.sequence))
        l->written = file;
    else if (has_state)
        l->written = state;
}

static bool examine(struct logfile *l, struct text *errors)
{
    struct text tail = {0};
    if (!lock_log(l->fd, l->path, errors) ||
        state_open(&l->state, logfile_beside(l->path, ".state"), errors))
        return false;
    bool ok = read_tail(l->fd, &tail);
    if (ok) {
        take_out_torn_line(l, &tail);
        find_head(l, &tail);
        find_receipts(l, &tail);
        if (tail.size == 0) sync_directory(l->path);
    } else {
        text_printf(errors, "audit file %s cannot be read\n", l->path);
    }
    text_fini(&tail);
    return ok;
}

/* A stream cannot be read back: the chain begins anew, and its first checkpoint names the previous
 * run's last record. A key in a read-only directory is no reason to refuse to start. */
static bool find_run_before(struct logfile *l, const struct audit_config *config,
                            struct text *errors)
{
    struct text reason = {0};
    struct state is;
    if (!l->has_key) return true;
    int fault = state_open(&l->state, logfile_state_path(config), &reason);
    bool read_only = fault == EROFS || fault == EACCES;
    if (read_only)
        diag_warning("%.*s: the log will not show whether whole runs were taken out; let the key "
                     "lie where this process can write",
                     (int)strcspn(text_string(&reason), "\n"), text_string(&reason));
    else if (fault)
        text_add(errors, text_string(&reason));
    else if (state_read(l->state.fd, NULL, &is))
        l->previous = is.last;
    text_fini(&reason);
    return !fault || read_only;
}

/* Does a whole line near the file's end announce this key? */
static bool announces(void *arg, const char *id)
{
    const struct logfile *l = arg;
    struct text tail = {0}, field = {0};
    text_printf(&field, "\"next_key_id\":\"%s\"", id);
    bool found = false;
    if (l->regular && read_tail(l->fd, &tail) && !field.failed && tail.size) {
        const char *at = memmem(tail.data, tail.size, field.data, field.size);
        found = at && memchr(at, '\n', (size_t)(tail.data + tail.size - at));
    }
    text_fini(&tail);
    text_fini(&field);
    return found;
}

static bool load_key(struct logfile *l, const struct audit_config *config, struct text *errors)
{
    /* A stream has a key only if the configuration names one. */
    if (!config->key && !l->regular) return true;
    l->key_path = logfile_key_path(config);
    l->has_key = l->key_path && key_change_settle(l->key_path, announces, l, errors) &&
                 log_key_load(l->key_path, true, &l->key, errors);
    return l->has_key;
}

static void note_kind(struct logfile *l)
{
    struct stat st;
    bool known = fstat(l->fd, &st) == 0;
    l->regular = known && S_ISREG(st.st_mode) && strcmp(l->path, "-") != 0;
    l->is_socket = known && S_ISSOCK(st.st_mode);
    l->inode = known ? st.st_ino : 0;
}

struct logfile *logfile_open(const struct audit_config *config, struct text *errors)
{
    struct logfile *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->state.fd = -1;
    chain_begin(&l->written);
    l->path = text_copy(config->file, strlen(config->file));
    l->fd = l->path ? logfile_open_again(l->path, errors) : -1;
    if (l->fd >= 0) note_kind(l);
    /* The key first: a start that fails must not lose what examine() repairs. */
    if (l->fd >= 0 && load_key(l, config, errors) &&
        (l->regular ? examine(l, errors) : find_run_before(l, config, errors))) {
        while (l->findings.detail.size &&
               l->findings.detail.data[l->findings.detail.size - 1] == ' ')
            l->findings.detail.data[--l->findings.detail.size] = '\0';
        return l;
    }
    if (errors->size == 0) text_add(errors, "audit: out of memory\n");
    logfile_close(l);
    return NULL;
}

void logfile_close(struct logfile *l)
{
    if (!l) return;
    if (l->fd >= 0) close(l->fd);
    state_close(&l->state);
    log_key_fini(&l->key);
    text_fini(&l->findings.detail);
    text_fini(&l->findings.torn);
    free(l->path);
    free(l->key_path);
    free(l);
}

static bool same_file(int a, int b)
{
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

bool logfile_is_open_on(const struct logfile *l, int fd)
{
    return same_file(l->fd, fd);
}

bool logfile_change(struct logfile *l, int fd)
{
    struct text errors = {0}, tail = {0};
    struct stat st;
    bool regular = strcmp(l->path, "-") != 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    bool ok = !regular || lock_log(fd, l->path, &errors);
    if (!ok) diag_error("%s", text_string(&errors));
    text_fini(&errors);
    if (!ok) {
        close(fd);
        return false;
    }
    close(l->fd);
    l->fd = fd;
    note_kind(l);
    if (regular && read_tail(fd, &tail)) take_out_torn_line(l, &tail);
    if (regular && tail.size == 0) sync_directory(l->path);
    text_fini(&tail);
    return true;
}

ssize_t logfile_write(const struct logfile *l, struct iovec *parts, size_t count)
{
    /* A socket's descriptor is shared with others and blocks. */
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    if (l->is_socket) return sendmsg(l->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return writev(l->fd, parts, (int)count);
}

bool logfile_is_gone(const struct logfile *l)
{
    struct stat st;
    return l->regular && fstat(l->fd, &st) == 0 && st.st_nlink == 0;
}

void logfile_restore(struct logfile *l)
{
    if (state_restore(&l->state)) {
        logfile_note(l);
        sync_directory(l->state.path);
        diag_warning("audit state %s was gone and is written anew", l->state.path);
    }
    if (!l->has_key) return;
    int fault = log_key_restore(l->key_path, &l->key);
    if (fault == 0) sync_directory(l->key_path);
    if (fault == 0) diag_warning("log key %s was gone and is written anew", l->key_path);
}

bool logfile_sync(struct logfile *l)
{
    int result = 0;
    int64_t began = clock_steady_ns();
    if (l->regular) do
            result = fdatasync(l->fd);
        while (result < 0 && errno == EINTR);
    if (result == 0) state_sync(&l->state);
    if (l->regular) histogram_add(&l->syncs, clock_steady_ns() - began);
    return result == 0;
}
