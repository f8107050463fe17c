/* A loop without memory: watchers are started and called all the same. */
#include "helper.h"

#include "serve/loop_memory.h"

#include <ev.h>
#include <sys/resource.h>
#include <unistd.h>

/* The linker leads all calls here (the Makefile says so). */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool no_memory;
static unsigned refused;

void *__wrap_malloc(size_t n)
{
    refused += no_memory;
    return no_memory ? NULL : __real_malloc(n);
}

void *__wrap_realloc(void *p, size_t n)
{
    refused += no_memory;
    return no_memory ? NULL : __real_realloc(p, n);
}

enum { WATCHERS = 400 };

static struct ev_loop *loop;
static ev_io ios[WATCHERS];
static ev_timer timers[WATCHERS];
static unsigned called;

static void on_io(struct ev_loop *l, ev_io *io, int events)
{
    (void)events;
    called++;
    ev_io_stop(l, io);
}

static void on_timer(struct ev_loop *l, ev_timer *timer, int events)
{
    (void)l;
    (void)timer;
    (void)events;
    called++;
}

static void start(int from, int to)
{
    for (int i = from; i < to; i++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        ev_io_init(&ios[i], on_io, ends[1], EV_WRITE);
        ev_io_start(loop, &ios[i]);
        ev_timer_init(&timers[i], on_timer, 0., 0.);
        ev_timer_start(loop, &timers[i]);
    }
}

static void watchers_without_memory(void **state)
{
    (void)state;
    loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    assert_non_null(loop);
    for (int round = 0; round < 4; round++) {
        called = 0;
        start(0, WATCHERS / 8);
        no_memory = true;
        start(WATCHERS / 8, WATCHERS / 2);
        no_memory = round % 2;
        start(WATCHERS / 2, WATCHERS);
        for (int i = 0; i < 20 && called < 2 * WATCHERS; i++) ev_run(loop, EVRUN_NOWAIT);
        no_memory = false;
        assert_int_equal(called, 2 * WATCHERS);
        for (int i = 0; i < WATCHERS; i++) {
            close(ios[i].fd - 1);
            close(ios[i].fd);
        }
    }
    assert_true(refused > 0);
    ev_loop_destroy(loop);
}

/* What a loop gave back is there for the next one: a hundred times the reserve in all. */
static void it_is_given_back(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
        assert_non_null(loop);
        no_memory = true;
        start(0, 40);
        ev_run(loop, EVRUN_NOWAIT);
        no_memory = false;
        for (int i = 0; i < 40; i++) {
            close(ios[i].fd - 1);
            close(ios[i].fd);
        }
        ev_loop_destroy(loop);
    }
}

int main(void)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_NOFILE, &most) == 0) {
        most.rlim_cur = most.rlim_max;
        setrlimit(RLIMIT_NOFILE, &most);
    }
    if (!loop_memory_init()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watchers_without_memory),
        cmocka_unit_test(it_is_given_back),
    };
    return cmocka_run_group_tests_name("loop_memory", tests, NULL, NULL);
}
