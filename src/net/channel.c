#include "net/channel.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Waits until the socket is ready for `events`. False at the deadline. */
static bool wait_for(const struct channel *c, short events, int64_t deadline)
{
    struct pollfd p = {.fd = c->fd, .events = events};
    for (;;) {
        int64_t left = deadline - clock_steady_ns();
        if (left <= 0) return false;
        int n = poll(&p, 1, (int)(left / 1000000 + 1));
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return false;
    }
}

static int connect_to(struct channel *c, const struct addr *address, int64_t deadline)
{
    int fault = 0, on = 1;
    socklen_t n = sizeof fault;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, &address->sa, address->length) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    if (!wait_for(c, POLLOUT, deadline)) return ETIMEDOUT;
    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &fault, &n) < 0 ? errno : fault;
}

int channel_open(struct channel *c, const struct addr *address, int64_t deadline)
{
    c->fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return errno;
    int fault = connect_to(c, address, deadline);
    if (fault) channel_close(c);
    return fault;
}

enum channel_status channel_send(struct channel *c, const void *p, size_t n, int64_t deadline)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t sent = send(c->fd, at, n, MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        } else if (sent < 0 && errno == EAGAIN) {
            if (!wait_for(c, POLLOUT, deadline)) return CHANNEL_TIMEOUT;
        } else if (errno != EINTR) {
            return CHANNEL_RESET;
        }
    }
    return CHANNEL_OK;
}

enum channel_status channel_receive(struct channel *c, void *p, size_t room, size_t *got,
                                    int64_t deadline)
{
    *got = 0;
    for (;;) {
        /* Check the deadline first, also when bytes never stop coming. */
        if (!wait_for(c, POLLIN, deadline)) return CHANNEL_TIMEOUT;
        ssize_t n = recv(c->fd, p, room, 0);
        if (n == 0) return CHANNEL_END;
        if (n > 0) {
            *got = (size_t)n;
            return CHANNEL_OK;
        }
        if (errno != EAGAIN && errno != EINTR) return CHANNEL_RESET;
    }
}

void channel_close(struct channel *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}
