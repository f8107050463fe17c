/* Jobs on several threads: each runs once, the call waits for all, at most the limit run at once.
 */
#include "helper.h"

#include "base/clock.h"
#include "check/jobs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { MOST = 500 };

static struct seen {
    atomic_uint runs[MOST], running, most, meet;
    pthread_t caller;
    atomic_bool elsewhere; /* one ran in another thread */
} seen;

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void begin(unsigned meet)
{
    memset(&seen, 0, sizeof seen);
    seen.caller = pthread_self();
    atomic_store(&seen.meet, meet);
}

static void note(void *context, size_t arg)
{
    struct seen *s = context;
    unsigned now = atomic_fetch_add(&s->running, 1) + 1, most = atomic_load(&s->most);
    if (s != &seen || arg >= MOST) abort();
    atomic_fetch_add(&s->runs[arg], 1);
    if (!pthread_equal(pthread_self(), s->caller)) atomic_store(&s->elsewhere, true);
    while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now))
        ;
}

static void quick(void *context, size_t arg)
{
    note(context, arg);
    atomic_fetch_sub(&seen.running, 1);
}

/* Waits, two seconds at most, until as many run as have to meet. */
static void meeting(void *context, size_t arg)
{
    int64_t end = clock_steady_ns() + (int64_t)2 * 1000000000;
    note(context, arg);
    while (atomic_load(&seen.most) < atomic_load(&seen.meet) && clock_steady_ns() < end)
        pause_ms(1);
    atomic_fetch_sub(&seen.running, 1);
}

/* Long enough for all threads to take part. */
static void slow(void *context, size_t arg)
{
    note(context, arg);
    pause_ms(20);
    atomic_fetch_sub(&seen.running, 1);
}

static void run_all(void (*run)(void *context, size_t arg), size_t n, unsigned threads)
{
    static struct job jobs[MOST];
    for (size_t i = 0; i < n; i++) jobs[i] = (struct job){run, i};
    jobs_run(jobs, n, &seen, threads);
    assert_int_equal(atomic_load(&seen.running), 0); /* the call waited for all */
    for (size_t i = 0; i < MOST; i++)
        if (atomic_load(&seen.runs[i]) != (i < n))
            fail_msg("%zu jobs, %u threads: job %zu ran %u times", n, threads, i,
                     atomic_load(&seen.runs[i]));
}

static void each_once(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 15, 16, 17, 40, MOST};
    static const unsigned threads[] = {0, 1, 2, 4, JOBS_THREADS, JOBS_THREADS + 1, 100};
    for (size_t i = 0; i < N_OF(counts); i++) {
        for (size_t k = 0; k < N_OF(threads); k++) {
            begin(0);
            run_all(quick, counts[i], threads[k]);
        }
    }
}

static void none(void **state)
{
    (void)state;
    jobs_run(NULL, 0, NULL, 4);
}

/* The caller's thread is one of them; with a limit of one, it is the only one. */
static void alone(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads < 2; threads++) {
        begin(0);
        run_all(quick, 50, threads);
        assert_false(atomic_load(&seen.elsewhere));
        assert_int_equal(atomic_load(&seen.most), 1);
    }
    begin(0);
    run_all(quick, 1, JOBS_THREADS);
    assert_false(atomic_load(&seen.elsewhere));
}

static void at_once(void **state)
{
    (void)state;
    static const unsigned threads[] = {2, 4, JOBS_THREADS};
    for (size_t i = 0; i < N_OF(threads); i++) {
        begin(threads[i]);
        run_all(meeting, threads[i], threads[i]);
        assert_int_equal(atomic_load(&seen.most), threads[i]);
        begin(0);
        run_all(slow, 3 * (size_t)threads[i], threads[i]);
        assert_in_range(atomic_load(&seen.most), 1, threads[i]);
    }
}

/* The caller's thread included. */
static void never_more(void **state)
{
    (void)state;
    begin(JOBS_THREADS + 1);
    run_all(meeting, JOBS_THREADS + 1, 100);
    assert_in_range(atomic_load(&seen.most), 1, JOBS_THREADS);
}

/* Nested calls may use as many other threads as the outer call: a host's addresses do. */
static void nested_job(void *context, size_t arg)
{
    (void)context;
    struct job inner[4];
    for (size_t i = 0; i < N_OF(inner); i++) inner[i] = (struct job){quick, 4 * arg + i};
    jobs_run(inner, N_OF(inner), &seen, 2);
}

static void nested(void **state)
{
    (void)state;
    struct job jobs[10];
    begin(0);
    for (size_t i = 0; i < N_OF(jobs); i++) jobs[i] = (struct job){nested_job, i};
    jobs_run(jobs, N_OF(jobs), NULL, 4);
    for (size_t i = 0; i < 4 * N_OF(jobs); i++) assert_int_equal(atomic_load(&seen.runs[i]), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_once), cmocka_unit_test(none),   cmocka_unit_test(alone),
        cmocka_unit_test(at_once),   cmocka_unit_test(nested), cmocka_unit_test(never_more),
    };
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
