#include "runtime/signer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUCKETS = 256, BATCH = 16 };

/* Orders are sent together before the loop waits: each wake-up of the keeper costs as much as a
 * signature. */
struct unsent {
    struct unsent *next;
    size_t size;
    uint8_t order[]; /* its bytes */
};

struct signer {
    struct ev_loop *loop;
    int fd; /* -1: closed */
    ev_io io;
    ev_prepare gathered; /* active: send before the loop waits */
    uint32_t last_id;
    unsigned awaited; /* answers that have not come, also for those who no longer want them */
    struct signing *buckets[BUCKETS];
    struct unsent *unsent, **unsent_end;
    struct sign_answer answer; /* for one call's use */
};

bool signing_waits(const struct signing *question)
{
    return question->link != NULL;
}

void signing_forget(struct signing *question)
{
    if (!question->link) return;
    *question->link = question->next;
    if (question->next) question->next->link = question->link;
    question->link = NULL;
}

static void answer(struct signing *question, const struct sign_answer *with)
{
    signing_forget(question);
    question->answered(question, with);
}

static void drop_unsent(struct signer *s)
{
    struct unsent *u = s->unsent;
    s->unsent = u->next;
    if (!s->unsent) s->unsent_end = &s->unsent;
    free(u);
}

/* The keeper is gone: nobody has to wait. */
static void lose(struct signer *s)
{
    if (s->fd < 0) return;
    ev_io_stop(s->loop, &s->io);
    ev_prepare_stop(s->loop, &s->gathered);
    close(s->fd);
    s->fd = -1;
    while (s->unsent) drop_unsent(s);
    for (size_t i = 0; i < BUCKETS; i++)
        while (s->buckets[i]) answer(s->buckets[i], NULL);
}

static void watch(struct signer *s)
{
    int events = EV_READ | (s->unsent ? EV_WRITE : 0);
    if (s->fd < 0 || (ev_is_active(&s->io) && s->io.events == events)) return;
    ev_io_stop(s->loop, &s->io);
    ev_io_set(&s->io, s->fd, events);
    ev_io_start(s->loop, &s->io);
}

static void send_all(struct signer *s)
{
    while (s->unsent) {
        struct mmsghdr messages[BATCH];
        struct iovec parts[BATCH];
        unsigned n = 0;
        for (struct unsent *u = s->unsent; u && n < BATCH; u = u->next, n++) {
            parts[n] = (struct iovec){u->order, u->size};
            messages[n] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[n], .msg_iovlen = 1}};
        }
        int sent = sendmmsg(s->fd, messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return; /* when there is room, or the end is read */
        while (sent-- > 0) drop_unsent(s);
    }
}

static void on_gathered(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)events;
    struct signer *s = prepare->data;
    ev_prepare_stop(loop, prepare);
    send_all(s);
    watch(s);
}

/* A share: each signature continues a handshake, and a leaf begins several. */
static void receive(struct signer *s)
{
    enum { SHARE = 16 };
    bool leaf = false;
    for (int i = 0; i < SHARE && !leaf && s->awaited > 0 && s->fd >= 0; i++) {
        struct sign_answer *a = &s->answer;
        ssize_t n = recv(s->fd, a, sizeof *a, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < (ssize_t)SIGN_ANSWER_HEAD || (size_t)n - SIGN_ANSWER_HEAD != a->size) {
            lose(s);
            return;
        }
        s->awaited--;
        leaf = a->size > SIGNING_SIZE;
        struct signing *q = s->buckets[a->id % BUCKETS];
        while (q && q->id != a->id) q = q->next;
        if (q) answer(q, a);
    }
}

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct signer *s = io->data;
    if (events & EV_WRITE) send_all(s);
    if (events & EV_READ) receive(s);
    watch(s);
}

struct signer *signer_new(struct ev_loop *loop, int fd)
{
    struct signer *s = calloc(1, sizeof *s);
    if (!s) {
        if (fd >= 0) close(fd);
        return NULL;
    }
    s->loop = loop;
    s->fd = fd;
    s->unsent_end = &s->unsent;
    ev_init(&s->io, on_socket);
    ev_prepare_init(&s->gathered, on_gathered);
    s->io.data = s->gathered.data = s;
    watch(s);
    return s;
}

void signer_free(struct signer *s)
{
    if (!s) return;
    lose(s);
    free(s);
}

static bool send_later(struct signer *s, const struct sign_order *order, size_t size)
{
    struct unsent *u = malloc(sizeof *u + size);
    if (!u) return false;
    u->next = NULL;
    u->size = size;
    memcpy(u->order, order, size);
    *s->unsent_end = u;
    s->unsent_end = &u->next;
    if (!ev_is_active(&s->io) || !(s->io.events & EV_WRITE))
        ev_prepare_start(s->loop, &s->gathered);
    return true;
}

bool signer_ask(struct signer *s, struct signing *question, struct sign_order *order,
                void (*answered)(struct signing *s, const struct sign_answer *answer))
{
    size_t size = order->what == SIGN_LEAF ? sizeof *order : SIGN_ORDER_SHORT;
    if (s->fd < 0) return false;
    order->id = ++s->last_id;
    if (!send_later(s, order, size)) return false;
    s->awaited++;
    struct signing **bucket = &s->buckets[order->id % BUCKETS];
    *question =
        (struct signing){.next = *bucket, .link = bucket, .id = order->id, .answered = answered};
    if (question->next) question->next->link = &question->next;
    *bucket = question;
    return true;
}
