#include "conn/leg.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 32768 };

void leg_open(struct leg *l, int fd, void (*on_event)(struct ev_loop *, ev_io *, int), void *owner,
              bool expects_bytes)
{
    l->fd = fd;
    l->readable = expects_bytes;
    ev_io_init(&l->io, on_event, fd, EV_READ);
    l->io.data = owner;
}

size_t leg_fill(struct leg *l)
{
    struct buf *in = &l->stream.in;
    if (l->fd < 0 || !l->readable || l->stream.end_of_data || l->broken) return 0;
    if (l->taken >= LEG_SHARE) return 0;
    uint8_t *place = buf_reserve(in, READ_SIZE);
    if (!place) {
        l->broken = true;
        return 0;
    }
    size_t room = buf_room(in);
    ssize_t n = recv(l->fd, place, room, 0);
    /* Less than requested: the socket is empty, and an event will announce more. */
    l->readable = n == (ssize_t)room || (n < 0 && errno == EINTR);
    if (n > 0) {
        buf_commit(in, (size_t)n);
        l->taken += (size_t)n;
        return (size_t)n;
    }
    if (buf_size(in) == 0) buf_fini(in);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    l->stream.end_of_data = true;
    l->broken = n < 0;
    return 0;
}

void leg_flush(struct leg *l)
{
    struct buf *out = &l->stream.out;
    if (l->fd < 0) return;
    while (buf_size(out) > 0 && !l->broken && !l->write_failed) {
        ssize_t n = send(l->fd, buf_head(out), buf_size(out), MSG_NOSIGNAL);
        if (n > 0)
            buf_consume(out, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            return;
        else if (!(n < 0 && errno == EINTR))
            l->write_failed = true;
    }
    if (l->broken || l->write_failed) buf_fini(out);
}

void leg_acknowledge(const struct leg *l)
{
    int on = 1;
    setsockopt(l->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

void leg_end(struct leg *l)
{
    if (l->fd < 0 || l->ended || l->broken || buf_size(&l->stream.out) > 0) return;
    l->ended = true;
    shutdown(l->fd, SHUT_WR);
}

void leg_close(struct leg *l, struct ev_loop *loop)
{
    if (l->fd >= 0) {
        ev_io_stop(loop, &l->io);
        close(l->fd);
    }
    l->fd = -1;
    session_free(l->tls);
    l->tls = NULL;
    stream_fini(&l->stream);
}

void leg_poll(struct leg *l, struct ev_loop *loop, int events)
{
    if (l->fd < 0) return;
    int now = ev_is_active(&l->io) ? l->io.events & (EV_READ | EV_WRITE) : 0;
    if (!l->readable && !l->stream.end_of_data) events |= now & EV_READ;
    if (now == events) return;
    ev_io_stop(loop, &l->io);
    if (events == 0) return;
    ev_io_modify(&l->io, events);
    ev_io_start(loop, &l->io);
}
