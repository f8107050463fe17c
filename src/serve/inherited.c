#include "serve/inherited.h"

#include "base/diag.h"
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST = 3, MOST = 4096 };

static long variable(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (!text || !*text) return 0;
    long n = strtol(text, &end, 10);
    return *end ? 0 : n;
}

/* False: it is no listening TCP socket. */
static bool find_address(struct inherited_socket *s)
{
    struct sockaddr_storage at = {0};
    socklen_t n = sizeof at, size = sizeof(int);
    int listens = 0;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens) return false;
    if (getsockname(s->fd, (struct sockaddr *)&at, &n) < 0) return false;
    if (at.ss_family != AF_INET && at.ss_family != AF_INET6) return false;
    s->address = addr_from_sockaddr((struct sockaddr *)&at, n);
    return true;
}

static void take_one(struct inherited *i, int fd, const char *name, size_t length,
                     struct text *errors)
{
    bool kept = length > 0 && name[0] == INHERITED_KEPT[0];
    struct inherited_socket s = {
        .fd = fd, .name = text_copy(name + kept, length - kept), .kept = kept};
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || !s.name) {
        text_printf(errors, "descriptor %d of LISTEN_FDS: %s\n", fd,
                    s.name ? strerror(errno) : "out of memory");
        free(s.name);
        return;
    }
    int *own = strcmp(s.name, INHERITED_POST) == 0      ? &i->post
               : strcmp(s.name, INHERITED_CONTROL) == 0 ? &i->control
               : strcmp(s.name, INHERITED_OPERATE) == 0 ? &i->operate
                                                        : NULL;
    if (own && *own < 0) {
        *own = fd;
        free(s.name);
        return;
    }
    if (!find_address(&s))
        text_printf(errors,
                    "descriptor %d of LISTEN_FDS (%s) is no listening TCP socket: the unit wants "
                    "ListenStream=ADDRESS:PORT and Accept=no\n",
                    fd, s.name);
    i->sockets[i->n++] = s;
}

bool inherited_take(struct inherited *i, struct text *errors)
{
    long count = variable("LISTEN_PID") == getpid() ? variable("LISTEN_FDS") : 0;
    const char *names = getenv("LISTEN_FDNAMES");
    *i = (struct inherited){.post = -1, .control = -1, .operate = -1};
    if (count > 0 && count <= MOST) i->sockets = calloc((size_t)count, sizeof *i->sockets);
    for (long k = 0; i->sockets && k < count && errors->size == 0; k++) {
        size_t length = names ? strcspn(names, ":") : 0;
        take_one(i, FIRST + (int)k, names ? names : "", length, errors);
        if (names) names = names[length] ? names + length + 1 : NULL;
    }
    if (count > 0 && !i->sockets) text_add(errors, "LISTEN_FDS: out of memory, or too many\n");
    i->managed = i->post < 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return errors->size == 0;
}

static bool fits(const struct inherited *i, const struct inherited_socket *s,
                 const struct listen_address *where, const char *name)
{
    if (s->fd < 0) return false;
    if (where->systemd) return strcmp(s->name, i->managed ? where->systemd : name) == 0;
    if (!addr_same_ip(&s->address, &where->address)) return false;
    return addr_port(&where->address) ? addr_port(&s->address) == addr_port(&where->address)
                                      : strcmp(s->name, name) == 0;
}

size_t inherited_count(const struct inherited *i, const struct listen_address *where,
                       const char *name)
{
    size_t count = 0;
    for (size_t k = 0; i && k < i->n; k++) count += fits(i, &i->sockets[k], where, name);
    return count;
}

int inherited_next(struct inherited *i, const struct listen_address *where, const char *name,
                   bool *kept)
{
    for (size_t k = 0; i && k < i->n; k++) {
        struct inherited_socket *s = &i->sockets[k];
        if (!fits(i, s, where, name)) continue;
        int fd = s->fd;
        s->fd = -1;
        *kept = s->kept || i->managed;
        if (listener_adopt(fd)) return fd;
        int fault = errno;
        close(fd);
        errno = fault;
        return -1;
    }
    errno = ENOENT;
    return -1;
}

void inherited_fini(struct inherited *i, bool warn)
{
    for (size_t k = 0; k < i->n; k++) {
        struct inherited_socket *s = &i->sockets[k];
        if (s->fd >= 0 && warn) {
            char where[ADDR_TEXT_SIZE];
            addr_format(&s->address, where);
            diag_warning("no listener has the address %s of a socket that was handed over", where);
        }
        if (s->fd >= 0) close(s->fd);
        free(s->name);
    }
    free(i->sockets);
    if (i->post >= 0) close(i->post);
    if (i->control >= 0) close(i->control);
    if (i->operate >= 0) close(i->operate);
    *i = (struct inherited){.post = -1, .control = -1, .operate = -1};
}
