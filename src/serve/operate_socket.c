#include "serve/operate_socket.h"

#include "net/listener.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

/* A socket of a process that is gone. */
static bool is_left_over(const struct sockaddr_un *name)
{
    struct stat st;
    int fd = lstat(name->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) ? new_socket() : -1;
    if (fd < 0) return false;
    bool left =
        connect(fd, (const struct sockaddr *)name, sizeof *name) < 0 && errno == ECONNREFUSED;
    close(fd);
    return left;
}

static int open_path(const char *path)
{
    const struct sockaddr_un name = name_of(path);
    int fd = new_socket();
    if (fd < 0) return -1;
    bool bound = bind(fd, (const struct sockaddr *)&name, sizeof name) == 0;
    if (!bound && errno == EADDRINUSE && is_left_over(&name) && unlink(path) == 0)
        bound = bind(fd, (const struct sockaddr *)&name, sizeof name) == 0;
    if (bound && chmod(path, 0666) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

int operate_socket_open(const struct endpoint *place, struct text *errors)
{
    struct text where = {0};
    const int on = 1;
    int fd = place->path ? open_path(place->path) : listener_open(&place->address);
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

bool operate_socket_is(int fd, const struct endpoint *place)
{
    union {
        struct sockaddr sa;
        struct sockaddr_storage storage;
        struct sockaddr_un name;
    } at = {.storage = {0}};
    socklen_t size = sizeof at;
    if (fd < 0 || getsockname(fd, &at.sa, &size) < 0) return false;
    if (place->path)
        return at.sa.sa_family == AF_UNIX && strcmp(at.name.sun_path, place->path) == 0;
    if (at.sa.sa_family == AF_UNIX) return false;
    const struct addr a = addr_from_sockaddr(&at.sa, size);
    return addr_same_ip(&a, &place->address) &&
           (addr_port(&place->address) == 0 || addr_port(&a) == addr_port(&place->address));
}
