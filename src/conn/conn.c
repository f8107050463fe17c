#include "conn/conn.h"

#include "base/clock.h"
#include "base/diag.h"
#include "conn/conn_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum deadline {
    DEADLINE_NONE,
    DEADLINE_KEEP,
    DEADLINE_HELLO,
    DEADLINE_CONNECT,
    DEADLINE_HANDSHAKE,
    DEADLINE_IDLE, /* counted from the last byte sent */
    DEADLINE_LAST,
    DEADLINE_LINGER,
};
enum { LAST_MS = 1000, LINGER_MS = 2000 };
enum reads { READS_NOTHING, READS_CLIENT, READS_UPSTREAM, READS_BOTH, READS_RELAY };
/* When queued bytes are sent: after each step; by the step itself, since another flush could
 * consume the event that makes it move the rest; or not before the record of the refusal is
 * written. */
enum writes { WRITES_AFTER, WRITES_SELF, WRITES_HELD };
/* Whether a connection may have to make room for others (crowd.h): no; it sends its first bytes; it
 * is in a handshake; or it is refused and leaving. */
enum place { PLACE_FREE, PLACE_HELLO, PLACE_HANDSHAKE, PLACE_LEAVING };

#define TO(name) (1u << CONN_##name)

struct state_row {
    const char *name;
    enum step (*step)(struct conn *c);
    enum reads reads;
    enum writes writes;
    enum place place;
    enum deadline deadline;
    void (*on_deadline)(struct conn *c);
    void (*on_shutdown)(struct conn *c); /* NULL: the state ends by itself */
    unsigned successors;
};

static const struct state_row states[CONN_STATES] = {
#define STATE(name, step, reads, writes, place, deadline, on_deadline, on_shutdown, successors) \
    [CONN_##name] = {#name,       step,        reads,                                           \
                     writes,      place,       deadline,                                        \
                     on_deadline, on_shutdown, (successors) | TO(DONE)},
#include "conn/conn_state.def"
#undef STATE
};

enum step waiting_step(struct conn *c)
{
    (void)c;
    return STEP_WAIT;
}

enum step conn_greeting_step(struct conn *c)
{
    return c->front->greet(c);
}

enum step conn_exchange_step(struct conn *c)
{
    return c->route->exchange(c);
}

enum step conn_responder_step(struct conn *c)
{
    return c->front->responder->step(c);
}

void conn_responder_overdue(struct conn *c)
{
    c->front->responder->overdue(c);
}

void conn_responder_shut_down(struct conn *c)
{
    c->front->responder->shut_down(c);
}

const struct config *conn_config(const struct conn *c)
{
    return c->runtime->loaded->config;
}

struct conn *conn_next(const struct conn *c)
{
    return c->next;
}

static void arm(struct conn *c, int64_t ns)
{
    struct ev_loop *loop = c->runtime->loop;
    ev_timer_stop(loop, &c->timer);
    ev_timer_set(&c->timer, (double)ns / 1e9, 0.);
    ev_timer_start(loop, &c->timer);
}

static int64_t deadline_ms(const struct conn *c, enum deadline deadline)
{
    const struct config *config = conn_config(c);
    switch (deadline) {
    case DEADLINE_HELLO:
        return (int64_t)config->proxy.hello_timeout;
    case DEADLINE_CONNECT:
        return (int64_t)config->proxy.connect_timeout;
    case DEADLINE_HANDSHAKE:
        return (int64_t)config->proxy.handshake_timeout;
    case DEADLINE_IDLE:
        return (int64_t)c->listener->config->idle_timeout;
    case DEADLINE_LAST:
        return LAST_MS;
    default:
        return LINGER_MS;
    }
}

static void set_deadline(struct conn *c, int64_t ms)
{
    c->deadline_ns = clock_steady_ns() + ms * 1000000;
    arm(c, ms * 1000000);
}

static enum worker_crowd crowd_of(const struct conn *c)
{
    switch (states[c->state].place) {
    case PLACE_HELLO:
        return c->saw_bytes ? CROWD_HALF_OPEN : CROWD_SILENT;
    case PLACE_HANDSHAKE:
        return c->reason == REASON_OK ? CROWD_HALF_OPEN : CROWD_LEAVING;
    case PLACE_LEAVING:
        return CROWD_LEAVING;
    default:
        return WORKER_CROWDS;
    }
}

static void change_crowd(struct conn *c, enum worker_crowd crowd)
{
    if (crowd != CROWD_LEAVING && !c->source) crowd = WORKER_CROWDS;
    if (crowd == c->crowd) return;
    if (c->crowd != WORKER_CROWDS) worker_crowd_leave(c->worker, c->crowd, &c->waiter);
    if (crowd != WORKER_CROWDS) worker_crowd_join(c->worker, crowd, c->source, &c->waiter);
    c->crowd = crowd;
}

static struct conn *conn_of(const struct waiter *waiter)
{
    return (struct conn *)((char *)waiter - offsetof(struct conn, waiter));
}

struct source *conn_source(const struct waiter *waiter)
{
    return conn_of(waiter)->source;
}

int64_t conn_started_ns(const struct waiter *waiter)
{
    return conn_of(waiter)->started_ns;
}

void conn_yield(struct waiter *waiter, bool greedy)
{
    struct conn *c = conn_of(waiter);
    c->saw_bytes = true; /* recorded, so not only counted */
    c->detail = "All places were taken and it had not said what it wants, so it had to make room: "
                "of the connections of the source with the most of these, it was the oldest.";
    conn_refuse(c, greedy ? REASON_SOURCE_LIMIT_REACHED : REASON_LIMIT_REACHED);
    conn_run(c);
}

void conn_cut(struct waiter *waiter)
{
    struct conn *c = conn_of(waiter);
    conn_set_state(c, CONN_DONE);
    conn_run(c);
}

void conn_saw_bytes(struct conn *c)
{
    if (c->saw_bytes) return;
    c->saw_bytes = true;
    change_crowd(c, crowd_of(c));
}

void conn_set_state(struct conn *c, enum conn_state state)
{
    assert(states[c->state].successors & (1u << state) || state == c->state);
    enum deadline deadline = states[state].deadline;
    diag_trace("%s %s -> %s", c->id, states[c->state].name, states[state].name);
    c->state = state;
    c->rerun = false;
    change_crowd(c, crowd_of(c));
    if (deadline == DEADLINE_KEEP) return;
    if (deadline == DEADLINE_NONE) {
        ev_timer_stop(c->runtime->loop, &c->timer);
        return;
    }
    c->given_a_moment = false;
    set_deadline(c, deadline_ms(c, deadline));
}

void conn_end_setup(struct conn *c)
{
    struct setup *a = c->setup;
    if (!a) return;
    hello_reader_fini(&a->reader);
    buf_fini(&a->request);
    cert_facts_fini(&a->check.facts);
    cert_facts_fini(&a->client_check.facts);
    cert_facts_fini(&a->known_facts);
    free(a);
    c->setup = NULL;
    runtime_let_go(c->runtime);
}

void conn_uncount(struct conn *c)
{
    if (!c->counted) return;
    change_crowd(c, WORKER_CROWDS); /* first: the source holds the queues */
    worker_uncount(c->worker, c->source);
    c->source = NULL;
    c->counted = false;
}

void conn_change_source(struct conn *c, struct source *source)
{
    change_crowd(c, WORKER_CROWDS); /* first: the source holds the queues */
    sources_leave(c->worker->shared->sources, c->source);
    c->source = source;
}

static void conn_free(struct conn *c)
{
    struct worker *worker = c->worker;
    struct ev_loop *loop = c->runtime->loop;
    reach_abandon(c);
    signing_abandon(c);
    ev_timer_stop(loop, &c->timer);
    run_queue_remove(&worker->run_queue, &c->run_entry);
    leg_close(&c->client, loop);
    leg_close(&c->upstream, loop);
    own_hellos_abandon(worker->shared->own_hellos, c->own_hello, clock_steady_ns());
    observe_free(c);
    conn_end_setup(c);
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    if (!c->saw_bytes) counts_add_one(&worker->counts.silent);
    conn_uncount(c);
    change_crowd(c, WORKER_CROWDS);
    runtime_drop(c->runtime);
    free(c);
    worker_connection_ended(worker);
}

static int events_of(struct conn *c, struct leg *l)
{
    if (states[c->state].writes == WRITES_HELD || l->broken) return 0;
    int events = leg_unsent(l) > 0 ? EV_WRITE : 0;
    enum reads reads = states[c->state].reads;
    bool client = l == &c->client;
    if (reads == READS_RELAY) return events | relay_events(c, l);
    bool wanted = reads == READS_BOTH || reads == (client ? READS_CLIENT : READS_UPSTREAM);
    return events | (wanted && !l->stream.end_of_data ? EV_READ : 0);
}

static bool lacks_memory(const struct leg *l)
{
    return l->broken && !l->stream.end_of_data;
}

/* A leg without memory brings nothing more: a deadline would blame its peer. */
static void refuse_for_memory(struct conn *c)
{
    bool may_refuse = c->reason == REASON_OK && states[c->state].successors & TO(AUDIT);
    if (may_refuse && (lacks_memory(&c->client) || lacks_memory(&c->upstream)))
        conn_refuse(c, REASON_INTERNAL_ERROR);
}

static void run_steps(struct conn *c)
{
    c->client.taken = c->upstream.taken = 0;
    while (c->state != CONN_DONE && states[c->state].step(c) == STEP_AGAIN)
        ;
    refuse_for_memory(c);
}

void conn_run(struct conn *c)
{
    struct run_queue *queue = &c->worker->run_queue;
    run_steps(c);
    /* A pending record has a pointer to this connection. */
    if (c->state == CONN_DONE && !c->waiting_for_audit) {
        conn_free(c);
        return;
    }
    if (states[c->state].writes == WRITES_AFTER) {
        leg_flush(&c->client);
        leg_flush(&c->upstream);
    }
    leg_poll(&c->client, c->runtime->loop, events_of(c, &c->client));
    leg_poll(&c->upstream, c->runtime->loop, events_of(c, &c->upstream));
    if (c->rerun)
        run_queue_add(queue, &c->run_entry);
    else
        run_queue_remove(queue, &c->run_entry);
}

void conn_on_leg(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct conn *c = io->data;
    struct leg *l = io == &c->client.io ? &c->client : &c->upstream;
    if (events & EV_READ) l->readable = true;
    /* A queued connection has its share soon, and no second one before the others. */
    if (!run_entry_waits(&c->run_entry)) conn_run(c);
}

static void run_again(void *owner)
{
    conn_run(owner);
}

/* Nanoseconds until this state's deadline. Activity in a relay only sets active_ns. */
static int64_t time_left(const struct conn *c)
{
    int64_t deadline = c->deadline_ns;
    if (states[c->state].deadline == DEADLINE_IDLE)
        deadline = c->active_ns + deadline_ms(c, DEADLINE_IDLE) * 1000000;
    return deadline - clock_steady_ns();
}

/* After a stall of this process a timer fires before the loop polls the sockets: read first what
 * has arrived, so that no deadline hits a peer that kept it. */
static void catch_up(struct conn *c)
{
    c->client.readable = c->client.fd >= 0;
    c->upstream.readable = c->upstream.fd >= 0;
    run_steps(c);
}

/* A late timer means that this process was stalled. What the state waits for, such as a name or the
 * rest of a handshake, then gets more time: once per state, since a loop that is always late would
 * never end. */
static bool give_a_moment(struct conn *c, int64_t left)
{
    enum { STALL_MS = 100, MOMENT_MS = 1000 };
    if (c->given_a_moment || left > -STALL_MS * INT64_C(1000000)) return false;
    c->given_a_moment = true;
    set_deadline(c, MOMENT_MS);
    return true;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct conn *c = timer->data;
    enum conn_state before = c->state;
    int64_t late = time_left(c);
    if (late > 0) {
        arm(c, late);
        return;
    }
    catch_up(c);
    int64_t left = time_left(c);
    bool own_deadline = c->state != before && states[c->state].deadline != DEADLINE_KEEP;
    if (left > 0 && !own_deadline)
        arm(c, left);
    else if (!own_deadline && !give_a_moment(c, late))
        states[c->state].on_deadline(c);
    conn_run(c);
}

void conn_end(struct conn *c)
{
    conn_set_state(c, CONN_DONE);
}

void conn_refuse_for_shutdown(struct conn *c)
{
    if (!c->saw_bytes || c->reason != REASON_OK)
        conn_end(c);
    else
        conn_refuse(c, REASON_SHUTTING_DOWN);
}

void conn_shut_down(struct conn *c)
{
    if (!states[c->state].on_shutdown) return;
    states[c->state].on_shutdown(c);
    conn_run(c);
}

static void set_id(struct conn *c)
{
    uint8_t random[6] = {0};
    char hex[13];
    if (!random_bytes(random, sizeof random)) memset(random, 0, sizeof random);
    text_hex(random, sizeof random, hex);
    snprintf(c->id, sizeof c->id, "%s-%llx", hex, (unsigned long long)worker_next_id(c->worker));
}

static void link_into(struct conn *c, struct conn **list)
{
    c->next = *list;
    c->link = list;
    if (*list) (*list)->link = &c->next;
    *list = c;
}

bool conn_prepare(struct worker *worker)
{
    if (worker->prepared) return true;
    struct conn *c = calloc(1, sizeof *c);
    if (c) c->setup = calloc(1, sizeof *c->setup);
    if (c && c->setup) {
        worker->prepared = c;
        return true;
    }
    static int64_t last;
    if (diag_due(&last, 1000000000)) diag_error("out of memory: new connections have to wait");
    free(c);
    return false;
}

void conn_unprepare(struct worker *worker)
{
    if (worker->prepared) free(worker->prepared->setup);
    free(worker->prepared);
    worker->prepared = NULL;
}

void conn_start(struct worker *worker, struct runtime_listener *listener,
                const struct arrival *arrival)
{
    struct conn *c = worker->prepared;
    worker->prepared = NULL;
    const struct front *front = worker->shared->front_of(listener->config->type);
    c->worker = worker;
    c->runtime = listener->runtime;
    runtime_hold(c->runtime);
    c->listener = listener;
    c->front = front;
    c->counted = true;
    c->started_ns = clock_steady_ns();
    c->peer = arrival->peer;
    c->source = arrival->source;
    c->crowd = WORKER_CROWDS;
    c->alert_sent = c->alert_received = -1;
    leg_open(&c->client, arrival->fd, conn_on_leg, c, true);
    c->upstream.fd = -1;
    set_id(c);
    link_into(c, &worker->connections);
    ev_timer_init(&c->timer, on_timer, 0., 0.);
    c->timer.data = c;
    c->run_entry = (struct run_entry){.run = run_again, .owner = c};
    c->expects_tls = front->first == CONN_HELLO;
    if (front->begin) {
        front->begin(c);
        client_set_identity(c);
    }
    c->state = arrival->expects_header ? CONN_PROXY_HEADER : front->first;
    conn_set_state(c, c->state);
    if (arrival->refuse != REASON_OK) {
        c->saw_bytes = true; /* refused before anything was read */
        c->detail = arrival->detail;
        conn_refuse(c, arrival->refuse);
    } else if (!arrival->expects_header && conn_observes(c)) {
        arrival_begin(c);
    }
    conn_run(c);
}
