/* Runs a list of jobs on a few threads at once and waits for all of them. A job gets the shared
 * context and its own argument. If no threads can be created, the caller's thread does the work. */
#ifndef CHECK_JOBS_H
#define CHECK_JOBS_H

#include <stddef.h>

struct job {
    void (*run)(void *context, size_t arg);
    size_t arg;
};

enum { JOBS_THREADS = 16 };

/* threads: including the caller's; at most JOBS_THREADS. */
void jobs_run(const struct job *jobs, size_t n, void *context, unsigned threads);

#endif
