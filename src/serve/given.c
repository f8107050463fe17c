#include "serve/given.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct given_socket {
    size_t listener, worker;
    int fd; /* -1: taken */
};

void given_add(struct given *g, size_t listener, size_t worker, int fd)
{
    if (fd < 0) return;
    struct given_socket *more = realloc(g->items, (g->n + 1) * sizeof *more);
    if (!more) {
        close(fd);
        return;
    }
    g->items = more;
    g->items[g->n++] = (struct given_socket){listener, worker, fd};
}

void given_drop(struct given *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->items[i].fd >= 0) close(g->items[i].fd);
    free(g->items);
    *g = (struct given){NULL, 0};
}

/* NULL: there is none. */
static int *find(const struct given *g, size_t listener, size_t worker)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->items[i].listener == listener && g->items[i].worker == worker)
            return &g->items[i].fd;
    return NULL;
}

int given_take(struct given *g, size_t listener, size_t worker)
{
    int *place = find(g, listener, worker), fd = place ? *place : -1;
    if (place) *place = -1;
    return fd;
}

bool given_set_addresses(const struct given *g, struct loaded_config *loaded, struct text *errors)
{
    for (size_t i = 0; i < loaded->config->listener_count; i++) {
        struct sockaddr_storage at = {0};
        socklen_t size = sizeof at;
        const int *fd = find(g, i, 0);
        if (!fd || getsockname(*fd, (struct sockaddr *)&at, &size) < 0) {
            text_printf(errors, "listener %s: no descriptor for its socket\n",
                        loaded->config->listeners[i].name);
            return false;
        }
        loaded->listener_addresses[i] = addr_from_sockaddr((struct sockaddr *)&at, size);
    }
    return true;
}

void given_lend(const struct given *g, size_t worker, int *sockets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int *fd = find(g, i, worker);
        sockets[i] = fd ? *fd : -1;
    }
}

void given_return(struct given *g, size_t worker, const int *sockets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int *fd = find(g, i, worker);
        if (fd) *fd = sockets[i];
    }
}
