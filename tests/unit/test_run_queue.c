/* The run queue: in order, one run per entry. A few entries get up to RUN_QUEUE_RUNS runs in all,
 * and then the sockets are checked. */
#include "helper.h"

#include "runtime/run_queue.h"

#include <unistd.h>

enum { ENTRIES = 5, LONG = 1000 };

static struct scene {
    struct ev_loop *loop;
    struct run_queue queue;
    struct run_entry entries[ENTRIES];
    size_t left[ENTRIES];        /* runs that each still wants */
    unsigned iteration[ENTRIES]; /* of its last run */
    unsigned turns[ENTRIES];     /* runs in that iteration */
    int order[LONG];
    size_t runs;
    int ends[2]; /* of a pipe */
    ev_io io;
    unsigned seen; /* iterations in which the pipe was found readable */
} at;

static void run(void *owner)
{
    struct run_entry *entry = owner;
    size_t n = (size_t)(entry - at.entries);
    unsigned now = ev_iteration(at.loop);
    assert_false(run_entry_waits(entry));
    if (at.iteration[n] != now) at.turns[n] = 0;
    at.iteration[n] = now;
    assert_true(++at.turns[n] <= RUN_QUEUE_RUNS);
    if (at.runs < LONG) at.order[at.runs++] = (int)n;
    if (--at.left[n] > 0) run_queue_add(&at.queue, entry);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events;
    at.seen++;
    /* The sockets' events come before the queue's entries of the same iteration. */
    for (size_t i = 0; i < ENTRIES; i++)
        assert_int_not_equal(at.iteration[i], ev_iteration(at.loop));
}

static int set_up(void **state)
{
    (void)state;
    memset(&at, 0, sizeof at);
    at.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    assert_non_null(at.loop);
    run_queue_init(&at.queue, at.loop);
    for (size_t i = 0; i < ENTRIES; i++)
        at.entries[i] = (struct run_entry){.run = run, .owner = &at.entries[i]};
    assert_int_equal(pipe(at.ends), 0);
    ev_io_init(&at.io, on_readable, at.ends[0], EV_READ);
    ev_io_start(at.loop, &at.io);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ev_io_stop(at.loop, &at.io);
    run_queue_fini(&at.queue);
    ev_loop_destroy(at.loop);
    close(at.ends[0]);
    close(at.ends[1]);
    return 0;
}

/* Iterations until no entry waits. Each returns at once, since EVRUN_ONCE would block on a pipe
 * that nobody writes to, and the test's alarm would end it. */
static unsigned drain(void)
{
    unsigned iterations = 0;
    while (at.queue.first) {
        ev_run(at.loop, EVRUN_ONCE);
        iterations++;
    }
    return iterations;
}

static void test_first_in_first_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < ENTRIES; i++) {
        at.left[i] = 1;
        run_queue_add(&at.queue, &at.entries[i]);
        run_queue_add(&at.queue, &at.entries[0]); /* keeps its place */
        assert_true(run_entry_waits(&at.entries[i]));
    }
    assert_int_equal(drain(), 1);
    assert_int_equal(at.runs, ENTRIES);
    for (size_t i = 0; i < ENTRIES; i++) assert_int_equal(at.order[i], i);
}

static void test_one_run_each_before_a_second_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < ENTRIES; i++) {
        at.left[i] = i == 2 ? 100 : 3;
        run_queue_add(&at.queue, &at.entries[i]);
    }
    /* Three iterations with all of them, then one entry has every run. */
    assert_int_equal(drain(), 3 + (100 - 3 + RUN_QUEUE_RUNS - 1) / RUN_QUEUE_RUNS);
    assert_int_equal(at.runs, 100 + 3 * (ENTRIES - 1));
    for (size_t i = 0; i < 3 * (size_t)ENTRIES; i++) assert_int_equal(at.order[i], i % ENTRIES);
}

static void test_sockets_are_asked_in_between(void **state)
{
    (void)state;
    at.left[0] = at.left[1] = 50;
    run_queue_add(&at.queue, &at.entries[0]);
    run_queue_add(&at.queue, &at.entries[1]);
    assert_int_equal(write(at.ends[1], "x", 1), 1);
    assert_int_equal(drain(), 2 * 50 / RUN_QUEUE_RUNS);
    assert_int_equal(at.seen, 2 * 50 / RUN_QUEUE_RUNS);
}

static void test_removed_entries_do_not_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < ENTRIES; i++) {
        at.left[i] = 1;
        run_queue_add(&at.queue, &at.entries[i]);
    }
    static const size_t gone[] = {0, 2, ENTRIES - 1};
    for (size_t i = 0; i < 3; i++) {
        run_queue_remove(&at.queue, &at.entries[gone[i]]);
        run_queue_remove(&at.queue, &at.entries[gone[i]]);
        assert_false(run_entry_waits(&at.entries[gone[i]]));
    }
    drain();
    assert_int_equal(at.runs, 2);
    assert_int_equal(at.order[0], 1);
    assert_int_equal(at.order[1], 3);
}

static void remove_the_others(void *owner)
{
    (void)owner;
    at.runs++;
    for (size_t i = 1; i < ENTRIES; i++) run_queue_remove(&at.queue, &at.entries[i]);
}

static void test_removal_while_running(void **state)
{
    (void)state;
    at.entries[0].run = remove_the_others;
    for (size_t i = 0; i < ENTRIES; i++) run_queue_add(&at.queue, &at.entries[i]);
    assert_int_equal(drain(), 1);
    assert_int_equal(at.runs, 1);
    assert_false(ev_is_active(&at.queue.no_wait));
}

/* When no entry waits, the loop sleeps again. */
static void test_an_empty_queue_waits(void **state)
{
    (void)state;
    at.left[0] = 1;
    run_queue_add(&at.queue, &at.entries[0]);
    assert_true(ev_is_active(&at.queue.no_wait));
    drain();
    assert_false(ev_is_active(&at.queue.no_wait));
    assert_int_equal(ev_pending_count(at.loop), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_in_first_out),           TEST(test_one_run_each_before_a_second_one),
        TEST(test_sockets_are_asked_in_between), TEST(test_removed_entries_do_not_run),
        TEST(test_removal_while_running),        TEST(test_an_empty_queue_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
