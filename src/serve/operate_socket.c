#include "serve/operate_socket.h"

#include "net/listener.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 64 };

static struct sockaddr_un name_of(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strncpy(name.sun_path, path, sizeof name.sun_path - 1);
    return name;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static struct socket_file file_at(const char *path)
{
    struct stat st;
    bool there = lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
    return there ? (struct socket_file){st.st_dev, st.st_ino} : (struct socket_file){0, 0};
}

static bool is_file_at(const char *path, const struct socket_file *file)
{
    const struct socket_file now = file_at(path);
    return now.inode != 0 && (!file || (now.device == file->device && now.inode == file->inode));
}

struct socket_file operate_socket_file(const struct endpoint *at)
{
    return at->path ? file_at(at->path) : (struct socket_file){0, 0};
}

/* A socket of a process that is gone. */
static bool is_left_over(const struct sockaddr_un *name)
{
    int fd = is_file_at(name->sun_path, NULL) ? new_socket() : -1;
    if (fd < 0) return false;
    bool left =
        connect(fd, (const struct sockaddr *)name, sizeof *name) < 0 && errno == ECONNREFUSED;
    close(fd);
    return left;
}

/* Not one that is about to listen. */
static bool is_left_for_good(const struct sockaddr_un *name)
{
    static const struct timespec moment = {.tv_nsec = 200000000};
    if (!is_left_over(name)) return false;
    nanosleep(&moment, NULL);
    return is_left_over(name);
}

static int bind_and_listen(int fd, const struct sockaddr_un *name)
{
    int fault = 0;
    /* All may connect who reach it. Not by its path, which may be another file's by then. */
    mode_t before = umask(0111);
    bool bound = bind(fd, (const struct sockaddr *)name, sizeof *name) == 0;
    if (!bound && errno == EADDRINUSE && is_left_for_good(name) && unlink(name->sun_path) == 0)
        bound = bind(fd, (const struct sockaddr *)name, sizeof *name) == 0;
    if (!bound || listen(fd, BACKLOG) < 0) fault = errno;
    umask(before);
    return fault;
}

static int open_path(const char *path)
{
    const struct sockaddr_un name = name_of(path);
    int fd = new_socket();
    int fault = fd < 0 ? errno : bind_and_listen(fd, &name);
    if (!fault) return fd;
    if (fd >= 0) close(fd);
    errno = fault;
    return -1;
}

/* Without this, two processes could share the address (SO_REUSEPORT). */
static int open_address(const struct addr *address)
{
    int fault = addr_port(address) ? listener_probe(address) : 0;
    if (!fault) return listener_open(address);
    errno = fault;
    return -1;
}

int operate_socket_open(const struct endpoint *place, struct text *errors)
{
    struct text where = {0};
    const int on = 1;
    int fd = place->path ? open_path(place->path) : open_address(&place->address);
    if (fd >= 0) {
        /* Who gets a copy cannot put a filter on it. */
        (void)!setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on);
        return fd;
    }
    int fault = errno;
    endpoint_format(place, &where);
    text_printf(errors, "[operate] cannot listen on %s: %s\n", text_string(&where),
                strerror(fault));
    text_fini(&where);
    return -1;
}

bool operate_socket_is(int fd, const struct endpoint *place, const struct socket_file *file)
{
    union {
        struct sockaddr sa;
        struct sockaddr_storage storage;
        struct sockaddr_un name;
    } at = {.storage = {0}};
    socklen_t size = sizeof at;
    if (fd < 0 || getsockname(fd, &at.sa, &size) < 0) return false;
    if (place->path)
        return at.sa.sa_family == AF_UNIX && strcmp(at.name.sun_path, place->path) == 0 &&
               is_file_at(place->path, file); /* else nobody can find it any more */
    if (at.sa.sa_family == AF_UNIX) return false;
    const struct addr a = addr_from_sockaddr(&at.sa, size);
    return addr_same_ip(&a, &place->address) &&
           (addr_port(&place->address) == 0 || addr_port(&a) == addr_port(&place->address));
}

void operate_socket_remove(int fd, const struct socket_file *file)
{
    struct sockaddr_un at = {0};
    socklen_t size = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &size) == 0 && at.sun_family == AF_UNIX &&
        is_file_at(at.sun_path, file))
        (void)!unlink(at.sun_path);
}
