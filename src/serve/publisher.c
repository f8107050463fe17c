#include "serve/publisher.h"

#include "base/clock.h"
#include "runtime/sources.h"
#include "serve/publication.h"

#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* What one client may cost. */
enum {
    CONNECTIONS_PER_SOURCE = 64,
    TIMEOUT_S = 15,
    MEMORY = 16 << 10, /* of a connection, for its request */
    SETTLE_STEPS = 20,
    SETTLE_STEP_NS = 10000000,
};

/* It brings a dozen libraries with it, which no other listener needs: so it is not linked. */
#define LIBRARY "libmicrohttpd.so.12"
static struct {
    __typeof__(MHD_start_daemon) *start_daemon;
    __typeof__(MHD_stop_daemon) *stop_daemon;
    __typeof__(MHD_quiesce_daemon) *quiesce_daemon;
    __typeof__(MHD_get_daemon_info) *daemon_info;
    __typeof__(MHD_create_response_from_buffer) *create_response;
    __typeof__(MHD_add_response_header) *add_header;
    __typeof__(MHD_queue_response) *queue_response;
    __typeof__(MHD_destroy_response) *destroy_response;
    __typeof__(MHD_get_connection_info) *connection_info;
    __typeof__(MHD_get_connection_values) *connection_values;
} http;

static bool find(void *library, const char *name, void *place)
{
    void *found = dlsym(library, name);
    memcpy(place, &found, sizeof found);
    return found != NULL;
}

static bool load_library(struct text *errors)
{
    if (http.start_daemon) return true;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library && find(library, "MHD_stop_daemon", &http.stop_daemon) &&
        find(library, "MHD_quiesce_daemon", &http.quiesce_daemon) &&
        find(library, "MHD_get_daemon_info", &http.daemon_info) &&
        find(library, "MHD_create_response_from_buffer", &http.create_response) &&
        find(library, "MHD_add_response_header", &http.add_header) &&
        find(library, "MHD_queue_response", &http.queue_response) &&
        find(library, "MHD_destroy_response", &http.destroy_response) &&
        find(library, "MHD_get_connection_info", &http.connection_info) &&
        find(library, "MHD_get_connection_values", &http.connection_values) &&
        find(library, "MHD_start_daemon", &http.start_daemon))
        return true;
    text_add(errors, "a publish listener needs " LIBRARY ": install libmicrohttpd12\n");
    return false;
}

struct published_listener {
    struct addr address;
    pthread_mutex_t lock;
    const struct listen_config *config; /* these two under the lock */
    const struct publication *publication;
    struct sources *sources;
    struct source *entering; /* accepted, but not begun yet */
    int fd;                  /* the library closes it */
    struct MHD_Daemon *daemon;
};

struct publisher {
    struct publication *publication; /* NULL: no listeners */
    struct place {
        struct published_listener *listener;
        const struct listen_config *config;
        bool borrowed; /* of the old publisher, until publisher_take_over() */
    } * places;
    size_t n;
};

static struct addr address_of(const struct sockaddr *sa)
{
    return addr_from_sockaddr(sa, sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                            : sizeof(struct sockaddr_in));
}

/* Counts it for its source: the library would count each address of an IPv6 network alone. */
static bool enter(struct published_listener *l, const struct addr *client)
{
    static const struct source_limits limits = {.connections = CONNECTIONS_PER_SOURCE};
    enum source_verdict verdict;
    sources_leave(l->sources, l->entering); /* of one that the library could not begin */
    l->entering = sources_enter(l->sources, client, &limits, clock_steady_ns(), &verdict);
    if (l->entering && verdict == SOURCE_OK) return true;
    sources_leave(l->sources, l->entering);
    l->entering = NULL;
    return false;
}

static enum MHD_Result accept_client(void *context, const struct sockaddr *sa, socklen_t size)
{
    struct published_listener *l = context;
    struct addr client = addr_from_sockaddr(sa, size);
    pthread_mutex_lock(&l->lock);
    bool allowed = listen_allows_client(l->config, &client);
    pthread_mutex_unlock(&l->lock);
    return allowed && enter(l, &client) ? MHD_YES : MHD_NO;
}

/* On the library's thread, as accept_client(), which has just been asked about it. */
static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    struct published_listener *l = context;
    (void)connection;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *state = l->entering;
        l->entering = NULL;
    } else {
        sources_leave(l->sources, *state);
        *state = NULL;
    }
}

static struct addr own_address(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        http.connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sockaddr_storage ss = {0};
    socklen_t size = sizeof ss;
    if (!info || getsockname(info->connect_fd, (struct sockaddr *)&ss, &size) < 0)
        return (struct addr){0};
    return addr_from_sockaddr((struct sockaddr *)&ss, size);
}

static struct addr client_address(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        http.connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info && info->client_addr ? address_of(info->client_addr) : (struct addr){0};
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              const char *cache, const struct text *body)
{
    struct MHD_Response *r = http.create_response(body->size, body->data, MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    bool ok =
        http.add_header(r, "Content-Type", type) == MHD_YES &&
        http.add_header(r, "Cache-Control", cache) == MHD_YES &&
        http.add_header(r, "X-Content-Type-Options", "nosniff") == MHD_YES &&
        http.add_header(r, "Content-Security-Policy",
                        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
                        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'") == MHD_YES &&
        (status != MHD_HTTP_METHOD_NOT_ALLOWED ||
         http.add_header(r, "Allow", "GET, HEAD") == MHD_YES) &&
        http.queue_response(connection, status, r) == MHD_YES;
    http.destroy_response(r);
    return ok ? MHD_YES : MHD_NO;
}

static enum MHD_Result answer_words(struct MHD_Connection *connection, unsigned status,
                                    const char *words)
{
    struct text body = {0};
    text_add(&body, words);
    enum MHD_Result result =
        answer(connection, status, "text/plain; charset=utf-8", "no-store", &body);
    text_fini(&body);
    return result;
}

static enum MHD_Result count_host(void *context, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    unsigned *count = context;
    (void)kind;
    (void)value;
    if (strcasecmp(name, "Host") == 0) ++*count;
    return MHD_YES;
}

/* One Host field, which only HTTP/1.0 may omit (RFC 9112 section 3.2). */
static bool host_is_right(struct MHD_Connection *connection, const char *version)
{
    unsigned count = 0;
    http.connection_values(connection, MHD_HEADER_KIND, count_host, &count);
    return count == 1 || (count == 0 && strcmp(version, "HTTP/1.0") == 0);
}

/* Of a target in origin or absolute form (RFC 9112 section 3.2). */
static const char *path_of(const char *target)
{
    static const char scheme[] = "http://";
    if (strncasecmp(target, scheme, sizeof scheme - 1) != 0) return target;
    const char *path = strchr(target + sizeof scheme - 1, '/');
    return path ? path : "/";
}

/* Paths are compared as they are: nothing that is published needs an escape. */
static size_t no_unescape(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct published_listener *l = context;
    (void)upload;
    (void)upload_size;
    (void)state;
    if (!host_is_right(connection, version))
        return answer_words(connection, MHD_HTTP_BAD_REQUEST, "Exactly one Host field.\n");
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return answer_words(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
    struct published p;
    char cache[48] = "no-store";
    const struct addr local = own_address(connection), client = client_address(connection);
    pthread_mutex_lock(&l->lock);
    bool found = publication_get(l->publication, l->config, path_of(url), &local, &client, &p);
    pthread_mutex_unlock(&l->lock);
    if (p.max_age) snprintf(cache, sizeof cache, "max-age=%u", p.max_age);
    enum MHD_Result result =
        found ? answer(connection, MHD_HTTP_OK, p.type, cache, &p.body)
              : answer_words(connection, MHD_HTTP_NOT_FOUND, "There is nothing here.\n");
    text_fini(&p.body);
    return result;
}

static void close_listener(struct published_listener *l)
{
    if (!l) return;
    if (l->daemon)
        http.stop_daemon(l->daemon);
    else if (l->fd >= 0)
        close(l->fd);
    sources_leave(l->sources, l->entering);
    sources_free(l->sources);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* Where the process may have few descriptors, most are for the workers. */
static unsigned connection_limit(void)
{
    enum { SHARE = 8 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / SHARE < PUBLISHER_CONNECTIONS)
        return (unsigned)(limit.rlim_cur / SHARE);
    return PUBLISHER_CONNECTIONS;
}

/* Its thread takes no signal. MHD_USE_ITC: else it is not told to end while it has all the
 * connections that it may have. */
static bool start(struct published_listener *l)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    l->daemon = http.start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, accept_client, l, on_request, l,
        MHD_OPTION_LISTEN_SOCKET, l->fd, MHD_OPTION_CONNECTION_LIMIT, connection_limit(),
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY,
        MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return l->daemon != NULL;
}

static struct published_listener *open_listener(const struct listen_config *config,
                                                const struct addr *address, int *socket,
                                                const struct publication *publication,
                                                struct text *errors)
{
    char where[ADDR_TEXT_SIZE];
    struct published_listener *l = calloc(1, sizeof *l);
    struct sources *sources = sources_new(1);
    if (!l || !sources || pthread_mutex_init(&l->lock, NULL) != 0) {
        sources_free(sources);
        free(l);
        text_add(errors, "out of memory\n");
        return NULL;
    }
    l->sources = sources;
    l->address = *address;
    l->config = config;
    l->publication = publication;
    l->fd = *socket;
    *socket = -1;
    if (l->fd >= 0 && start(l)) return l;
    addr_format(address, where);
    text_printf(errors, "listener %s on %s: %s\n", config->name, where, strerror(errno));
    close_listener(l);
    return NULL;
}

static struct place *find_place(const struct publisher *p, const struct addr *a)
{
    for (size_t i = 0; p && i < p->n; i++) {
        const struct addr *have = &p->places[i].listener->address;
        if (addr_same_ip(have, a) && addr_port(have) == addr_port(a)) return &p->places[i];
    }
    return NULL;
}

static bool open_all(struct publisher *p, struct loaded_config *loaded, int *sockets,
                     const struct publisher *old, struct text *errors)
{
    const struct config *c = loaded->config;
    p->places = calloc(c->listener_count, sizeof *p->places);
    if (!p->places) return false;
    for (size_t i = 0; i < c->listener_count; i++) {
        if (c->listeners[i].type != LISTEN_PUBLISH) continue;
        if (!load_library(errors)) return false;
        if (!p->publication && !(p->publication = publication_new(loaded, errors))) return false;
        const struct addr *a = &loaded->listener_addresses[i];
        const struct place *before = find_place(old, a);
        struct place *place = &p->places[p->n];
        place->config = &c->listeners[i];
        place->borrowed = before != NULL;
        place->listener =
            before ? before->listener
                   : open_listener(place->config, a, &sockets[i], p->publication, errors);
        if (!place->listener) return false;
        p->n++;
    }
    return true;
}

struct publisher *publisher_new(struct loaded_config *loaded, int *sockets,
                                const struct publisher *old, struct text *errors)
{
    struct publisher *p = calloc(1, sizeof *p);
    if (p && open_all(p, loaded, sockets, old, errors)) return p;
    if (errors->size == 0) text_add(errors, "out of memory\n");
    publisher_free(p);
    return NULL;
}

void publisher_take_over(struct publisher *p, struct publisher *old)
{
    for (size_t i = 0; i < p->n; i++) {
        struct place *place = &p->places[i], *before = find_place(old, &place->listener->address);
        if (!place->borrowed) continue;
        pthread_mutex_lock(&place->listener->lock);
        place->listener->config = place->config;
        place->listener->publication = p->publication;
        pthread_mutex_unlock(&place->listener->lock);
        place->borrowed = false;
        before->borrowed = true;
    }
    publisher_free(old);
}

static unsigned connections(const struct publisher *p)
{
    unsigned sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        const union MHD_DaemonInfo *info =
            http.daemon_info(p->places[i].listener->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        if (info) sum += info->num_connections;
    }
    return sum;
}

void publisher_drain(struct publisher *p)
{
    for (size_t i = 0; p && i < p->n; i++) {
        int fd = http.quiesce_daemon(p->places[i].listener->daemon);
        if (fd >= 0) close(fd);
    }
}

void publisher_settle(const struct publisher *p)
{
    for (int i = 0; p && p->n > 0 && i < SETTLE_STEPS && connections(p) > 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = SETTLE_STEP_NS}, NULL);
}

void publisher_free(struct publisher *p)
{
    if (!p) return;
    for (size_t i = 0; p->places && i < p->n; i++)
        if (!p->places[i].borrowed) close_listener(p->places[i].listener);
    free(p->places);
    publication_free(p->publication);
    free(p);
}
