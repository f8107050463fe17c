#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(const char *path, size_t limit, struct text *out, mode_t *mode)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return errno;
    struct stat st;
    int fault = fstat(fd, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (mode) *mode = st.st_mode & 07777;
    char block[16384];
    while (!fault) {
        ssize_t n = read(fd, block, sizeof block);
        if (n == 0) break;
        if (n < 0 && errno != EINTR) fault = errno;
        if (n > 0) text_add_bytes(out, block, (size_t)n);
        if (out->size > limit) fault = EFBIG;
        if (out->failed) fault = ENOMEM;
    }
    close(fd);
    return fault;
}

int file_create(const char *path, mode_t mode, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return errno;
    size_t left = strlen(text);
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
