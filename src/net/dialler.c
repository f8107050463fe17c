#include "net/dialler.h"

#include "net/listener.h"
#include "net/resolver.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const double attempt_delay_s = 0.25; /* RFC 8305 section 5 */

struct attempt {
    ev_io io;
    struct dial *dial;
    int fd; /* -1: not open */
    size_t index;
};

struct dial {
    struct ev_loop *loop;
    struct addr source; /* length 0: any */
    struct addr addresses[LOOKUP_LIMIT];
    struct attempt attempts[LOOKUP_LIMIT];
    size_t n, next, under_way;
    ev_timer timer;
    int fault;
    sa_family_t fault_family;
    dial_answer *answer;
    void *arg;
};

/* RFC 8305 section 4: alternate the families, beginning with the first address's. */
static void interleave(struct dial *d, const struct addr *addresses, size_t n)
{
    size_t same = 0, other = 0;
    sa_family_t family = n ? addresses[0].sa.sa_family : AF_INET;
    bool turn_same = true;
    while (d->n < n && d->n < LOOKUP_LIMIT) {
        while (same < n && addresses[same].sa.sa_family != family) same++;
        while (other < n && addresses[other].sa.sa_family == family) other++;
        bool take_same = (turn_same && same < n) || other >= n;
        d->addresses[d->n++] = addresses[take_same ? same++ : other++];
        turn_same = !take_same;
    }
}

void dial_cancel(struct dial *d)
{
    ev_timer_stop(d->loop, &d->timer);
    for (size_t i = 0; i < d->next; i++) {
        if (d->attempts[i].fd < 0) continue;
        ev_io_stop(d->loop, &d->attempts[i].io);
        close(d->attempts[i].fd);
    }
    free(d);
}

static void finish(struct dial *d, int fd, const struct addr *address)
{
    dial_answer *answer = d->answer;
    void *arg = d->arg;
    int fault = d->fault;
    struct addr peer = address ? *address : (struct addr){0};
    dial_cancel(d);
    answer(arg, fd, &peer, fault);
}

bool dial_fault_is_own(int fault)
{
    switch (fault) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
    case EAGAIN:
        return true;
    default:
        return false;
    }
}

/* Without IPv6 on this machine an IPv6 address fails with EADDRNOTAVAIL: that is not a shortage. */
static void note_fault(struct dial *d, const struct addr *address, int fault)
{
    bool no_family = d->fault == EADDRNOTAVAIL && d->fault_family == AF_INET6;
    if (dial_fault_is_own(d->fault) && !no_family) return;
    d->fault = fault;
    d->fault_family = address->sa.sa_family;
}

static void start_next(struct dial *d);

static void on_connected(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct attempt *a = io->data;
    struct dial *d = a->dial;
    int fd = a->fd, fault = 0, on = 1, unsent = LISTENER_UNSENT;
    socklen_t n = sizeof fault;
    ev_io_stop(loop, io);
    a->fd = -1;
    d->under_way--;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &n) < 0) fault = errno;
    if (fault == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
        finish(d, fd, &d->addresses[a->index]);
        return;
    }
    close(fd);
    note_fault(d, &d->addresses[a->index], fault);
    start_next(d);
}

/* The local port is chosen when the socket connects, so that many destinations can share one. */
static bool bind_source(const struct dial *d, int fd)
{
    int on = 1;
    if (!d->source.length) return true;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, &d->source.sa, d->source.length) == 0;
}

/* Opens one attempt; false when it failed at once. */
static bool open_attempt(struct dial *d, size_t i)
{
    const struct addr *address = &d->addresses[i];
    struct attempt *a = &d->attempts[i];
    *a = (struct attempt){.dial = d, .fd = -1, .index = i};
    int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || !bind_source(d, fd) ||
        (connect(fd, &address->sa, address->length) < 0 && errno != EINPROGRESS)) {
        note_fault(d, address, errno);
        if (fd >= 0) close(fd);
        return false;
    }
    a->fd = fd;
    ev_io_init(&a->io, on_connected, fd, EV_WRITE);
    a->io.data = a;
    ev_io_start(d->loop, &a->io);
    d->under_way++;
    return true;
}

/* Starts attempts until one is pending; calls back when none is left. */
static void start_next(struct dial *d)
{
    ev_timer_stop(d->loop, &d->timer);
    while (d->next < d->n) {
        if (!open_attempt(d, d->next++)) continue;
        ev_timer_set(&d->timer, attempt_delay_s, 0.);
        ev_timer_start(d->loop, &d->timer);
        return;
    }
    if (d->under_way == 0) finish(d, -1, NULL);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    start_next(timer->data);
}

struct dial *dial_start(struct ev_loop *loop, const struct addr *addresses, size_t n,
                        const struct addr *source, dial_answer *answer, void *arg)
{
    struct dial *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->loop = loop;
    d->answer = answer;
    d->arg = arg;
    d->source = *source;
    d->fault = EHOSTUNREACH;
    interleave(d, addresses, n);
    /* An immediate failure is reported from the loop, never from here. */
    bool under_way = d->n > 0 && open_attempt(d, d->next++);
    ev_timer_init(&d->timer, on_timer, under_way ? attempt_delay_s : 0., 0.);
    d->timer.data = d;
    ev_timer_start(loop, &d->timer);
    return d;
}
