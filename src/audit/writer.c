#include "audit/writer.h"

#include "audit/fallback.h"
#include "base/clock.h"
#include "base/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Records that nobody waits for are gathered for GATHER_MS: a wake-up of this thread costs more
 * than a record. */
enum { BATCH = 64, RETRY_MS = 200, GATHER_MS = 5 };

struct item {
    struct item *next;
    char *line;
    size_t size;
    bool counted; /* part of queue_size */
    struct audit_offer *offer;
    struct writer_reply reply; /* answer NULL: nobody waits */
};

struct list {
    struct item *head, **tail;
};

struct writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list incoming; /* under lock, with all up to new_fd */
    bool stopping;
    bool urgent; /* somebody waits for what came in */
    bool asleep; /* whatever comes has to wake the thread */
    int new_fd;  /* to take over, -1: none */
    struct audit_policy policy;
    char profile[16], digest[65];

    atomic_bool failing;
    atomic_size_t queued;    /* incoming and pending */
    atomic_size_t uncounted; /* refusals that found no room */

    /* The thread's own. */
    int fd;
    struct list pending;
    size_t written; /* bytes of pending's first line that are in the file */
    struct fallback_memory *memory;
};

static void list_clear(struct list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static void list_add(struct list *l, struct item *i)
{
    i->next = NULL;
    *l->tail = i;
    l->tail = &i->next;
}

/* Non-blocking, so that a pipe that nobody reads cannot hold the thread. */
static int open_file(const char *path, struct text *errors)
{
    enum { FLAGS = O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY };
    bool standard = strcmp(path, "-") == 0;
    /* A description of our own: the terminal or pipe may be shared with others. */
    const char *name = standard ? "/proc/self/fd/1" : path;
    int fd = standard ? -1 : open(name, O_RDWR | O_CREAT | FLAGS, 0640);
    /* Some devices are writable only. */
    if (fd < 0) fd = open(name, O_WRONLY | FLAGS);
    if (fd < 0 && standard) fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) text_printf(errors, "audit file %s: %s\n", path, strerror(errno));
    return fd;
}

/* A process that was killed, or a disk that was full, may have left half a line. */
static void end_half_line(int fd)
{
    struct stat st;
    char last = '\n';
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n' && write(fd, "\n", 1) < 0)
        diag_warning("the audit file ends in half a line: %s", strerror(errno));
}

static void item_free(struct item *i)
{
    free(i->line);
    free(i->offer);
    free(i);
}

static void answer(struct item *i, bool written)
{
    if (!i->reply.answer) return;
    i->reply.answer(i->reply.context, i->reply.token, written);
    i->reply.answer = NULL;
}

static struct item *item_new(char *line, const struct audit_offer *offer,
                             const struct writer_reply *reply)
{
    struct item *i = line ? calloc(1, sizeof *i) : NULL;
    if (!i) return NULL;
    if (offer && offer->present) {
        i->offer = malloc(sizeof *i->offer);
        if (i->offer) *i->offer = *offer;
    }
    i->line = line;
    i->size = strlen(line);
    if (reply) i->reply = *reply;
    return i;
}

/* A fallback record stands right behind the record of the attempt that shows it. */
static void notice_offer(struct writer *w, struct item *i)
{
    struct audit_offer before;
    struct text line = {0};
    struct timespec now;
    if (!i->offer || !fallback_notice(w->memory, i->offer, clock_steady_ns(), &before)) return;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&w->lock);
    audit_render_fallback(&before, i->offer, now, &w->policy, &line);
    pthread_mutex_unlock(&w->lock);
    struct item *extra = item_new(text_take(&line), NULL, NULL);
    if (!extra) {
        diag_error("out of memory: a client_fallback_retry record is lost");
        return;
    }
    atomic_fetch_add(&w->queued, 1);
    list_add(&w->pending, extra);
}

static void take_incoming(struct writer *w, struct item *items)
{
    while (items) {
        struct item *i = items;
        items = i->next;
        list_add(&w->pending, i);
        notice_offer(w, i);
    }
}

/* The first n bytes of the pending lines are in the file: drop whole lines, answer. */
static void account(struct writer *w, size_t n)
{
    n += w->written;
    while (w->pending.head && n >= w->pending.head->size) {
        struct item *i = w->pending.head;
        n -= i->size;
        w->pending.head = i->next;
        if (!w->pending.head) w->pending.tail = &w->pending.head;
        atomic_fetch_sub(&w->queued, 1);
        answer(i, true);
        item_free(i);
    }
    w->written = n;
}

/* False, with errno, when the file took nothing. */
static bool write_batch(struct writer *w)
{
    struct iovec parts[BATCH];
    int count = 0;
    for (struct item *i = w->pending.head; i && count < BATCH; i = i->next) {
        size_t skip = i == w->pending.head ? w->written : 0;
        parts[count++] = (struct iovec){i->line + skip, i->size - skip};
    }
    ssize_t n = writev(w->fd, parts, count);
    if (n < 0 && errno == EINTR) return true;
    struct pollfd slow = {.fd = w->fd, .events = POLLOUT};
    if (n < 0 && errno == EAGAIN && poll(&slow, 1, RETRY_MS) > 0 && slow.revents == POLLOUT)
        return true; /* a reader that is only slow */
    if (n <= 0) {
        if (n == 0) errno = ENOSPC;
        return false;
    }
    account(w, (size_t)n);
    return true;
}

static void begin_failing(struct writer *w, int fault)
{
    if (!atomic_exchange(&w->failing, true))
        diag_error("the audit file cannot be written (%s): new connections are refused until it "
                   "can",
                   strerror(fault));
    /* Who waits learns that it is not written; the record itself stays queued. */
    for (struct item *i = w->pending.head; i; i = i->next) answer(i, false);
}

static void end_failing(struct writer *w)
{
    if (!atomic_exchange(&w->failing, false)) return;
    size_t lost = atomic_exchange(&w->uncounted, 0);
    diag_info("the audit file can be written again");
    if (lost) diag_warning("%zu refusals meanwhile found no room in the queue", lost);
}

/* The file was opened anew: another one after a rotation, or the same one. */
static void change_file(struct writer *w, int fd)
{
    struct stat before, after;
    if (fd < 0) return;
    bool same = fstat(w->fd, &before) == 0 && fstat(fd, &after) == 0 &&
                before.st_dev == after.st_dev && before.st_ino == after.st_ino;
    if (!same) {
        /* The line that was cut short goes whole into the new file, and out of the old one. */
        if (w->written > 0 && fstat(w->fd, &before) == 0 && S_ISREG(before.st_mode) &&
            ftruncate(w->fd, before.st_size - (off_t)w->written) < 0)
            diag_warning("the old audit file ends in half a line: %s", strerror(errno));
        w->written = 0;
        end_half_line(fd);
    }
    close(w->fd);
    w->fd = fd;
}

/* Until something has to be done at once, at most for so long. */
static void rest(struct writer *w, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!w->urgent && !w->stopping && w->new_fd < 0 &&
           pthread_cond_timedwait(&w->wake, &w->lock, &until) == 0)
        ;
}

static void wait_for_work(struct writer *w, bool retry)
{
    rest(w, retry ? RETRY_MS : GATHER_MS);
    w->asleep = true;
    while (!retry && !w->incoming.head && !w->stopping && w->new_fd < 0)
        pthread_cond_wait(&w->wake, &w->lock);
    w->asleep = false;
    w->urgent = false;
}

static void *run(void *arg)
{
    struct writer *w = arg;
    for (;;) {
        pthread_mutex_lock(&w->lock);
        wait_for_work(w, w->pending.head != NULL);
        struct item *items = w->incoming.head;
        list_clear(&w->incoming);
        int fd = w->new_fd;
        w->new_fd = -1;
        bool stopping = w->stopping;
        pthread_mutex_unlock(&w->lock);

        change_file(w, fd);
        take_incoming(w, items);
        bool ok = true;
        while (ok && w->pending.head) ok = write_batch(w);
        if (!ok)
            begin_failing(w, errno);
        else
            end_failing(w);
        if (stopping) return NULL;
    }
}

struct writer *writer_new(const char *path, struct text *errors)
{
    struct writer *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    list_clear(&w->incoming);
    list_clear(&w->pending);
    w->new_fd = -1;
    w->policy = (struct audit_policy){w->profile, w->digest};
    w->fd = open_file(path, errors);
    if (w->fd >= 0) end_half_line(w->fd);
    w->memory = fallback_memory_new();
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (w->fd >= 0 && w->memory && pthread_create(&w->thread, NULL, run, w) == 0) return w;
    if (w->fd >= 0) text_add(errors, "audit: out of memory or threads\n");
    if (w->fd >= 0) close(w->fd);
    fallback_memory_free(w->memory);
    free(w);
    return NULL;
}

size_t writer_free(struct writer *w)
{
    size_t left = 0;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    while (w->pending.head) {
        struct item *i = w->pending.head;
        w->pending.head = i->next;
        item_free(i);
        left++;
    }
    left += atomic_load(&w->uncounted);
    close(w->fd);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    fallback_memory_free(w->memory);
    free(w);
    return left;
}

void writer_submit(struct writer *w, char *line, const struct audit_offer *offer,
                   const struct writer_reply *reply)
{
    struct item *i = item_new(line, offer, reply);
    if (!i) {
        static int64_t last;
        free(line);
        atomic_fetch_add(&w->uncounted, 1);
        if (diag_due(&last, 1000000000)) diag_error("out of memory: an audit record is lost");
        if (reply) reply->answer(reply->context, reply->token, false);
        return;
    }
    atomic_fetch_add(&w->queued, 1);
    pthread_mutex_lock(&w->lock);
    list_add(&w->incoming, i);
    bool wake = w->asleep || (reply && !w->urgent);
    w->asleep = false;
    w->urgent = w->urgent || reply;
    if (wake) pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

bool writer_available(struct writer *w)
{
    return !atomic_load_explicit(&w->failing, memory_order_relaxed) &&
           atomic_load_explicit(&w->queued, memory_order_relaxed) < WRITER_QUEUE_LIMIT;
}

bool writer_has_room(struct writer *w)
{
    if (atomic_load(&w->queued) < WRITER_QUEUE_LIMIT) return true;
    atomic_fetch_add(&w->uncounted, 1);
    return false;
}

bool writer_reopen(struct writer *w, const char *path, struct text *errors)
{
    int fd = open_file(path, errors);
    if (fd < 0) return false;
    pthread_mutex_lock(&w->lock);
    if (w->new_fd >= 0) close(w->new_fd);
    w->new_fd = fd;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    return true;
}

void writer_set_policy(struct writer *w, const struct audit_policy *policy)
{
    pthread_mutex_lock(&w->lock);
    snprintf(w->profile, sizeof w->profile, "%s", policy->profile);
    snprintf(w->digest, sizeof w->digest, "%s", policy->digest);
    pthread_mutex_unlock(&w->lock);
}
