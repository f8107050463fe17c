#include "serve/proxy.h"

#include "proxy_order.h"

#include "base/clock.h"
#include "base/confine.h"
#include "base/diag.h"
#include "base/post.h"
#include "front/fronts.h"
#include "net/names.h"
#include "route/routes.h"
#include "serve/given.h"
#include "serve/publisher.h"
#include "serve/worker_thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t second_ns = 1000000000;

/* One load of the configuration, and what is made of it. */
struct load {
    struct loaded_config *loaded; /* NULL: none */
    struct runtime **runtimes;    /* one per worker, which takes it */
    struct publisher *publisher;
};

struct proxy {
    int post; /* -1: the keeper is gone */
    struct ev_loop *loop;
    ev_io orders;
    struct worker_shared shared;
    struct worker_events events;
    struct leaf_keys leaf_keys;
    struct worker_thread **workers;
    unsigned count, started;
    unsigned drained, ended, taken; /* atomic: workers; taken: since the last use */
    ev_async worker_news;
    ev_timer hourly;
    struct given given;
    int signers[CONFIG_WORKERS]; /* sockets for signatures; -1: none, or given away */
    struct load next, current;   /* of current, only the publisher */
    struct kept kept;            /* at the drain */
    bool draining, drained_told;
};

/* ---- news ---- */

static void tell(struct proxy *p, const char *kind, const char *field, const char *more)
{
    struct text news = {0};
    post_put(&news, kind);
    if (field) post_put(&news, field);
    if (more) post_put(&news, more);
    if (news.size > POST_LIMIT) { /* many faults: the first ones */
        news.size = POST_LIMIT;
        news.data[POST_LIMIT - 1] = '\0';
    }
    if (p->post >= 0) (void)!post_send(p->post, &news, -1);
    text_fini(&news);
}

/* ---- loading ---- */

/* Takes fd. */
static void take_socket(struct proxy *p, const struct text *order, size_t at, int fd)
{
    const char *listener = post_next(order, &at), *worker = listener ? post_next(order, &at) : NULL;
    if (worker)
        given_add(&p->given, strtoul(listener, NULL, 10), strtoul(worker, NULL, 10), fd);
    else if (fd >= 0)
        close(fd);
}

static void forget(struct load *l, unsigned count)
{
    for (unsigned i = 0; l->runtimes && i < count; i++) runtime_release(l->runtimes[i]);
    free(l->runtimes);
    publisher_free(l->publisher);
    loaded_config_release(l->loaded);
    *l = (struct load){NULL, NULL, NULL};
}

/* Takes fd. */
static void take_signer(struct proxy *p, const struct text *order, size_t at, int fd)
{
    const char *digits = post_next(order, &at);
    unsigned long worker = digits ? strtoul(digits, NULL, 10) : CONFIG_WORKERS;
    if (worker < CONFIG_WORKERS && p->signers[worker] < 0)
        p->signers[worker] = fd;
    else if (fd >= 0)
        close(fd);
}

static struct worker_thread *make_worker(struct proxy *p, unsigned i, const struct ticket_key *key)
{
    int signer = p->signers[i];
    p->signers[i] = -1;
    return signer < 0 ? NULL : worker_thread_new(i, &p->shared, &p->events, key, signer);
}

static bool make_workers(struct proxy *p, unsigned count)
{
    struct ticket_key key;
    if (p->workers) return count == p->count;
    p->workers = calloc(count, sizeof(struct worker_thread *));
    p->count = p->workers ? count : 0;
    p->shared.sources = sources_new(count);
    bool ok = p->workers && p->shared.sources && ticket_key_generate(&key);
    for (unsigned i = 0; ok && i < count; i++)
        ok = (p->workers[i] = make_worker(p, i, &key)) != NULL;
    explicit_bzero(&key, sizeof key);
    return ok;
}

static bool build(struct proxy *p, struct load *l, struct text *errors)
{
    size_t n = l->loaded->config->listener_count;
    int *sockets = calloc(n, sizeof(int));
    l->runtimes = calloc(p->count, sizeof(struct runtime *));
    bool ok = sockets && l->runtimes;
    for (unsigned k = 0; ok && k < p->count; k++) {
        given_lend(&p->given, k, sockets, n);
        l->runtimes[k] = runtime_new(l->loaded, &p->leaf_keys, worker_thread_loop(p->workers[k]),
                                     sockets, errors);
        ok = l->runtimes[k] != NULL;
        given_return(&p->given, k, sockets, n);
    }
    if (ok) {
        given_lend(&p->given, 0, sockets, n);
        l->publisher = publisher_new(l->loaded, sockets, p->current.publisher, errors);
        given_return(&p->given, 0, sockets, n);
    }
    free(sockets);
    return ok && l->publisher;
}

/* Takes fd. */
static bool load(struct proxy *p, const char *config_file, uint32_t serial, int fd,
                 struct text *errors)
{
    struct load *l = &p->next;
    forget(l, p->count);
    struct snapshot *files = config_file && fd >= 0 ? snapshot_open(fd) : NULL;
    if (fd >= 0) close(fd);
    if (!files) {
        text_printf(errors, "the proxy cannot read its configuration: %s\n", strerror(errno));
        return false;
    }
    l->loaded = loaded_config_read(config_file, false, files, errors);
    snapshot_free(files);
    if (l->loaded) l->loaded->serial = serial;
    return l->loaded && given_set_addresses(&p->given, l->loaded, errors) &&
           make_workers(p, l->loaded->config->proxy.workers) && build(p, l, errors);
}

/* Takes fd. */
static void obey_load(struct proxy *p, const struct text *order, size_t at, int fd)
{
    struct text errors = {0};
    const char *config_file = post_next(order, &at);
    const char *serial = config_file ? post_next(order, &at) : NULL;
    if (load(p, config_file, serial ? (uint32_t)strtoul(serial, NULL, 10) : 0, fd, &errors)) {
        tell(p, NEWS_LOADED, NULL, NULL);
    } else {
        if (errors.size == 0) text_add(&errors, "the proxy is out of memory\n");
        tell(p, NEWS_REFUSED, text_string(&errors), NULL);
        forget(&p->next, p->count);
    }
    given_drop(&p->given);
    text_fini(&errors);
}

/* ---- using ---- */

static void each_started(struct proxy *p, void (*order)(struct worker_thread *t))
{
    for (unsigned i = 0; i < p->started; i++) order(p->workers[i]);
}

static void start_workers(struct proxy *p)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* a forbidden call is told by name */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; p->started < p->count; p->started++) {
        struct runtime *runtime = p->next.runtimes[p->started];
        p->next.runtimes[p->started] = NULL;
        if (worker_thread_start(p->workers[p->started], runtime)) continue;
        diag_error("the proxy cannot start its threads");
        exit(EXIT_FAILURE); /* the keeper starts another one */
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void use(struct proxy *p)
{
    bool first = p->started == 0;
    if (!p->next.loaded || p->draining) return;
    __atomic_store_n(&p->taken, 0, __ATOMIC_RELAXED);
    if (first) start_workers(p);
    for (unsigned i = 0; !first && i < p->count; i++) {
        worker_thread_change_runtime(p->workers[i], p->next.runtimes[i]);
        p->next.runtimes[i] = NULL;
    }
    publisher_take_over(p->next.publisher, p->current.publisher);
    p->current.publisher = p->next.publisher;
    p->next.publisher = NULL;
    forget(&p->next, p->count);
    if (first) tell(p, NEWS_USED, NULL, NULL);
}

static void on_new_hour(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct proxy *p = timer->data;
    struct ticket_key key;
    bool made = ticket_key_generate(&key), taken = made;
    for (unsigned i = 0; made && i < p->started; i++)
        taken = worker_thread_change_ticket_key(p->workers[i], &key) && taken;
    explicit_bzero(&key, sizeof key);
    if (!taken) diag_warning("some workers keep their key for session tickets for another hour");
}

/* ---- ending ---- */

static void drain(struct proxy *p)
{
    if (p->draining) return;
    p->draining = true;
    for (unsigned i = 0; i < p->started; i++) worker_thread_drain(p->workers[i], &p->kept);
    publisher_drain(p->current.publisher);
    if (p->started == 0) ev_break(p->loop, EVBREAK_ALL);
}

static void drain_but(struct proxy *p, const struct text *order, size_t at)
{
    for (const char *digits; !p->draining && (digits = post_next(order, &at));) {
        size_t i = strtoul(digits, NULL, 10);
        bool *more = i < p->kept.n ? p->kept.items : realloc(p->kept.items, i + 1);
        if (!more) break; /* they are served */
        for (p->kept.items = more; p->kept.n <= i; p->kept.n++) more[p->kept.n] = false;
        more[i] = true;
    }
    drain(p);
}

static void close_all(struct proxy *p)
{
    drain(p);
    each_started(p, worker_thread_shut_down);
}

/* ---- the clerk ---- */

static void tell_missed(struct proxy *p, unsigned channel)
{
    char digits[TEXT_DECIMAL_SIZE];
    text_decimal(channel, digits);
    tell(p, NEWS_MISSED, digits, NULL);
}

static void tell_lost(struct proxy *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->workers[i] && worker_thread_lost_clerk(p->workers[i])) tell_missed(p, i + 1);
}

/* Takes fd. */
static void connect_clerk(struct proxy *p, const struct text *order, size_t at, int fd)
{
    const char *digits = post_next(order, &at);
    unsigned channel = digits ? (unsigned)strtoul(digits, NULL, 10) : 0;
    if (fd < 0)
        tell_missed(p, channel);
    else if (channel >= 1 && channel <= p->count && p->workers[channel - 1])
        worker_thread_connect(p->workers[channel - 1], fd);
    else
        close(fd);
}

/* ---- the workers' news ---- */

/* On a worker's thread, as all that use it. */
static void count_news(struct proxy *p, unsigned *workers)
{
    __atomic_add_fetch(workers, 1, __ATOMIC_RELEASE);
    ev_async_send(p->loop, &p->worker_news);
}

static void report_runtime_taken(void *arg)
{
    struct proxy *p = arg;
    count_news(p, &p->taken);
}

static void report_clerk_lost(void *arg)
{
    struct proxy *p = arg;
    ev_async_send(p->loop, &p->worker_news);
}

static void report_drained(void *arg)
{
    struct proxy *p = arg;
    count_news(p, &p->drained);
}

static void report_ended(void *arg)
{
    struct proxy *p = arg;
    count_news(p, &p->ended);
}

static void on_worker_news(struct ev_loop *loop, ev_async *async, int events)
{
    (void)events;
    struct proxy *p = async->data;
    tell_lost(p);
    if (__atomic_load_n(&p->taken, __ATOMIC_ACQUIRE) == p->count) {
        __atomic_store_n(&p->taken, 0, __ATOMIC_RELAXED);
        tell(p, NEWS_USED, NULL, NULL);
    }
    if (!p->drained_told && __atomic_load_n(&p->drained, __ATOMIC_ACQUIRE) == p->started) {
        p->drained_told = true;
        tell(p, NEWS_DRAINED, NULL, NULL);
    }
    if (__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE) == p->started) ev_break(loop, EVBREAK_ALL);
}

/* ---- orders ---- */

static void obey(struct proxy *p, const struct text *order, int fd)
{
    size_t at = 0;
    const char *kind = post_next(order, &at);
    if (!kind) kind = "";
    if (strcmp(kind, ORDER_SOCKET) == 0) {
        take_socket(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_CLERK) == 0) {
        connect_clerk(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_LOAD) == 0) {
        obey_load(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_SIGNER) == 0) {
        take_signer(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_NAMES) == 0 && !(fd >= 0 && names_give(fd)))
        diag_error("the proxy cannot read what the system says of names: %s", strerror(errno));
    if (strcmp(kind, ORDER_USE) == 0)
        use(p);
    else if (strcmp(kind, ORDER_FORGET) == 0)
        forget(&p->next, p->count);
    else if (strcmp(kind, ORDER_DRAIN) == 0)
        drain_but(p, order, at);
    else if (strcmp(kind, ORDER_CLOSE) == 0)
        close_all(p);
    if (fd >= 0) close(fd);
}

/* False when the keeper is gone. */
static bool take_order(struct proxy *p)
{
    struct text order = {0};
    int fd;
    bool here = true;
    if (post_receive(p->post, &order, &fd))
        obey(p, &order, fd);
    else if (errno == 0 || errno == ECONNRESET)
        here = false;
    text_fini(&order);
    return here;
}

static void lose_keeper(struct proxy *p)
{
    ev_io_stop(p->loop, &p->orders);
    close(p->post);
    p->post = -1;
}

static void on_order(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct proxy *p = io->data;
    if (take_order(p)) return;
    diag_error("the keeper is gone: the proxy ends");
    lose_keeper(p);
    close_all(p);
}

/* ---- its life ---- */

static void watch(struct proxy *p)
{
    ev_io_init(&p->orders, on_order, p->post, EV_READ);
    p->orders.data = p;
    ev_io_start(p->loop, &p->orders);
    ev_async_init(&p->worker_news, on_worker_news);
    p->worker_news.data = p;
    ev_async_start(p->loop, &p->worker_news);
    ev_timer_init(&p->hourly, on_new_hour, TICKET_LIFETIME_S, TICKET_LIFETIME_S);
    p->hourly.data = p;
    ev_timer_start(p->loop, &p->hourly);
}

/* Without the loop: the records of a worker that has lost its clerk go to the next one. */
static void settle(struct proxy *p, struct recorder *r, int64_t deadline_ns)
{
    enum { SOME_MS = 100 };
    while (!recorder_finish(r, deadline_ns) && !recorder_is_connected(r) && p->post >= 0 &&
           clock_steady_ns() < deadline_ns) {
        tell_lost(p);
        struct pollfd order = {.fd = p->post, .events = POLLIN};
        if (poll(&order, 1, SOME_MS) > 0 && !take_order(p)) lose_keeper(p);
    }
}

static void end_workers(struct proxy *p, struct counts *total)
{
    int64_t deadline = 0;
    for (unsigned i = 0; i < p->started; i++) {
        worker_thread_join(p->workers[i], total);
        if (!deadline) deadline = clock_steady_ns() + RECORDING_END_S * second_ns;
    }
    for (unsigned i = 0; i < p->started; i++)
        settle(p, worker_thread_recorder(p->workers[i]), deadline);
    for (unsigned i = 0; i < p->count; i++)
        if (p->workers[i]) worker_thread_free(p->workers[i]);
    free(p->workers);
    p->workers = NULL;
    p->count = 0;
}

static size_t end(struct proxy *p)
{
    struct counts total = {0};
    char silent[TEXT_DECIMAL_SIZE], lost_records[TEXT_DECIMAL_SIZE];
    forget(&p->next, p->count);
    end_workers(p, &total);
    free(p->kept.items);
    given_drop(&p->given);
    for (unsigned i = 0; i < CONFIG_WORKERS; i++)
        if (p->signers[i] >= 0) close(p->signers[i]);
    publisher_settle(p->current.publisher);
    publisher_free(p->current.publisher);
    leaf_keys_fini(&p->leaf_keys);
    size_t lost = p->shared.recording ? recording_free(p->shared.recording) : 0;
    text_decimal(total.silent, silent);
    text_decimal(lost, lost_records);
    tell(p, NEWS_ENDED, silent, lost_records);
    recent_free(p->shared.recent);
    sources_free(p->shared.sources);
    own_hellos_free(p->shared.own_hellos);
    if (p->post >= 0) close(p->post);
    if (p->loop) ev_loop_destroy(p->loop);
    return lost;
}

bool proxy_run(int post)
{
    struct proxy p = {.post = post, .loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV)};
    confine_signals();
    proxy_confine();
    for (unsigned i = 0; i < CONFIG_WORKERS; i++) p.signers[i] = -1;
    leaf_keys_init(&p.leaf_keys);
    p.events = (struct worker_events){report_runtime_taken, report_clerk_lost, report_drained,
                                      report_ended, &p};
    p.shared.front_of = front_of;
    p.shared.route_of = route_of;
    p.shared.recent = recent_new();
    p.shared.own_hellos = own_hellos_new();
    p.shared.recording = recording_new();
    bool ok = p.loop && p.shared.recent && p.shared.own_hellos && p.shared.recording;
    if (ok) {
        watch(&p);
        ev_run(p.loop, 0);
    } else {
        diag_error("the proxy is out of memory");
    }
    size_t lost = end(&p);
    return ok && lost == 0;
}
