#include "serve/acceptor.h"

#include "base/clock.h"
#include "base/diag.h"
#include "conn/conn.h"
#include "net/listener.h"

#include <unistd.h>

enum {
    ACCEPTS_A_WAKE_UP = 16,  /* each may cost a parsed hello, and the others wait */
    EXTRA_CONNECTIONS = 512, /* refused and leaving, beyond max_connections */
};
static const double pause_s = 0.05;

void acceptor_stop(struct runtime *runtime)
{
    for (size_t i = 0; i < runtime->listener_count; i++)
        ev_io_stop(runtime->loop, &runtime->listeners[i].io);
}

static void start(struct runtime *runtime)
{
    for (size_t i = 0; i < runtime->listener_count; i++)
        if (runtime->listeners[i].fd >= 0) ev_io_start(runtime->loop, &runtime->listeners[i].io);
}

static void rest(struct acceptor *a)
{
    struct ev_loop *loop = a->worker->loop;
    acceptor_stop(a->runtime);
    ev_timer_stop(loop, &a->pause);
    ev_timer_set(&a->pause, pause_s, 0.);
    ev_timer_start(loop, &a->pause);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct acceptor *a = timer->data;
    if (!a->worker->draining) start(a->runtime);
}

/* A source with this fraction of all places is the cause of the shortage. */
enum { GREEDY_SHARE = 8 };
/* Half-open connections are dropped before silent ones only if one source has this many times as
 * many of them, or the first of them is this many times as old: the silent ones are then other
 * clients that have just come. */
enum { HALF_OPEN_FACTOR = 8 };

static struct waiter *choose_refused(const struct worker *w)
{
    const struct crowd *silent = &w->crowds[CROWD_SILENT], *half = &w->crowds[CROWD_HALF_OPEN];
    struct waiter *quiet = crowd_first(silent), *begun = crowd_first(half);
    if (!quiet || !begun) return quiet ? quiet : begun;
    int64_t now = clock_steady_ns();
    bool more = half->most / HALF_OPEN_FACTOR > silent->most;
    bool older = (now - conn_started_ns(begun)) / HALF_OPEN_FACTOR > now - conn_started_ns(quiet);
    return more || older ? begun : quiet;
}

/* Refuses one connection that has not finished its hello or handshake; false when there is none. */
static bool make_room(struct worker *w, unsigned max_connections)
{
    struct waiter *waiter = choose_refused(w);
    if (!waiter) return false;
    struct source *source = conn_source(waiter);
    unsigned held = sources_connections(w->shared->sources, source);
    conn_yield(waiter, held > 1 && held >= max_connections / GREEDY_SHARE);
    return true;
}

/* A sender of PROXY headers has no limits of its own: it is counted while its header is awaited. */
static struct source *count_sender(struct worker *w, const struct addr *sender)
{
    static const struct source_limits none;
    enum source_verdict verdict;
    return sources_enter(w->shared->sources, sender, &none, clock_steady_ns(), &verdict);
}

static void admit(struct worker *w, const struct runtime_listener *l, struct arrival *a)
{
    unsigned max_connections = l->runtime->loaded->config->proxy.max_connections;
    unsigned active = __atomic_add_fetch(&w->shared->active, 1, __ATOMIC_RELAXED);
    a->expects_header = listen_expects_header(l->config, &a->peer);
    a->source = a->expects_header ? count_sender(w, &a->peer)
                                  : conn_admit(w, l, &a->peer, &a->refuse, &a->detail);
    bool available = recording_available(w->shared->recording);
    /* First: other refusals would wait for a record that cannot be written. */
    if (!available || w->draining) {
        a->refuse = available ? REASON_SHUTTING_DOWN : REASON_AUDIT_UNAVAILABLE;
        a->detail = NULL;
    } else if (a->refuse == REASON_OK &&
               (!a->source || (active > max_connections && !make_room(w, max_connections)))) {
        a->refuse = REASON_LIMIT_REACHED;
    }
}

/* Refused connections that are leaving have extra places. When these are taken, the oldest is
 * closed. */
static bool cut_one(struct worker *w)
{
    struct waiter *oldest = crowd_first(&w->crowds[CROWD_LEAVING]);
    if (oldest) conn_cut(oldest);
    return oldest != NULL;
}

static bool has_place(struct worker *w, size_t max_connections)
{
    while (w->crowds[CROWD_LEAVING].most >= EXTRA_CONNECTIONS ||
           w->count >= max_connections + EXTRA_CONNECTIONS)
        if (!cut_one(w)) return false;
    return true;
}

/* False when accepting has to pause. */
static bool accept_some(struct worker *w, struct runtime_listener *l, int most)
{
    static int64_t last_complaint;
    unsigned max_connections = l->runtime->loaded->config->proxy.max_connections;
    for (int i = 0; i < most; i++) {
        struct arrival a = {.refuse = REASON_OK};
        /* Do not accept what could not be recorded. */
        if (!has_place(w, max_connections) || !recording_has_room(w->shared->recording) ||
            !conn_prepare(w))
            return false;
        switch (listener_accept(l->fd, &a.fd, &a.peer)) {
        case ACCEPT_NONE:
            return true;
        case ACCEPT_RETRY:
            continue;
        case ACCEPT_NO_DESCRIPTORS:
            if (diag_due(&last_complaint, (int64_t)10 * 1000000000))
                diag_error("out of file descriptors or memory: new connections have to wait");
            if (cut_one(w)) continue;
            (void)make_room(w, max_connections);
            return false;
        case ACCEPT_OK:
            w->count++;
            admit(w, l, &a);
            conn_start(w, l, &a);
        }
    }
    return true;
}

static void on_listener(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct runtime_listener *l = io->data;
    struct acceptor *a = l->acceptor;
    if (!accept_some(a->worker, l, ACCEPTS_A_WAKE_UP)) rest(a);
}

void acceptor_init(struct acceptor *a, struct worker *worker)
{
    a->worker = worker;
    ev_timer_init(&a->pause, on_pause_over, 0., 0.);
    a->pause.data = a;
}

void acceptor_use(struct acceptor *a, struct runtime *runtime)
{
    a->runtime = runtime;
    for (size_t i = 0; i < runtime->listener_count; i++) {
        struct runtime_listener *l = &runtime->listeners[i];
        ev_io_init(&l->io, on_listener, l->fd, EV_READ);
        l->io.data = l;
        l->acceptor = a;
    }
    if (!ev_is_active(&a->pause)) start(runtime);
}

static struct runtime_listener *find_listener(struct runtime *runtime, const struct addr *address)
{
    for (size_t i = 0; i < runtime->listener_count; i++) {
        const struct addr *a = &runtime->loaded->listener_addresses[i];
        if (addr_same_ip(a, address) && addr_port(a) == addr_port(address))
            return &runtime->listeners[i];
    }
    return NULL;
}

/* The loop's epoll set has the old descriptor, and would keep it when that is closed: the keeper
 * has the same socket open. */
void acceptor_take_over(struct runtime *next, struct runtime *old)
{
    for (size_t i = 0; i < next->listener_count; i++) {
        struct runtime_listener *l = &next->listeners[i];
        struct runtime_listener *before = find_listener(old, &next->loaded->listener_addresses[i]);
        if (l->fd < 0 || !before || before->fd < 0) continue;
        close(l->fd);
        l->fd = before->fd;
        before->fd = -1;
    }
}

void acceptor_leave(struct acceptor *a, struct runtime *runtime, const struct kept *kept)
{
    enum { QUEUE_LIMIT = 4096 };
    acceptor_stop(runtime);
    for (size_t i = 0; i < runtime->listener_count; i++) {
        struct runtime_listener *l = &runtime->listeners[i];
        if (l->fd < 0) continue;
        if (!kept || i >= kept->n || !kept->items[i]) accept_some(a->worker, l, QUEUE_LIMIT);
        close(l->fd);
        l->fd = -1;
    }
}
