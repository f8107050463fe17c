#include "runtime/worker.h"

#include <stdlib.h>

uint64_t worker_next_id(struct worker *w)
{
    return w->next_id++ << 8 | (w->number & 0xff);
}

static struct queue **queue_of(struct worker *w, enum worker_crowd crowd, struct source *source)
{
    if (crowd == CROWD_LEAVING) return &w->leaving;
    return source_queue(source, w->number,
                        crowd == CROWD_SILENT ? SOURCE_SILENT : SOURCE_HALF_OPEN);
}

void worker_crowd_join(struct worker *w, enum worker_crowd crowd, struct source *source,
                       struct waiter *waiter)
{
    crowd_join(&w->crowds[crowd], queue_of(w, crowd, source), waiter);
}

void worker_crowd_leave(struct worker *w, enum worker_crowd crowd, struct waiter *waiter)
{
    crowd_leave(&w->crowds[crowd], waiter);
}

void worker_uncount(struct worker *w, struct source *source)
{
    __atomic_sub_fetch(&w->shared->active, 1, __ATOMIC_RELAXED);
    sources_leave(w->shared->sources, source);
}

void worker_connection_ended(struct worker *w)
{
    w->count--;
    if (w->draining && w->count == 0) ev_break(w->loop, EVBREAK_ALL);
}

static void on_wake(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    struct worker *w = async->data;
    pthread_mutex_lock(&w->lock);
    struct mail *mail = w->mail;
    w->mail = NULL;
    w->mail_end = &w->mail;
    pthread_mutex_unlock(&w->lock);
    while (mail) {
        struct mail *next = mail->next;
        mail->deliver(w, mail);
        mail = next;
    }
}

void worker_post(struct worker *w, struct mail *mail)
{
    mail->next = NULL;
    pthread_mutex_lock(&w->lock);
    *w->mail_end = mail;
    w->mail_end = &mail->next;
    /* With the lock held: once the mail can be taken, the worker may end and be freed. */
    ev_async_send(w->loop, &w->wake);
    pthread_mutex_unlock(&w->lock);
}

bool worker_init(struct worker *w, unsigned number, struct worker_shared *shared)
{
    w->number = number;
    w->shared = shared;
    w->mail_end = &w->mail;
    w->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOSIGMASK);
    if (!w->loop) return false;
    w->recorder = recorder_new(shared->recording, w->loop);
    if (!w->recorder) {
        ev_loop_destroy(w->loop);
        return false;
    }
    pthread_mutex_init(&w->lock, NULL);
    ev_set_userdata(w->loop, w);
    run_queue_init(&w->run_queue, w->loop);
    mints_init(&w->mints);
    ev_async_init(&w->wake, on_wake);
    w->wake.data = w;
    ev_async_start(w->loop, &w->wake);
    return true;
}

void worker_fini(struct worker *w)
{
    for (int i = 0; i < WORKER_CROWDS; i++) crowd_fini(&w->crowds[i]);
    run_queue_fini(&w->run_queue);
    recorder_free(w->recorder);
    signer_free(w->signer);
    ev_loop_destroy(w->loop);
    pthread_mutex_destroy(&w->lock);
    explicit_bzero(&w->ticket_keys, sizeof w->ticket_keys);
}
