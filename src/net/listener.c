#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

/* Accepted sockets inherit these two. */
static bool set_for_accepted(int fd)
{
    int on = 1, unsent = LISTENER_UNSENT;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent) == 0;
}

static int open_bound(const struct addr *address, bool shared)
{
    int on = 1, off = 0;
    int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    ok = ok && set_for_accepted(fd);
    if (shared) ok = ok && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    if (address->sa.sa_family == AF_INET6)
        ok = ok && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
    if (ok && bind(fd, &address->sa, address->length) == 0) return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

int listener_open(const struct addr *address)
{
    int fd = open_bound(address, true);
    if (fd < 0 || listen(fd, BACKLOG) == 0) return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

bool listener_adopt(int listener)
{
    int flags = fcntl(listener, F_GETFL);
    return flags >= 0 && fcntl(listener, F_SETFL, flags | O_NONBLOCK) == 0 &&
           set_for_accepted(listener) && listen(listener, BACKLOG) == 0;
}

int listener_probe(const struct addr *address)
{
    int fd = open_bound(address, false);
    if (fd < 0) return errno;
    int fault = listen(fd, 1) < 0 ? errno : 0;
    close(fd);
    return fault;
}

bool listener_take_any(int listener, const struct addr *address)
{
    int on = 1;
    if (address->sa.sa_family == AF_INET6)
        return setsockopt(listener, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on) == 0;
    return setsockopt(listener, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on) == 0;
}

struct addr listener_original(int fd, bool redirected)
{
    enum { ORIGINAL_DST = 80 }; /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of linux/netfilter* */
    struct sockaddr_storage at = {0};
    struct addr local;
    socklen_t n = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &n) < 0) return (struct addr){0};
    local = addr_from_sockaddr((struct sockaddr *)&at, n);
    if (!redirected) return local;
    uint8_t bytes[16];
    int level = addr_bytes(&local, bytes) == 4 ? IPPROTO_IP : IPPROTO_IPV6;
    n = sizeof at;
    /* It fails for a connection that the firewall does not track. */
    if (getsockopt(fd, level, ORIGINAL_DST, &at, &n) < 0) return local;
    return addr_from_sockaddr((struct sockaddr *)&at, n);
}

/* accept4() needs a free descriptor even if no connection waits. */
static bool has_waiting(int listener)
{
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    return poll(&waiting, 1, 0) > 0;
}

enum accept_status listener_accept(int listener, int *fd, struct addr *peer)
{
    struct sockaddr_storage from = {0};
    socklen_t n = sizeof from;
    *fd = accept4(listener, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (*fd >= 0) {
        *peer = addr_from_sockaddr((struct sockaddr *)&from, n);
        return ACCEPT_OK;
    }
    switch (errno) {
    case EAGAIN:
        return ACCEPT_NONE;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return has_waiting(listener) ? ACCEPT_NO_DESCRIPTORS : ACCEPT_NONE;
    case EINVAL: /* it does not listen */
    case EBADF:
        return ACCEPT_NO_DESCRIPTORS;
    default: /* the connection is gone already, or the network reported an error (accept(2)) */
        return ACCEPT_RETRY;
    }
}

/* Is it an address of this machine? Used only for listeners on all addresses. */
static bool is_local(const struct addr *target)
{
    struct ifaddrs *list;
    if (addr_is_loopback(target) || addr_is_unspecified(target)) return true;
    if (getifaddrs(&list) < 0) return true; /* when in doubt, refuse it */
    bool found = false;
    for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr) continue;
        int family = i->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6) continue;
        struct addr own =
            addr_from_sockaddr(i->ifa_addr, family == AF_INET ? sizeof(struct sockaddr_in)
                                                              : sizeof(struct sockaddr_in6));
        found = addr_same_ip(target, &own);
    }
    freeifaddrs(list);
    return found;
}

bool listener_is_own(const struct addr *target, const struct addr *listeners, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (addr_port(target) != addr_port(&listeners[i])) continue;
        if (addr_same_ip(target, &listeners[i])) return true;
        if (addr_is_unspecified(&listeners[i]) && is_local(target)) return true;
        /* The unspecified address connects to this machine. */
        if (addr_is_unspecified(target)) return true;
    }
    return false;
}
