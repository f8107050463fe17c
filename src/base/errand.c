#include "base/errand.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>

static struct {
    pthread_mutex_t one; /* held by who waits for an errand */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*call)(void *arg); /* NULL: none */
    void *arg;
    pthread_t thread;
    bool begun;
} desk = {.one = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER};

static void *run(void *unused)
{
    (void)unused;
    prctl(PR_SET_NAME, "errands");
    pthread_mutex_lock(&desk.lock);
    for (;;) {
        while (!desk.call) pthread_cond_wait(&desk.changed, &desk.lock);
        void (*call)(void *arg) = desk.call;
        void *arg = desk.arg;
        pthread_mutex_unlock(&desk.lock);
        call(arg);
        pthread_mutex_lock(&desk.lock);
        desk.call = NULL;
        pthread_cond_broadcast(&desk.changed);
    }
    return NULL;
}

bool errand_begin(void)
{
    sigset_t all, before;
    if (desk.begun) return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int fault = pthread_create(&desk.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    desk.begun = fault == 0;
    if (desk.begun) pthread_detach(desk.thread);
    errno = fault;
    return desk.begun;
}

void errand_run(void (*call)(void *arg), void *arg)
{
    if (!desk.begun || pthread_equal(pthread_self(), desk.thread)) {
        call(arg);
        return;
    }
    pthread_mutex_lock(&desk.one);
    pthread_mutex_lock(&desk.lock);
    desk.call = call;
    desk.arg = arg;
    pthread_cond_broadcast(&desk.changed);
    while (desk.call) pthread_cond_wait(&desk.changed, &desk.lock);
    pthread_mutex_unlock(&desk.lock);
    pthread_mutex_unlock(&desk.one);
}

static void on_exit_wanted(void *arg)
{
    exit(*(const int *)arg);
}

_Noreturn void errand_exit(int status)
{
    errand_run(on_exit_wanted, &status);
    abort(); /* not reached */
}
