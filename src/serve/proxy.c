#include "proxy_impl.h"

#include "proxy_order.h"

#include "base/clock.h"
#include "base/confine.h"
#include "base/diag.h"
#include "front/fronts.h"
#include "net/names.h"
#include "route/routes.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t second_ns = 1000000000;

/* ---- news ---- */

void proxy_tell(struct proxy *p, const char *kind, const char *field, const char *more)
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
    lookout_use(p->lookout, p->next.loaded);
    p->listeners = p->next.loaded->config->listener_count;
    if (first) lookout_watch(p->lookout, p->workers, p->count);
    if (first) lookout_sample(p->lookout);
    if (!p->next.keeps_operate) {
        operate_server_free(p->current.operate);
        p->current.operate = p->next.operate;
        p->next.operate = NULL;
        operate_server_begin(p->current.operate);
    }
    proxy_forget(&p->next, p->count);
    if (first) proxy_tell(p, NEWS_USED, NULL, NULL);
}

static void on_sampling(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    lookout_sample(((struct proxy *)timer->data)->lookout);
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
    if (p->superseded) operate_server_leave(p->current.operate);
    if (!p->superseded) lookout_note_drain(p->lookout);
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
        if (i == p->listeners) p->superseded = true;
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
    proxy_tell(p, NEWS_MISSED, digits, NULL);
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
        proxy_tell(p, NEWS_USED, NULL, NULL);
    }
    if (!p->drained_told && __atomic_load_n(&p->drained, __ATOMIC_ACQUIRE) == p->started) {
        p->drained_told = true;
        proxy_tell(p, NEWS_DRAINED, NULL, NULL);
    }
    if (__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE) == p->started) ev_break(loop, EVBREAK_ALL);
}

/* ---- orders ---- */

static void note_state(struct proxy *p, const struct text *order, size_t at)
{
    const char *keeper = post_next(order, &at), *clerk = keeper ? post_next(order, &at) : NULL;
    if (clerk) lookout_note_state(p->lookout, keeper, clerk);
}

/* Takes fd. */
static void show(struct proxy *p, const struct text *order, size_t at, int fd)
{
    const char *form = post_next(order, &at);
    if (fd >= 0) operate_server_show_status(p->lookout, form && strcmp(form, "json") == 0, fd);
}

static void obey(struct proxy *p, const struct text *order, int fd)
{
    size_t at = 0;
    const char *kind = post_next(order, &at);
    if (!kind) kind = "";
    if (strcmp(kind, ORDER_SOCKET) == 0) {
        proxy_take_socket(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_CLERK) == 0) {
        connect_clerk(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_LOAD) == 0) {
        proxy_load(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_SIGNER) == 0) {
        proxy_take_signer(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_SHOW) == 0) {
        show(p, order, at, fd);
        return;
    }
    if (strcmp(kind, ORDER_STATE) == 0) note_state(p, order, at);
    if (strcmp(kind, ORDER_NAMES) == 0 && !(fd >= 0 && names_give(fd)))
        diag_error("the proxy cannot read what the system says of names: %s", strerror(errno));
    if (strcmp(kind, ORDER_USE) == 0)
        use(p);
    else if (strcmp(kind, ORDER_FORGET) == 0)
        proxy_forget(&p->next, p->count);
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
    ev_timer_init(&p->sampling, on_sampling, OVERVIEW_SAMPLE_S, OVERVIEW_SAMPLE_S);
    p->sampling.data = p;
    ev_timer_start(p->loop, &p->sampling);
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
    proxy_forget(&p->next, p->count);
    operate_server_free(p->current.operate);
    if (p->lookout) lookout_watch(p->lookout, NULL, 0);
    end_workers(p, &total);
    lookout_free(p->lookout);
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
    proxy_tell(p, NEWS_ENDED, silent, lost_records);
    recent_free(p->shared.recent);
    refusals_free(p->shared.refusals);
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
    p.shared.refusals = refusals_new();
    p.lookout = lookout_new(&p.shared);
    p.shared.own_hellos = own_hellos_new();
    p.shared.recording = recording_new();
    bool ok = p.loop && p.lookout && p.shared.recent && p.shared.refusals && p.shared.own_hellos &&
              p.shared.recording;
    if (ok) {
        watch(&p);
        ev_run(p.loop, 0);
    } else {
        diag_error("the proxy is out of memory");
    }
    size_t lost = end(&p);
    return ok && lost == 0;
}
