#include "proxy/worker.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/diag.h"
#include "net/listener.h"
#include "pki/keys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ACCEPTS_A_WAKE_UP = 16,  /* each may cost a parsed hello: the others wait so long */
    EXTRA_CONNECTIONS = 512, /* refused ones on their way out, beyond max_connections */
};
static const double pause_s = 0.05;

struct worker {
    unsigned number;
    struct worker_shared *shared;
    struct ev_loop *loop;
    pthread_t thread;
    struct gate *gate;
    struct conn *connections;
    struct run_queue run_queue;
    size_t count;
    struct crowd crowds[WORKER_CROWDS];
    struct queue *leaving; /* the one queue of CROWD_LEAVING */
    uint64_t next_id;
    unsigned mint_iteration; /* of the loop, when a certificate was made last */
    bool draining;
    ev_timer pause; /* accepting rests while it is active */
    ev_async wake;
    pthread_mutex_t lock;
    struct mail *mail, **mail_end; /* under lock */
    struct mail gate_mail, ticket_mail, drain_mail, shut_down_mail;
    struct ticket_keys ticket_keys;
    struct ticket_key next_ticket_key; /* the controlling thread's, and the worker's while on_way */
    bool ticket_key_on_way;            /* atomic */
    bool asked_to_drain, asked_to_shut_down; /* the controlling thread's */
    uint8_t scratch[WORKER_SCRATCH];
};

struct ev_loop *worker_loop(struct worker *w)
{
    return w->loop;
}

struct worker_shared *worker_shared(struct worker *w)
{
    return w->shared;
}

uint64_t worker_next_id(struct worker *w)
{
    return w->next_id++ << 8 | (w->number & 0xff);
}

bool worker_may_mint(const struct worker *w)
{
    return w->mint_iteration != ev_iteration(w->loop);
}

void worker_minted(struct worker *w)
{
    w->mint_iteration = ev_iteration(w->loop);
}

const struct ticket_keys *worker_ticket_keys(const struct worker *w)
{
    return &w->ticket_keys;
}

uint8_t *worker_scratch(struct worker *w)
{
    return w->scratch;
}

struct conn **worker_connections(struct worker *w)
{
    return &w->connections;
}

struct run_queue *worker_run_queue(struct worker *w)
{
    return &w->run_queue;
}

static struct queue **queue_of(struct worker *w, enum worker_crowd crowd, struct source *source)
{
    if (crowd == CROWD_LEAVING) return &w->leaving;
    return source_queue(source, w->number,
                        crowd == CROWD_SILENT ? SOURCE_SILENT : SOURCE_HALF_OPEN);
}

void worker_crowd_join(struct worker *w, enum worker_crowd crowd, struct source *source,
                       struct waiter *waiter)
{
    crowd_join(&w->crowds[crowd], queue_of(w, crowd, source), waiter);
}

void worker_crowd_leave(struct worker *w, enum worker_crowd crowd, struct waiter *waiter)
{
    crowd_leave(&w->crowds[crowd], waiter);
}

void worker_uncount(struct worker *w, struct source *source)
{
    __atomic_sub_fetch(&w->shared->active, 1, __ATOMIC_RELAXED);
    sources_leave(w->shared->sources, source);
}

void worker_connection_ended(struct worker *w)
{
    w->count--;
    if (w->draining && w->count == 0) ev_break(w->loop, EVBREAK_ALL);
}

static void stop_accepting(struct gate *gate)
{
    for (size_t i = 0; i < gate->listener_count; i++)
        ev_io_stop(gate->loop, &gate->listeners[i].io);
}

static void start_accepting(struct gate *gate)
{
    for (size_t i = 0; i < gate->listener_count; i++)
        if (gate->listeners[i].fd >= 0) ev_io_start(gate->loop, &gate->listeners[i].io);
}

static void rest(struct worker *w)
{
    stop_accepting(w->gate);
    ev_timer_stop(w->loop, &w->pause);
    ev_timer_set(&w->pause, pause_s, 0.);
    ev_timer_start(w->loop, &w->pause);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct worker *w = timer->data;
    if (!w->draining) start_accepting(w->gate);
}

/* A source that holds so large a part of all places is why they are taken. */
enum { GREEDY_SHARE = 8 };
/* Half-open connections yield before silent ones only where one source has so many times as many
 * of them, or the first of them is so many times as old: the silent ones are then other clients
 * that have just come. */
enum { HALF_OPEN_FACTOR = 8 };

static struct waiter *who_yields(const struct worker *w)
{
    const struct crowd *silent = &w->crowds[CROWD_SILENT], *half = &w->crowds[CROWD_HALF_OPEN];
    struct waiter *quiet = crowd_first(silent), *begun = crowd_first(half);
    if (!quiet || !begun) return quiet ? quiet : begun;
    int64_t now = clock_steady_ns();
    bool more = half->most / HALF_OPEN_FACTOR > silent->most;
    bool older = (now - conn_started_ns(begun)) / HALF_OPEN_FACTOR > now - conn_started_ns(quiet);
    return more || older ? begun : quiet;
}

/* Lets one connection go that has not said what it wants yet; false when there is none. */
static bool make_room(struct worker *w, unsigned max_connections)
{
    struct waiter *waiter = who_yields(w);
    if (!waiter) return false;
    struct source *source = conn_source(waiter);
    unsigned held = sources_connections(w->shared->sources, source);
    conn_yield(waiter, held > 1 && held >= max_connections / GREEDY_SHARE);
    return true;
}

static void admit(struct worker *w, const struct gate_listener *l, struct arrival *a)
{
    const struct config *config = l->gate->site->config;
    enum source_verdict verdict = SOURCE_OK;
    unsigned active = __atomic_add_fetch(&w->shared->active, 1, __ATOMIC_RELAXED);
    a->source = sources_enter(w->shared->sources, &a->peer, &config->proxy.per_source,
                              clock_steady_ns(), &verdict);
    /* First: the other refusals wait for a record that could not be written. */
    if (!writer_available(w->shared->writer)) {
        a->refuse = REASON_AUDIT_UNAVAILABLE;
    } else if (w->draining) {
        a->refuse = REASON_SHUTTING_DOWN;
    } else if (!listen_allows_client(l->config, &a->peer)) {
        a->refuse = REASON_CLIENT_DENIED;
    } else if (verdict == SOURCE_TOO_MANY) {
        a->refuse = REASON_SOURCE_LIMIT_REACHED;
        a->detail = "It has max_connections_per_source connections open.";
    } else if (verdict == SOURCE_TOO_FAST) {
        a->refuse = REASON_SOURCE_LIMIT_REACHED;
        a->detail = "It makes more than max_handshakes_per_source new connections a second.";
    } else if (!a->source || (active > config->proxy.max_connections &&
                              !make_room(w, config->proxy.max_connections))) {
        a->refuse = REASON_LIMIT_REACHED;
    }
}

/* Refused connections on their way out have places of their own, and give them up, the oldest
 * first, when those are taken. */
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

/* False when accepting has to rest. */
static bool accept_some(struct worker *w, struct gate_listener *l, int most)
{
    static int64_t last_complaint;
    unsigned max_connections = l->gate->site->config->proxy.max_connections;
    for (int i = 0; i < most; i++) {
        struct arrival a = {.refuse = REASON_OK};
        /* What could not be put on record is not accepted either. */
        if (!has_place(w, max_connections) || !writer_has_room(w->shared->writer)) return false;
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
    (void)events;
    struct gate_listener *l = io->data;
    struct worker *w = ev_userdata(loop);
    if (!accept_some(w, l, ACCEPTS_A_WAKE_UP)) rest(w);
}

static void use_gate(struct worker *w, struct gate *gate)
{
    w->gate = gate;
    for (size_t i = 0; i < gate->listener_count; i++) {
        struct gate_listener *l = &gate->listeners[i];
        ev_io_init(&l->io, on_listener, l->fd, EV_READ);
        l->io.data = l;
    }
    if (!ev_is_active(&w->pause)) start_accepting(gate);
}

/* Nobody who is already in a queue is turned away unheard. */
static void leave_listeners(struct worker *w, struct gate *gate)
{
    enum { QUEUE_LIMIT = 4096 };
    stop_accepting(gate);
    for (size_t i = 0; i < gate->listener_count; i++) {
        struct gate_listener *l = &gate->listeners[i];
        if (l->fd < 0) continue;
        accept_some(w, l, QUEUE_LIMIT);
        close(l->fd);
        l->fd = -1;
    }
}

static void change_gate(struct worker *w, struct gate *gate)
{
    struct gate *old = w->gate;
    stop_accepting(old);
    gate_take_over(gate, old);
    use_gate(w, gate);
    leave_listeners(w, old);
    gate_release(old);
    w->shared->gate_taken(w->shared->arg);
}

static void drain(struct worker *w)
{
    if (w->draining) return;
    w->draining = true;
    leave_listeners(w, w->gate);
    if (w->count == 0) ev_break(w->loop, EVBREAK_ALL);
}

static void shut_down(struct worker *w)
{
    struct conn *next;
    for (struct conn *c = w->connections; c; c = next) {
        next = conn_next(c);
        conn_shut_down(c);
    }
}

static void deliver(struct worker *w, struct mail *mail)
{
    switch (mail->kind) {
    case MAIL_AUDIT:
        conn_audit_answered(mail->conn, mail->written);
        break;
    case MAIL_GATE:
        change_gate(w, mail->gate);
        break;
    case MAIL_TICKET_KEY:
        ticket_keys_rotate(&w->ticket_keys, &w->next_ticket_key);
        explicit_bzero(&w->next_ticket_key, sizeof w->next_ticket_key);
        __atomic_store_n(&w->ticket_key_on_way, false, __ATOMIC_RELEASE);
        break;
    case MAIL_DRAIN:
        drain(w);
        break;
    case MAIL_SHUT_DOWN:
        shut_down(w);
        break;
    }
}

static void on_wake(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    struct worker *w = async->data;
    pthread_mutex_lock(&w->lock);
    struct mail *mail = w->mail;
    w->mail = NULL;
    w->mail_end = &w->mail;
    pthread_mutex_unlock(&w->lock);
    while (mail) {
        struct mail *next = mail->next;
        deliver(w, mail);
        mail = next;
    }
}

void worker_post(struct worker *w, struct mail *mail)
{
    mail->next = NULL;
    pthread_mutex_lock(&w->lock);
    *w->mail_end = mail;
    w->mail_end = &mail->next;
    /* Within the lock: once the mail can be taken, the worker may end and be freed. */
    ev_async_send(w->loop, &w->wake);
    pthread_mutex_unlock(&w->lock);
}

void worker_change_gate(struct worker *w, struct gate *gate)
{
    w->gate_mail = (struct mail){.kind = MAIL_GATE, .gate = gate};
    worker_post(w, &w->gate_mail);
}

bool worker_change_ticket_key(struct worker *w, const struct ticket_key *key)
{
    if (__atomic_load_n(&w->ticket_key_on_way, __ATOMIC_ACQUIRE)) return false;
    __atomic_store_n(&w->ticket_key_on_way, true, __ATOMIC_RELAXED);
    w->next_ticket_key = *key;
    w->ticket_mail = (struct mail){.kind = MAIL_TICKET_KEY};
    worker_post(w, &w->ticket_mail);
    return true;
}

void worker_drain(struct worker *w)
{
    if (w->asked_to_drain) return;
    w->asked_to_drain = true;
    w->drain_mail = (struct mail){.kind = MAIL_DRAIN};
    worker_post(w, &w->drain_mail);
}

void worker_shut_down(struct worker *w)
{
    if (w->asked_to_shut_down) return;
    w->asked_to_shut_down = true;
    w->shut_down_mail = (struct mail){.kind = MAIL_SHUT_DOWN};
    worker_post(w, &w->shut_down_mail);
}

struct worker *worker_new(unsigned number, struct worker_shared *shared)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->number = number;
    w->shared = shared;
    w->mail_end = &w->mail;
    w->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOSIGMASK);
    if (!w->loop) {
        free(w);
        return NULL;
    }
    w->ticket_keys.current = shared->first_ticket_key;
    pthread_mutex_init(&w->lock, NULL);
    ev_set_userdata(w->loop, w);
    run_queue_init(&w->run_queue, w->loop);
    ev_timer_init(&w->pause, on_pause_over, 0., 0.);
    w->pause.data = w;
    ev_async_init(&w->wake, on_wake);
    w->wake.data = w;
    ev_async_start(w->loop, &w->wake);
    return w;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    use_gate(w, w->gate);
    ev_run(w->loop, 0);
    gate_release(w->gate);
    w->gate = NULL;
    random_thread_fini();
    buf_thread_fini();
    w->shared->ended(w->shared->arg);
    return NULL;
}

bool worker_start(struct worker *w, struct gate *gate)
{
    w->gate = gate;
    return pthread_create(&w->thread, NULL, run, w) == 0;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    worker_free(w);
}

void worker_free(struct worker *w)
{
    while (w->mail) {
        struct mail *mail = w->mail;
        w->mail = mail->next;
        if (mail->kind == MAIL_GATE) gate_release(mail->gate);
    }
    for (int i = 0; i < WORKER_CROWDS; i++) crowd_fini(&w->crowds[i]);
    run_queue_fini(&w->run_queue);
    ev_loop_destroy(w->loop);
    pthread_mutex_destroy(&w->lock);
    explicit_bzero(&w->ticket_keys, sizeof w->ticket_keys);
    explicit_bzero(&w->next_ticket_key, sizeof w->next_ticket_key);
    free(w);
}
