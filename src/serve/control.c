#include "serve/control.h"

#include "serve/control_order.h"

#include "base/diag.h"
#include "base/post.h"
#include "pki/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKLOG = 64, CLIENTS_LIMIT = 256 };
static const double pause_s = .1;

struct client {
    struct client *next;
    struct control *control;
    int end;
    ev_io io;
    const char *waits_for; /* CONTROL_UPGRADE, CONTROL_RELOAD or NULL */
    bool follows;
};

struct control {
    struct ev_loop *loop;
    struct control_events events;
    int fd;
    ev_io io;
    struct client *clients;
    size_t count;
    bool listens, closing;
    ev_timer pause; /* active: no descriptor was free */
};

/* ---- the name ---- */

static bool absolute_path(const char *file, struct text *out)
{
    char here[4096];
    while (strncmp(file, "./", 2) == 0) file += 2;
    if (file[0] != '/') {
        if (!getcwd(here, sizeof here)) return false;
        text_printf(out, "%s/", here);
    }
    text_add(out, file);
    return !out->failed;
}

static bool name_socket(const char *config_file, struct sockaddr_un *name, socklen_t *size)
{
    struct text path = {0};
    uint8_t digest[32];
    char hex[65];
    bool ok = absolute_path(config_file, &path) && digest_sha256(path.data, path.size, digest);
    text_fini(&path);
    if (!ok) return false;
    text_hex(digest, sizeof digest, hex);
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(name->sun_path + 1, sizeof name->sun_path - 1, "suitegate/%s", hex);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    return true;
}

static bool is_trusted(int end, struct ucred *peer)
{
    socklen_t n = sizeof *peer;
    *peer = (struct ucred){.uid = (uid_t)-1};
    bool known = getsockopt(end, SOL_SOCKET, SO_PEERCRED, peer, &n) == 0;
    return known && (peer->uid == 0 || peer->uid == geteuid());
}

/* ---- requests ---- */

static void client_free(struct client *client)
{
    ev_io_stop(client->control->loop, &client->io);
    close(client->end);
    free(client);
}

static void drop(struct client *client)
{
    struct control *c = client->control;
    struct client **at = &c->clients;
    while (*at != client) at = &(*at)->next;
    *at = client->next;
    c->count--;
    client_free(client);
}

static void answer(const struct client *client, const char *what, const char *text, int fd)
{
    struct text message = {0};
    post_put(&message, what);
    post_put(&message, text);
    if (message.size > POST_LIMIT) message.size = POST_LIMIT;
    if (!message.failed) message.data[message.size - 1] = '\0';
    (void)!post_send(client->end, &message, fd);
    text_fini(&message);
}

static void follow(struct client *client)
{
    const struct control_events *events = &client->control->events;
    int post = events->clerk(events->arg);
    client->follows = post >= 0;
    if (post >= 0)
        answer(client, CONTROL_DONE, "", post);
    else
        answer(client, CONTROL_REFUSED, "there is no clerk now\n", -1);
    if (post >= 0) close(post);
    if (client->follows && client->control->closing) answer(client, CONTROL_CLOSE, "", -1);
}

/* pipe: what came with it; -1: none. */
static void show_status(const struct client *client, const char *form, int pipe)
{
    const struct control_events *events = &client->control->events;
    if (form && pipe >= 0 && events->status(events->arg, form, pipe))
        answer(client, CONTROL_DONE, "", -1);
    else
        answer(client, CONTROL_REFUSED, "the proxy does not run now\n", -1);
}

static void obey(struct client *client, const struct text *order, int fd)
{
    const struct control_events *events = &client->control->events;
    size_t at = 0;
    const char *what = post_next(order, &at);
    if (what && strcmp(what, CONTROL_FOLLOW) == 0) {
        follow(client);
    } else if (what && strcmp(what, CONTROL_UPGRADE) == 0) {
        client->waits_for = CONTROL_UPGRADE;
        events->upgrade(events->arg);
    } else if (what && strcmp(what, CONTROL_RELOAD) == 0) {
        client->waits_for = CONTROL_RELOAD;
        events->reload(events->arg);
    } else if (what && strcmp(what, CONTROL_STATUS) == 0) {
        show_status(client, post_next(order, &at), fd);
    } else if (what && strcmp(what, CONTROL_STOP) == 0) {
        answer(client, CONTROL_DONE, "", -1);
        events->stop(events->arg);
    } else {
        answer(client, CONTROL_REFUSED, "this keeper does not know the command\n", -1);
    }
}

static void on_client(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct client *client = io->data;
    struct control *c = client->control;
    struct text order = {0};
    int fd = -1;
    if (post_receive(client->end, &order, &fd)) {
        obey(client, &order, fd);
        if (fd >= 0) close(fd);
    } else if (errno != EAGAIN && errno != ENOMEM) {
        bool followed = client->follows;
        drop(client);
        if (followed) c->events.left(c->events.arg);
    }
    text_fini(&order);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct control *c = timer->data;
    ev_timer_stop(loop, timer);
    if (c->listens) ev_io_start(loop, &c->io);
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct control *c = io->data;
    struct ucred peer;
    int end = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (end < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        ev_io_stop(loop, io);
        ev_timer_again(loop, &c->pause);
    }
    if (end < 0) return;
    struct client *client = is_trusted(end, &peer) && !c->events.is_part(c->events.arg, peer.pid) &&
                                    c->count < CLIENTS_LIMIT
                                ? calloc(1, sizeof *client)
                                : NULL;
    if (!client) {
        close(end);
        return;
    }
    *client = (struct client){.next = c->clients, .control = c, .end = end};
    c->clients = client;
    c->count++;
    ev_io_init(&client->io, on_client, end, EV_READ);
    client->io.data = client;
    ev_io_start(loop, &client->io);
}

/* ---- the keeper's calls ---- */

static int open_socket(const char *config_file, struct text *errors)
{
    struct sockaddr_un name;
    socklen_t size;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && name_socket(config_file, &name, &size) &&
        bind(fd, (const struct sockaddr *)&name, size) == 0)
        return fd;
    if (errno == EADDRINUSE)
        text_add(errors, "another process has the name of this configuration's keeper: suitegate "
                         "upgrade finds that one\n");
    else
        text_printf(errors, "no control socket: %s\n", strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

struct control *control_new(struct ev_loop *loop, const char *config_file, int inherited,
                            const struct control_events *events, struct text *errors)
{
    int fd = inherited >= 0 ? inherited : open_socket(config_file, errors);
    struct control *c = fd < 0 ? NULL : calloc(1, sizeof *c);
    if (!c) {
        if (fd >= 0) close(fd);
        return NULL;
    }
    *c = (struct control){.loop = loop, .events = *events, .fd = fd};
    ev_io_init(&c->io, on_connection, fd, EV_READ);
    ev_timer_init(&c->pause, on_pause_over, 0., pause_s);
    c->io.data = c->pause.data = c;
    return c;
}

void control_listen(struct control *c, bool on)
{
    if (!c) return;
    ev_io_stop(c->loop, &c->io);
    c->listens = on;
    /* Each keeper anew: whoever connects learns whose socket it is. */
    if (!on) return;
    if (listen(c->fd, BACKLOG) < 0) diag_error("the control socket: %s", strerror(errno));
    ev_io_start(c->loop, &c->io);
}

int control_socket(const struct control *c)
{
    return c ? c->fd : -1;
}

void control_answer(struct control *c, const char *what, bool done, const char *text)
{
    for (struct client *client = c ? c->clients : NULL; client; client = client->next) {
        if (!client->waits_for || strcmp(client->waits_for, what) != 0) continue;
        client->waits_for = NULL;
        answer(client, done ? CONTROL_DONE : CONTROL_REFUSED, text, -1);
    }
}

size_t control_followers(const struct control *c)
{
    size_t n = 0;
    for (const struct client *client = c ? c->clients : NULL; client; client = client->next)
        n += client->follows;
    return n;
}

void control_close_followers(struct control *c)
{
    if (c) c->closing = true; /* late ones, too */
    for (const struct client *client = c ? c->clients : NULL; client; client = client->next)
        if (client->follows) answer(client, CONTROL_CLOSE, "", -1);
}

void control_retire(struct control *c)
{
    if (!c) return;
    control_listen(c, false);
    for (struct client *client = c->clients, *next; client; client = next) {
        next = client->next;
        if (!client->waits_for) drop(client);
    }
}

void control_free(struct control *c)
{
    if (!c) return;
    for (struct client *client = c->clients, *next; client; client = next) {
        next = client->next;
        client_free(client);
    }
    ev_io_stop(c->loop, &c->io);
    ev_timer_stop(c->loop, &c->pause);
    close(c->fd);
    free(c);
}

/* ---- for others ---- */

int control_connect(const char *config_file, enum control_trust trust, int seconds,
                    struct text *errors)
{
    struct sockaddr_un name;
    socklen_t size;
    struct ucred peer;
    int end = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool ok = end >= 0 && name_socket(config_file, &name, &size);
    if (ok) post_set_wait(end, seconds);
    if (ok && connect(end, (const struct sockaddr *)&name, size) == 0) {
        if (is_trusted(end, &peer)) return end;
        if (trust == CONTROL_ASKED && geteuid() == 0) {
            diag_info("the process that answers belongs to user %u", (unsigned)peer.uid);
            return end;
        }
        text_printf(errors, "user %u runs what answers for %s\n", (unsigned)peer.uid, config_file);
    } else {
        text_printf(errors, "no suitegate run with %s is found here: %s\n", config_file,
                    errno == ECONNREFUSED ? "is it running, with the same path?" : strerror(errno));
    }
    if (end >= 0) close(end);
    return -1;
}

pid_t control_process(int end)
{
    struct ucred peer = {.pid = 0};
    socklen_t n = sizeof peer;
    return getsockopt(end, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 ? peer.pid : 0;
}

bool control_ask(int end, const char *what, struct text *answer, int *fd)
{
    struct text order = {0};
    post_put(&order, what);
    bool ok = post_send(end, &order, -1) && post_receive(end, answer, fd);
    text_fini(&order);
    return ok;
}

bool control_ask_status(int end, const char *form, int pipe, struct text *answer)
{
    struct text order = {0};
    post_put(&order, CONTROL_STATUS);
    post_put(&order, form);
    bool ok = post_send(end, &order, pipe) && post_receive(end, answer, NULL);
    text_fini(&order);
    return ok;
}
