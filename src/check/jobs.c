#include "check/jobs.h"

#include "base/buf.h"
#include "pki/keys.h"

#include <pthread.h>
#include <stdatomic.h>

struct pool {
    const struct job *jobs;
    size_t n;
    void *context;
    atomic_size_t next;
};

static void work(struct pool *pool)
{
    for (size_t i; (i = atomic_fetch_add(&pool->next, 1)) < pool->n;)
        pool->jobs[i].run(pool->context, pool->jobs[i].arg);
}

static void *run_thread(void *arg)
{
    work(arg);
    random_thread_fini();
    buf_thread_fini();
    return NULL;
}

void jobs_run(const struct job *jobs, size_t n, void *context, unsigned threads)
{
    struct pool pool = {.jobs = jobs, .n = n, .context = context};
    pthread_t started[JOBS_THREADS];
    size_t count = 0;
    while (count + 1 < threads && count + 1 < n && count + 1 < JOBS_THREADS &&
           pthread_create(&started[count], NULL, run_thread, &pool) == 0)
        count++;
    work(&pool);
    for (size_t i = 0; i < count; i++) pthread_join(started[i], NULL);
}
