/* The end of a connection. Sends what is queued, shuts down our side and waits for the peers to
 * end: closing a socket with unread bytes would reset the connection and lose bytes in transit. */
#include "conn/conn_impl.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* True when this leg needs no more waiting. */
static bool settle_leg(struct conn *c, struct leg *l)
{
    if (l->fd < 0) return true;
    leg_flush(l);
    leg_end(l);
    uint8_t *scratch = c->worker->scratch;
    while (!l->broken && !l->stream.end_of_data) {
        if (l->taken >= LEG_SHARE) return false;
        ssize_t n = recv(l->fd, scratch, WORKER_SCRATCH, 0);
        if (n < 0 && errno == EAGAIN) return false;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) l->broken = true;
        if (n == 0) l->stream.end_of_data = true;
        if (n > 0) l->taken += (size_t)n;
        if (n > 0 && (c->discarded += (size_t)n) > c->front->discard_limit &&
            c->state == CONN_FLUSH)
            return true;
    }
    return l->broken || l->write_failed || l->ended;
}

enum step linger_step(struct conn *c)
{
    bool client = settle_leg(c, &c->client), upstream = settle_leg(c, &c->upstream);
    if (!client || !upstream) return STEP_WAIT;
    conn_set_state(c, CONN_DONE);
    return STEP_AGAIN;
}

static int unsent_bytes(const struct leg *l)
{
    int n = 0;
    if (l->fd < 0 || l->broken || ioctl(l->fd, SIOCOUTQ, &n) < 0) return 0;
    return n;
}

/* Is the peer still receiving, within the idle timeout? */
static bool goes_on(struct conn *c)
{
    int unsent = unsent_bytes(&c->client) + unsent_bytes(&c->upstream);
    bool progress = unsent != c->unsent;
    c->unsent = unsent;
    if (unsent == 0 || c->state == CONN_FLUSH) return false;
    int64_t now = clock_steady_ns();
    if (progress) c->active_ns = now;
    return now - c->active_ns < (int64_t)c->listener->config->idle_timeout * 1000000;
}

void linger_overdue(struct conn *c)
{
    conn_set_state(c, goes_on(c) ? c->state : CONN_DONE);
}
