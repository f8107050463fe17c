#include "serve/senders.h"

#include "base/clock.h"

#include <time.h>

static const int64_t second_ns = 1000000000;
static const double again_s = 1.;

static int connect_channel(struct senders *s, unsigned channel)
{
    return clerk_process_connect(s->clerk, channel ? AUDIT_BY_PROXY : AUDIT_BY_KEEPER, channel);
}

static void connect_rest(struct senders *s)
{
    for (; s->connected <= s->count; s->connected++) {
        int fd = connect_channel(s, s->connected);
        if (fd < 0) {
            ev_timer_stop(s->loop, &s->again);
            ev_timer_set(&s->again, again_s, 0.);
            ev_timer_start(s->loop, &s->again);
            return;
        }
        if (s->connected == 0)
            recorder_connect(s->own, fd);
        else
            worker_thread_connect(s->workers[s->connected - 1], fd);
    }
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    connect_rest(timer->data);
}

bool senders_start(struct senders *s, struct ev_loop *loop, const struct audit_config *config,
                   const struct audit_policy *policy, const struct clerk_events *events,
                   struct text *errors)
{
    s->loop = loop;
    ev_timer_init(&s->again, on_again, 0., 0.);
    s->again.data = s;
    s->recording = recording_new();
    if (!s->recording) return false;
    s->own = recorder_new(s->recording, loop);
    s->clerk = clerk_process_new(loop, config, policy, events, errors);
    return s->own && s->clerk;
}

void senders_connect(struct senders *s, struct worker_thread **workers, unsigned count)
{
    s->workers = workers;
    s->count = count;
    s->connected = 0;
    connect_rest(s);
}

void senders_settle(struct senders *s, struct recorder *r, unsigned channel)
{
    if (!s->end_by) s->end_by = clock_steady_ns() + RECORDING_END_S * second_ns;
    while (!recorder_finish(r, s->end_by) && !recorder_is_connected(r) &&
           clock_steady_ns() < s->end_by) {
        clerk_process_revive(s->clerk);
        int fd = connect_channel(s, channel);
        if (fd >= 0)
            recorder_connect(r, fd);
        else
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

size_t senders_end(struct senders *s)
{
    if (s->loop) ev_timer_stop(s->loop, &s->again);
    if (s->own && s->clerk) senders_settle(s, s->own, 0);
    recorder_free(s->own);
    return clerk_process_free(s->clerk) + recording_free(s->recording);
}
