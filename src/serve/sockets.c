#include "serve/sockets.h"

#include "base/diag.h"
#include "base/errand.h"
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the system does not say. */
static const char *hint(const struct listen_config *l, const struct addr *where, int fault)
{
    enum { FIRST_FREE_PORT = 1024 };
    if (fault == EPERM && l->transparent == TRANSPARENT_TPROXY)
        return " (tproxy needs CAP_NET_RAW or CAP_NET_ADMIN)";
    if (fault == EACCES && addr_port(where) < FIRST_FREE_PORT)
        return " (a port below 1024 needs CAP_NET_BIND_SERVICE: let root start it, with [process] "
               "user, or give the service that capability, as conf/suitegate.service does)";
    return "";
}

static void complain(const struct loaded_config *loaded, size_t i, int fault, struct text *errors)
{
    char where[ADDR_TEXT_SIZE];
    const struct listen_config *l = &loaded->config->listeners[i];
    const struct addr *a = &loaded->listener_addresses[i];
    addr_format(a, where);
    text_printf(errors, "listener %s cannot listen on %s: %s%s\n", l->name, where, strerror(fault),
                hint(l, a, fault));
}

/* One on port 0 is found by its name, and keeps its port. */
static struct listening *find_running(const struct sockets_there *there,
                                      const struct loaded_config *loaded, size_t i)
{
    const struct sockets *running = there->running;
    const struct listen_config *l = &loaded->config->listeners[i];
    const struct addr *wanted = &loaded->listener_addresses[i];
    for (size_t k = 0; running && k < running->n; k++) {
        const struct listen_config *r = &there->running_config->config->listeners[k];
        const struct addr *a = &running->items[k]->address;
        bool free_port = addr_port(&l->address) == 0 && addr_port(&r->address) == 0 &&
                         strcmp(l->name, r->name) == 0;
        bool same_kind = (l->type == LISTEN_PUBLISH) == (r->type == LISTEN_PUBLISH);
        if (l->systemd) {
            if (same_kind && r->systemd && strcmp(l->systemd, r->systemd) == 0)
                return running->items[k];
            continue;
        }
        if (same_kind && addr_same_ip(a, wanted) &&
            (free_port || addr_port(a) == addr_port(wanted)))
            return running->items[k];
    }
    return NULL;
}

static void drop(struct listening *l)
{
    if (!l || --l->references > 0) return;
    for (unsigned k = 0; k < l->n; k++) close(l->fds[k]);
    free(l);
}

/* Takes fd; -1: with errno. The first one has chosen the port. */
static bool add(struct listening *l, const struct listen_config *config, int fd)
{
    struct sockaddr_storage chosen = {0};
    socklen_t size = sizeof chosen;
    const int on = 1;
    if (fd < 0) return false;
    l->fds[l->n++] = fd;
    /* Who gets a copy cannot put a filter on it. */
    (void)!setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on);
    if (getsockname(fd, (struct sockaddr *)&chosen, &size) < 0) return false;
    l->address = addr_from_sockaddr((struct sockaddr *)&chosen, size);
    return config->transparent != TRANSPARENT_TPROXY || listener_take_any(fd, &l->address);
}

/* One that was handed over is the socket of all workers. */
static int copy_first(const struct listening *l)
{
    return fcntl(l->fds[0], F_DUPFD_CLOEXEC, 0);
}

static int next_fd(struct listening *l, const struct listen_config *config, size_t handed,
                   struct inherited *inherited)
{
    if (handed == 0) return listener_open(&l->address);
    /* The port may be chosen by now. */
    return l->n < handed ? inherited_next(inherited, &config->where, config->name, &l->kept)
                         : copy_first(l);
}

static struct listening *open_address(struct loaded_config *loaded, size_t i,
                                      struct inherited *inherited, struct text *errors)
{
    const struct listen_config *config = &loaded->config->listeners[i];
    unsigned count = config->type == LISTEN_PUBLISH ? 1 : loaded->config->proxy.workers;
    size_t handed = inherited_count(inherited, &config->where, config->name);
    if (config->systemd && handed == 0) {
        text_printf(errors,
                    "listener %s: no socket %s was handed over: its socket unit wants "
                    "FileDescriptorName=%s, and the process a restart\n",
                    config->name, config->systemd, config->systemd);
        return NULL;
    }
    if (handed > 1 && handed != count) {
        text_printf(errors,
                    "listener %s: %zu sockets were handed over, one or %u are needed "
                    "([proxy] workers)\n",
                    config->name, handed, count);
        return NULL;
    }
    struct listening *l = calloc(1, sizeof *l + count * sizeof l->fds[0]);
    if (!l) return NULL;
    l->address = loaded->listener_addresses[i];
    l->references = 1;
    while (l->n < count && add(l, config, next_fd(l, config, handed, inherited))) continue;
    if (l->n == count && addr_port(&l->address) != 0) return l;
    complain(loaded, i, errno, errors);
    drop(l);
    return NULL;
}

/* A port chosen for one listener may be configured for another by now. */
static bool is_twice(const struct loaded_config *loaded, size_t i)
{
    const struct addr *a = &loaded->listener_addresses[i];
    for (size_t k = 0; k < i; k++) {
        const struct addr *b = &loaded->listener_addresses[k];
        if (addr_same_ip(a, b) && addr_port(a) == addr_port(b)) return true;
    }
    return false;
}

/* The transparent option of an address that stays may be another. */
static bool keep(struct listening *l, const struct listen_config *config)
{
    l->references++;
    for (unsigned k = 0; k < l->n && config->transparent == TRANSPARENT_TPROXY; k++)
        if (!listener_take_any(l->fds[k], &l->address)) return false;
    return true;
}

/* Does this process listen there already, for a listener of another kind, or since its start? */
static bool is_own(const struct sockets_there *there, const struct listen_config *config,
                   const struct addr *address)
{
    const struct sockets *running = there->running;
    const struct listen_address here = {.address = *address};
    if (inherited_count(there->inherited, &here, config->name) > 0) return true;
    for (size_t k = 0; running && k < running->n; k++) {
        const struct addr *a = &running->items[k]->address;
        if (addr_same_ip(a, address) && addr_port(a) == addr_port(address)) return true;
    }
    return false;
}

/* All at first: what is opened here would be found in use. */
static bool probe(const struct sockets *s, const struct loaded_config *loaded,
                  const struct sockets_there *there, struct text *errors)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct addr *a = &loaded->listener_addresses[i];
        const struct listen_config *config = &loaded->config->listeners[i];
        bool own = s->items[i] || addr_port(a) == 0 || is_own(there, config, a);
        int fault = own ? 0 : listener_probe(a);
        if (fault) complain(loaded, i, fault, errors);
    }
    return errors->size == 0;
}

static bool open_all(struct sockets *s, struct loaded_config *loaded, struct inherited *inherited,
                     struct text *errors)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!s->items[i] && !(s->items[i] = open_address(loaded, i, inherited, errors)))
            return false;
        loaded->listener_addresses[i] = s->items[i]->address;
        if (is_twice(loaded, i)) {
            complain(loaded, i, EADDRINUSE, errors);
            return false;
        }
    }
    return true;
}

/* The running one's, the former keeper's, or a new one. */
static bool open_operate(struct sockets *s, const struct loaded_config *loaded,
                         const struct sockets_there *there, struct text *errors)
{
    const struct endpoint *place = &loaded->config->operate.address;
    if (!endpoint_is_given(place)) return true;
    struct listening *running = there->running ? there->running->operate : NULL;
    if (running && operate_socket_is(running->fds[0], place, &running->file)) {
        running->references++;
        s->operate = running;
        return true;
    }
    struct listening *l = calloc(1, sizeof *l + sizeof l->fds[0]);
    if (!l) return false;
    int *given = there->inherited ? &there->inherited->operate : NULL;
    bool take = given && operate_socket_is(*given, place, NULL);
    *l = (struct listening){.n = 1, .references = 1};
    l->fds[0] = take ? *given : operate_socket_open(place, errors);
    if (take) *given = -1;
    l->file = operate_socket_file(place);
    if (l->fds[0] >= 0)
        s->operate = l;
    else
        free(l);
    return s->operate != NULL;
}

bool sockets_open(struct sockets *s, struct loaded_config *loaded,
                  const struct sockets_there *there, struct text *errors)
{
    size_t n = loaded->config->listener_count;
    *s = (struct sockets){calloc(n, sizeof(struct listening *)), n, NULL};
    bool ok = s->items != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        s->items[i] = find_running(there, loaded, i);
        if (!s->items[i] || keep(s->items[i], &loaded->config->listeners[i])) continue;
        complain(loaded, i, errno, errors);
        ok = false;
    }
    ok = ok && probe(s, loaded, there, errors) && open_all(s, loaded, there->inherited, errors) &&
         open_operate(s, loaded, there, errors);
    if (ok) return true;
    if (errors->size == 0) text_add(errors, "out of memory\n");
    sockets_close(s);
    return false;
}

static bool listens(int fd)
{
    int accepts = 0;
    socklen_t size = sizeof accepts;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) == 0 && accepts;
}

void sockets_mend(struct sockets *s, const struct loaded_config *loaded)
{
    for (size_t i = 0; i < s->n; i++) {
        struct listening *l = s->items[i];
        const struct listen_config *config = &loaded->config->listeners[i];
        unsigned count = l->n;
        bool all = true;
        for (unsigned k = 0; k < count; k++) all = listens(l->fds[k]) && all;
        if (all) continue;
        diag_error("listener %s no longer listens: it is opened again", config->name);
        for (unsigned k = 0; k < count; k++) close(l->fds[k]);
        l->n = 0;
        while (l->n < count && add(l, config, listener_open(&l->address))) continue;
        if (l->n < count) diag_error("listener %s: %s", config->name, strerror(errno));
    }
}

static void on_remove(void *arg)
{
    const struct listening *l = arg;
    operate_socket_remove(l->fds[0], &l->file);
}

void sockets_close(struct sockets *s)
{
    for (size_t i = 0; s->items && i < s->n; i++) drop(s->items[i]);
    free(s->items);
    if (s->operate && s->operate->references == 1 && !s->operate->kept)
        errand_run(on_remove, s->operate);
    drop(s->operate);
    *s = (struct sockets){NULL, 0, NULL};
}
