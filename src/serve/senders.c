#include "serve/senders.h"

#include "base/clock.h"

#include <time.h>
#include <unistd.h>

static const int64_t second_ns = 1000000000;
static const double again_s = .1;

static int connect_own(struct senders *s)
{
    char name[RECEIPT_SENDER];
    receipt_name("keeper", getpid(), s->start, 0, name);
    return clerk_process_connect(s->clerk, AUDIT_BY_KEEPER, name);
}

static int connect_worker(struct senders *s, unsigned channel)
{
    char name[RECEIPT_SENDER];
    proxy_process_name(s->proxy, channel, name);
    return clerk_process_connect(s->clerk, AUDIT_BY_PROXY, name);
}

/* Takes fd. */
static void give(struct senders *s, unsigned channel, int fd)
{
    if (channel)
        proxy_process_connect(s->proxy, channel, fd);
    else
        recorder_connect(s->own, fd);
}

static void try_later(struct senders *s)
{
    ev_timer_stop(s->loop, &s->again);
    ev_timer_set(&s->again, again_s, 0.);
    ev_timer_start(s->loop, &s->again);
}

static void connect_wanted(struct senders *s)
{
    for (unsigned channel = 0; channel <= s->count; channel++) {
        if (!s->wanted[channel]) continue;
        int fd = channel ? connect_worker(s, channel) : connect_own(s);
        if (fd < 0) {
            try_later(s);
            return;
        }
        s->wanted[channel] = false;
        give(s, channel, fd);
    }
}

/* From this channel on. */
static void want(struct senders *s, unsigned first)
{
    for (unsigned channel = first; channel <= s->count; channel++) s->wanted[channel] = true;
    connect_wanted(s);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    connect_wanted(timer->data);
}

static void on_own_lost(void *arg)
{
    struct senders *s = arg;
    s->wanted[0] = true;
    try_later(s);
}

bool senders_start(struct senders *s, struct ev_loop *loop, const struct audit_config *config,
                   const struct audit_origin *origin, const struct clerk_events *events,
                   struct text *errors)
{
    s->loop = loop;
    ev_timer_init(&s->again, on_again, 0., 0.);
    s->again.data = s;
    clock_gettime(CLOCK_REALTIME, &s->start);
    s->recording = recording_new();
    if (!s->recording) return false;
    s->own = recorder_new(s->recording, loop);
    s->clerk = clerk_process_new(loop, config, origin, events, errors);
    if (!s->own || !s->clerk) return false;
    recorder_watch(s->own, on_own_lost, s);
    want(s, 0);
    return true;
}

void senders_use(struct senders *s, struct proxy_process *proxy, unsigned count)
{
    s->proxy = proxy;
    s->count = proxy ? count : 0;
    want(s, 1);
}

void senders_connect(struct senders *s)
{
    want(s, 0);
}

bool senders_are_connected(const struct senders *s)
{
    for (unsigned channel = 0; channel <= s->count; channel++)
        if (s->wanted[channel]) return false;
    return true;
}

void senders_missed(struct senders *s, unsigned channel)
{
    if (channel == 0 || channel > s->count) return;
    s->wanted[channel] = true;
    try_later(s);
}

static void settle(struct senders *s)
{
    int64_t end_by = clock_steady_ns() + RECORDING_END_S * second_ns;
    while (!recorder_finish(s->own, end_by) && !recorder_is_connected(s->own) &&
           clock_steady_ns() < end_by) {
        clerk_process_revive(s->clerk);
        int fd = connect_own(s);
        if (fd >= 0)
            recorder_connect(s->own, fd);
        else
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

size_t senders_end(struct senders *s)
{
    if (s->own) recorder_watch(s->own, NULL, NULL);
    if (s->loop) ev_timer_stop(s->loop, &s->again);
    if (s->clerk) (void)!clerk_process_ping(s->clerk); /* its folder may have been made anew */
    if (s->own && s->clerk) settle(s);
    recorder_free(s->own);
    return clerk_process_free(s->clerk) + recording_free(s->recording);
}
