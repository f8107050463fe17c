#include "net/lookup.h"

#include "base/clock.h"

#include <string.h>

struct waiting {
    struct ev_loop *loop;
    enum lookup_status status;
    struct addr *out;
    size_t n;
};

static void on_answer(void *arg, enum lookup_status status, const struct addr *addresses, size_t n)
{
    struct waiting *w = arg;
    w->status = status;
    w->n = n;
    if (n > 0) memcpy(w->out, addresses, n * sizeof *addresses);
    ev_break(w->loop, EVBREAK_ALL);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)timer;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void run(struct waiting *w, const char *host, uint16_t port, int64_t deadline)
{
    struct resolver *resolver = resolver_new(w->loop, "");
    struct lookup *lookup = resolver ? resolver_start(resolver, host, port, on_answer, w) : NULL;
    int64_t left = deadline - clock_steady_ns();
    if (lookup && left > 0) {
        ev_timer timer;
        ev_timer_init(&timer, on_deadline, (double)left / 1e9, 0.);
        ev_timer_start(w->loop, &timer);
        ev_run(w->loop, 0);
        ev_timer_stop(w->loop, &timer);
    }
    resolver_free(resolver);
}

enum lookup_status lookup_wait(const char *host, uint16_t port, int64_t deadline,
                               struct addr out[LOOKUP_LIMIT], size_t *n)
{
    struct waiting w = {.status = LOOKUP_FAILED, .out = out};
    *n = 1;
    if (addr_from_ip(host, port, &out[0])) return LOOKUP_FOUND;
    w.loop = ev_loop_new(EVFLAG_NOENV);
    if (w.loop) {
        run(&w, host, port, deadline);
        ev_loop_destroy(w.loop);
    }
    *n = w.n;
    return w.status;
}
