#include "serve/http.h"

#include "base/clock.h"
#include "runtime/sources.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What one client may cost. */
enum {
    SPARE = 8, /* connections that the library has on their way out */
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

bool http_load(const char *who, struct text *errors)
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
    text_printf(errors, "%s needs " LIBRARY ": install libmicrohttpd12\n", who);
    return false;
}

/* All of these on the library's thread. */
struct http_connection {
    struct http_connection *next, **link; /* the oldest first */
    struct source *source;
    int fd; /* the library's */
};

struct http_server {
    struct http_site site;
    struct sources *sources;
    struct source *entering; /* accepted, but not begun yet */
    struct http_limits limits;
    unsigned count;
    struct http_connection *first, **last;
    int fd;        /* the library closes it, */
    int former_fd; /* but not after http_quiesce() */
    struct MHD_Daemon *daemon;
};

/* Length 0: not of the Internet. */
static struct addr address_of(const struct sockaddr *sa)
{
    if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6) return (struct addr){0};
    return addr_from_sockaddr(sa, sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                            : sizeof(struct sockaddr_in));
}

/* Counts it for its source: the library would count each address of an IPv6 network alone. */
static bool enter(struct http_server *s, const struct addr *client)
{
    const struct source_limits limits = {.connections = s->limits.per_source};
    enum source_verdict verdict;
    sources_leave(s->sources, s->entering); /* of one that the library could not begin */
    s->entering = NULL;
    if (client->length == 0) return true;
    s->entering = sources_enter(s->sources, client, &limits, clock_steady_ns(), &verdict);
    if (s->entering && verdict == SOURCE_OK) return true;
    sources_leave(s->sources, s->entering);
    s->entering = NULL;
    return false;
}

/* An answer takes no time: whoever has been here for longest is slow, or says nothing. */
static void make_room(const struct http_server *s)
{
    bool full = s->limits.oldest_yields && s->count >= s->limits.connections;
    if (full && s->first) shutdown(s->first->fd, SHUT_RDWR);
}

static enum MHD_Result accept_client(void *context, const struct sockaddr *sa, socklen_t size)
{
    struct http_server *s = context;
    struct addr client = address_of(sa);
    (void)size;
    if (!s->site.allows(s->site.arg, &client) || !enter(s, &client)) return MHD_NO;
    make_room(s);
    return MHD_YES;
}

/* On the library's thread, as accept_client(), which has just been asked about it. */
static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = context;
    struct http_connection *c = *state;
    const union MHD_ConnectionInfo *info;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *state = c = calloc(1, sizeof *c);
        if (!c) return; /* it counts for its source until another one comes */
        info = http.connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *c = (struct http_connection){
            .link = s->last, .source = s->entering, .fd = info ? info->connect_fd : -1};
        s->entering = NULL;
        *s->last = c;
        s->last = &c->next;
        s->count++;
    } else if (c) {
        *c->link = c->next;
        if (c->next) c->next->link = c->link;
        if (s->last == &c->next) s->last = c->link;
        s->count--;
        sources_leave(s->sources, c->source);
        free(c);
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
    return address_of((struct sockaddr *)&ss);
}

static struct addr client_address(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        http.connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info && info->client_addr ? address_of(info->client_addr) : (struct addr){0};
}

static bool add_headers(struct MHD_Response *r, const struct http_response *out)
{
    char cache[48] = "no-store";
    if (out->max_age) snprintf(cache, sizeof cache, "max-age=%u", out->max_age);
    return http.add_header(r, "Content-Type", out->type) == MHD_YES &&
           http.add_header(r, "Cache-Control", cache) == MHD_YES &&
           http.add_header(r, "X-Content-Type-Options", "nosniff") == MHD_YES &&
           http.add_header(r, "Content-Security-Policy", out->policy ? out->policy : HTTP_POLICY) ==
               MHD_YES &&
           (out->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
            http.add_header(r, "Allow", "GET, HEAD") == MHD_YES);
}

static enum MHD_Result answer(struct MHD_Connection *connection, const struct http_response *out)
{
    struct MHD_Response *r =
        http.create_response(out->body.size, out->body.data, MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    bool ok = !out->body.failed && add_headers(r, out) &&
              http.queue_response(connection, out->status, r) == MHD_YES;
    http.destroy_response(r);
    return ok ? MHD_YES : MHD_NO;
}

void http_answer_words(struct http_response *out, unsigned status, const char *words)
{
    text_fini(&out->body);
    *out = (struct http_response){.status = status, .type = "text/plain; charset=utf-8"};
    text_add(&out->body, words);
}

struct hosts {
    unsigned count;
    const char *last;
};

static enum MHD_Result note_host(void *context, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct hosts *hosts = context;
    (void)kind;
    if (strcasecmp(name, "Host") != 0) return MHD_YES;
    hosts->count++;
    hosts->last = value;
    return MHD_YES;
}

/* One Host field, which only HTTP/1.0 may omit (RFC 9112 section 3.2). */
static bool host_is_right(const struct hosts *hosts, const char *version)
{
    return hosts->count == 1 || (hosts->count == 0 && strcmp(version, "HTTP/1.0") == 0);
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
    struct http_server *s = context;
    struct http_response out = {.status = MHD_HTTP_OK};
    struct hosts hosts = {0};
    http.connection_values(connection, MHD_HEADER_KIND, note_host, &hosts);
    const struct http_request request = {.host = hosts.last ? hosts.last : "",
                                         .path = path_of(url),
                                         .local = own_address(connection),
                                         .client = client_address(connection)};
    (void)upload;
    (void)upload_size;
    (void)state;
    if (!host_is_right(&hosts, version))
        http_answer_words(&out, MHD_HTTP_BAD_REQUEST, "Exactly one Host field.\n");
    else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        http_answer_words(&out, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
    else if (!s->site.get(s->site.arg, &request, &out))
        http_answer_words(&out, MHD_HTTP_NOT_FOUND, "There is nothing here.\n");
    enum MHD_Result result = answer(connection, &out);
    text_fini(&out.body);
    return result;
}

/* Where the process may have few descriptors, most are for the workers. */
static unsigned connection_limit(unsigned most)
{
    enum { SHARE = 8 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / SHARE < most)
        return (unsigned)(limit.rlim_cur / SHARE);
    return most;
}

/* Its thread takes no signal. MHD_USE_ITC: else it is not told to end while it has all the
 * connections that it may have. */
static bool start(struct http_server *s)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->daemon = http.start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, accept_client, s, on_request, s,
        MHD_OPTION_LISTEN_SOCKET, s->fd, MHD_OPTION_CONNECTION_LIMIT,
        s->limits.connections + (s->limits.oldest_yields ? SPARE : 0), MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, s, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_UNESCAPE_CALLBACK,
        no_unescape, NULL, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->daemon != NULL;
}

struct http_server *http_start(int fd, const struct http_site *site,
                               const struct http_limits *limits)
{
    struct http_server *s = fd < 0 ? NULL : calloc(1, sizeof *s);
    if (!s) {
        if (fd >= 0) close(fd);
        return NULL;
    }
    *s = (struct http_server){
        .site = *site, .limits = *limits, .fd = fd, .former_fd = -1, .sources = sources_new(1)};
    s->last = &s->first;
    s->limits.connections = connection_limit(limits->connections);
    if (s->sources && start(s)) return s;
    int fault = errno;
    http_stop(s);
    errno = fault;
    return NULL;
}

static unsigned connections(const struct http_server *s)
{
    const union MHD_DaemonInfo *info =
        http.daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info ? info->num_connections : 0;
}

/* The library's thread may be about to use the socket's number: something else takes its place. */
void http_quiesce(struct http_server *s)
{
    int fd = http.quiesce_daemon(s->daemon), other = eventfd(0, EFD_CLOEXEC);
    s->former_fd = fd;
    if (fd >= 0 && other >= 0) (void)!dup3(other, fd, O_CLOEXEC);
    if (other >= 0) close(other);
}

void http_settle(const struct http_server *s)
{
    int steps = 0;
    do /* one that was just accepted does not count yet */
        nanosleep(&(struct timespec){.tv_nsec = SETTLE_STEP_NS}, NULL);
    while (++steps < SETTLE_STEPS && connections(s) > 0);
}

void http_stop(struct http_server *s)
{
    if (!s) return;
    if (s->daemon)
        http.stop_daemon(s->daemon);
    else
        close(s->fd);
    if (s->former_fd >= 0) close(s->former_fd);
    sources_leave(s->sources, s->entering);
    sources_free(s->sources);
    free(s);
}
