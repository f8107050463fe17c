#include "serve/addresses.h"

#include "net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The running listener with this one's address, or NULL. One on port 0 is found by its name, and
 * keeps its port. */
static const struct addr *running_address(const struct loaded_config *running,
                                          const struct loaded_config *loaded, size_t i)
{
    const struct listen_config *l = &loaded->config->listeners[i];
    for (size_t k = 0; running && k < running->config->listener_count; k++) {
        const struct listen_config *r = &running->config->listeners[k];
        const struct addr *a = &running->listener_addresses[k];
        bool free_port = addr_port(&l->address) == 0 && addr_port(&r->address) == 0 &&
                         strcmp(l->name, r->name) == 0;
        bool same_port = addr_port(a) == addr_port(&loaded->listener_addresses[i]);
        if (addr_same_ip(a, &loaded->listener_addresses[i]) && (free_port || same_port)) return a;
    }
    return NULL;
}

static void complain_of_listener(const struct loaded_config *loaded, size_t i, int fault,
                                 struct text *errors)
{
    char where[ADDR_TEXT_SIZE];
    addr_format(&loaded->listener_addresses[i], where);
    text_printf(errors, "listener %s cannot listen on %s: %s\n", loaded->config->listeners[i].name,
                where, strerror(fault));
}

bool addresses_probe(const struct loaded_config *loaded, const struct loaded_config *running,
                     struct text *errors)
{
    for (size_t i = 0; i < loaded->config->listener_count; i++) {
        const struct addr *a = &loaded->listener_addresses[i];
        bool own = addr_port(a) == 0 || running_address(running, loaded, i);
        int fault = own ? 0 : listener_probe(a);
        if (fault) complain_of_listener(loaded, i, fault, errors);
    }
    return errors->size == 0;
}

void addresses_release(struct addresses_reserved *r)
{
    for (size_t i = 0; i < r->n; i++) close(r->fds[i]);
    free(r->fds);
}

/* A port chosen for one listener may be configured for another by now. */
static bool is_twice(const struct loaded_config *loaded, struct text *errors)
{
    for (size_t i = 0; i < loaded->config->listener_count; i++)
        for (size_t k = 0; k < i; k++) {
            const struct addr *a = &loaded->listener_addresses[i],
                              *b = &loaded->listener_addresses[k];
            if (!addr_same_ip(a, b) || addr_port(a) != addr_port(b)) continue;
            complain_of_listener(loaded, i, EADDRINUSE, errors);
            return true;
        }
    return false;
}

bool addresses_reserve(struct loaded_config *loaded, const struct loaded_config *running,
                       struct addresses_reserved *out, struct text *errors)
{
    size_t n = loaded->config->listener_count;
    *out = (struct addresses_reserved){.fds = calloc(n, sizeof(int))};
    for (size_t i = 0; out->fds && i < n; i++) {
        struct addr *a = &loaded->listener_addresses[i];
        struct sockaddr_storage chosen = {0};
        socklen_t size = sizeof chosen;
        if (addr_port(a)) continue;
        const struct addr *before = running_address(running, loaded, i);
        if (before) {
            *a = *before;
            continue;
        }
        int fd = listener_open(a);
        if (fd < 0 || getsockname(fd, (struct sockaddr *)&chosen, &size) < 0) {
            complain_of_listener(loaded, i, errno, errors);
            if (fd >= 0) close(fd);
            return false;
        }
        out->fds[out->n++] = fd;
        *a = addr_from_sockaddr((struct sockaddr *)&chosen, size);
    }
    return out->fds != NULL && !is_twice(loaded, errors);
}
