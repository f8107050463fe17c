#include "conn/leg.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 32768, RECORD_SIZE = 16384 };

void leg_open(struct leg *l, int fd, void (*on_event)(struct ev_loop *, ev_io *, int), void *owner,
              bool expects_bytes)
{
    l->fd = fd;
    l->readable = expects_bytes;
    ev_io_init(&l->io, on_event, fd, EV_READ);
    l->io.data = owner;
}

/* Reads once from the socket. *end: there is no more. */
static size_t receive(struct leg *l, struct buf *in, bool *end)
{
    if (l->fd < 0 || !l->readable || *end || l->broken) return 0;
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
    *end = true;
    l->broken = n < 0;
    return 0;
}

size_t leg_fill_tunnel(struct leg *l)
{
    return receive(l, &l->tunnel->wire.in, &l->tunnel->wire.end_of_data);
}

/* Opens what the tunnel's session has received. */
static size_t open_payload(struct leg *l)
{
    size_t total = 0;
    while (!l->stream.end_of_data) {
        size_t n;
        uint8_t *place = buf_reserve(&l->stream.in, RECORD_SIZE);
        if (!place) {
            l->broken = true;
            break;
        }
        enum session_status status = session_read(l->tunnel->tls, place, RECORD_SIZE, &n);
        if (status == SESSION_WANT_BYTES) break;
        if (status == SESSION_OK) {
            buf_commit(&l->stream.in, n);
            total += n;
        } else {
            l->stream.end_of_data = true;
            l->broken = l->broken || status == SESSION_FAILED;
        }
    }
    if (buf_size(&l->stream.in) == 0) buf_fini(&l->stream.in);
    return total;
}

size_t leg_fill(struct leg *l)
{
    if (!l->tunnel) return receive(l, &l->stream.in, &l->stream.end_of_data);
    if (!l->tunnel->open || l->stream.end_of_data || l->broken) return 0;
    (void)!leg_fill_tunnel(l);
    return open_payload(l);
}

size_t leg_unsent(const struct leg *l)
{
    return buf_size(&l->stream.out) + (l->tunnel ? buf_size(&l->tunnel->wire.out) : 0);
}

/* Seals what is queued, if what was sealed before has gone. */
static void seal_payload(struct leg *l)
{
    struct buf *out = &l->stream.out;
    if (!l->tunnel->open || l->tunnel->closed || buf_size(&l->tunnel->wire.out) > 0) return;
    while (buf_size(out) > 0 && buf_size(&l->tunnel->wire.out) < READ_SIZE) {
        size_t n = buf_size(out) < RECORD_SIZE ? buf_size(out) : RECORD_SIZE;
        if (!session_write(l->tunnel->tls, buf_head(out), n)) {
            l->write_failed = true;
            return;
        }
        buf_consume(out, n);
    }
}

/* False when the socket accepts no more for now. */
static bool send_queued(struct leg *l, struct buf *out)
{
    while (buf_size(out) > 0 && !l->broken && !l->write_failed) {
        ssize_t n = send(l->fd, buf_head(out), buf_size(out), MSG_NOSIGNAL);
        if (n > 0)
            buf_consume(out, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            return false;
        else if (!(n < 0 && errno == EINTR))
            l->write_failed = true;
    }
    if (l->broken || l->write_failed) buf_fini(out);
    return true;
}

static void flush_tunnel(struct leg *l)
{
    do {
        seal_payload(l);
        if (!send_queued(l, &l->tunnel->wire.out)) return;
    } while (l->tunnel->open && !l->tunnel->closed && buf_size(&l->stream.out) > 0 && !l->broken &&
             !l->write_failed);
    if (l->broken || l->write_failed) buf_fini(&l->stream.out);
}

void leg_flush(struct leg *l)
{
    if (l->fd < 0) return;
    if (l->tunnel)
        flush_tunnel(l);
    else
        (void)send_queued(l, &l->stream.out);
}

void leg_acknowledge(const struct leg *l)
{
    int on = 1;
    setsockopt(l->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

void leg_end(struct leg *l)
{
    if (l->fd < 0 || l->ended || l->broken || leg_unsent(l) > 0) return;
    if (l->tunnel && l->tunnel->open && !l->tunnel->closed) {
        session_close_notify(l->tunnel->tls);
        l->tunnel->closed = true;
        leg_flush(l);
        if (leg_unsent(l) > 0) return;
    }
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
    if (l->tunnel) {
        session_free(l->tunnel->tls);
        stream_fini(&l->tunnel->wire);
        cert_facts_fini(&l->tunnel->check.facts);
        free(l->tunnel);
    }
    l->tunnel = NULL;
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
