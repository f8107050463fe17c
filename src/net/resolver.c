#include "net/resolver.h"

#include "base/cache.h"
#include "base/clock.h"
#include "base/shortage.h"
#include "base/text.h"
#include "net/names.h"

#include <ares.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { SOCKETS = 16, QUERY_TIMEOUT_MS = 2000, TRIES = 3, KEPT_LIMIT = 1024, KEPT_SECONDS = 60 };
enum { KEY_SIZE = 272 }; /* a host and a port */

struct watched {
    ev_io io;
    ares_socket_t fd;
    bool used;
    struct resolver *resolver;
};

struct resolver {
    struct ev_loop *loop;
    ares_channel channel;
    char *servers;       /* "": the system's */
    struct names *names; /* as of the channel */
    bool ending;
    ev_timer timer;
    struct watched sockets[SOCKETS];
    struct lookup *first; /* all that are pending or not yet delivered */
    struct cache *kept;   /* host and port to a struct kept */
    int64_t heard_ns;     /* when a name server last sent anything, steady */
};

struct kept {
    int64_t until_ns; /* steady */
    size_t n;
    struct addr addresses[];
};

struct lookup {
    struct lookup *next, **link;
    struct resolver *resolver;
    lookup_answer *answer; /* NULL: cancelled */
    void *arg;
    bool in_ares; /* its callback is still to come */
    bool again;   /* its channel was replaced before it answered */
    int64_t started_ns;
    unsigned shortages; /* of this thread, when it began (base/shortage.h) */
    uint16_t port;
    char host[KEY_SIZE - 8], key[KEY_SIZE];
    ev_timer deliver;
    enum lookup_status status;
    struct addr addresses[LOOKUP_LIMIT];
    size_t n;
};

static void unlink_lookup(struct lookup *l)
{
    *l->link = l->next;
    if (l->next) l->next->link = l->link;
}

static void free_lookup(struct lookup *l)
{
    ev_timer_stop(l->resolver->loop, &l->deliver);
    unlink_lookup(l);
    free(l);
}

static void rearm(struct resolver *r)
{
    struct timeval most = {.tv_sec = 5}, next;
    ev_timer_stop(r->loop, &r->timer);
    struct timeval *t = ares_timeout(r->channel, &most, &next);
    bool busy = false;
    for (size_t i = 0; i < SOCKETS; i++) busy = busy || r->sockets[i].used;
    if (!busy) return;
    ev_timer_set(&r->timer, (double)t->tv_sec + (double)t->tv_usec / 1e6, 0.);
    ev_timer_start(r->loop, &r->timer);
}

static void renew_channel(struct resolver *r);

/* A name server does not answer: the settings may have changed. */
static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct resolver *r = timer->data;
    renew_channel(r);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(r);
}

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct watched *w = io->data;
    struct resolver *r = w->resolver;
    /* c-ares' status does not show whether a server failed for this name or did not answer. A
     * socket error makes it readable too, but without bytes. */
    int bytes = 0;
    if (events & EV_READ && ioctl(w->fd, FIONREAD, &bytes) == 0 && bytes > 0)
        r->heard_ns = clock_steady_ns();
    ares_process_fd(r->channel, events & EV_READ ? w->fd : ARES_SOCKET_BAD,
                    events & EV_WRITE ? w->fd : ARES_SOCKET_BAD);
    rearm(r);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    struct watched *w = NULL, *spare = NULL;
    for (size_t i = 0; i < SOCKETS; i++) {
        if (r->sockets[i].used && r->sockets[i].fd == fd) w = &r->sockets[i];
        if (!r->sockets[i].used && !spare) spare = &r->sockets[i];
    }
    if (w) ev_io_stop(r->loop, &w->io);
    if (!w) w = spare;
    if (!w) return; /* the query runs into its timeout */
    w->used = readable || writable;
    if (!w->used) return;
    w->fd = fd;
    w->resolver = r;
    ev_io_init(&w->io, on_socket, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    w->io.data = w;
    ev_io_start(r->loop, &w->io);
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library_status;

static void *get_memory(size_t n)
{
    void *p = malloc(n);
    if (!p) shortage_note();
    return p;
}

static void *resize_memory(void *p, size_t n)
{
    void *next = realloc(p, n);
    if (!next && n > 0) shortage_note();
    return next;
}

/* The library reports some failures to get memory as names that do not exist. */
static void library_init(void)
{
    library_status = ares_library_init_mem(ARES_LIB_INIT_ALL, get_memory, free, resize_memory);
}

/* With all that it would look for in files: it reads none then. */
static bool open_channel(struct resolver *r, const struct names *names, ares_channel *out)
{
    char dns_only[] = "b";
    struct ares_options options = {.timeout = QUERY_TIMEOUT_MS,
                                   .tries = TRIES,
                                   .ndots = names->dots,
                                   .domains = names->domains,
                                   .ndomains = (int)names->domain_count,
                                   .lookups = dns_only,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = r};
    int given = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_DOMAINS |
                ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST | ARES_OPT_SERVERS | ARES_OPT_SOCK_STATE_CB |
                (names->rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE);
    const char *servers = r->servers[0] ? r->servers : names->servers;
    if (ares_init_options(out, &options, given) != ARES_SUCCESS) return false;
    if (ares_set_servers_ports_csv(*out, servers) == ARES_SUCCESS) return true;
    ares_destroy(*out);
    return false;
}

struct resolver *resolver_new(struct ev_loop *loop, const char *servers)
{
    pthread_once(&library_once, library_init);
    struct resolver *r = library_status == ARES_SUCCESS ? calloc(1, sizeof *r) : NULL;
    if (!r) return NULL;
    r->loop = loop;
    r->servers = text_copy(servers, strlen(servers));
    r->kept = cache_new(KEPT_LIMIT, free);
    ev_timer_init(&r->timer, on_timer, 0., 0.);
    r->timer.data = r;
    r->names = names_use();
    if (r->servers && r->kept && r->names && open_channel(r, r->names, &r->channel)) return r;
    names_release(r->names);
    cache_free(r->kept);
    free(r->servers);
    free(r);
    return NULL;
}

void resolver_free(struct resolver *r)
{
    if (!r) return;
    for (struct lookup *l = r->first; l; l = l->next) l->answer = NULL;
    r->ending = true;
    ares_destroy(r->channel); /* calls every callback with ARES_EDESTRUCTION */
    while (r->first) {
        struct lookup *next = r->first->next;
        ev_timer_stop(r->loop, &r->first->deliver);
        free(r->first);
        r->first = next;
    }
    ev_timer_stop(r->loop, &r->timer);
    for (size_t i = 0; i < SOCKETS; i++)
        if (r->sockets[i].used) ev_io_stop(r->loop, &r->sockets[i].io);
    names_release(r->names);
    cache_free(r->kept);
    free(r->servers);
    free(r);
}

static void on_deliver(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct lookup *l = timer->data;
    lookup_answer *answer = l->answer;
    void *arg = l->arg;
    /* The callback may start or cancel lookups: free this one first. */
    struct lookup copy = *l;
    free_lookup(l);
    if (answer) answer(arg, copy.status, copy.addresses, copy.n);
}

static bool lacked_memory(const struct lookup *l)
{
    return shortage_count() != l->shortages;
}

enum lookup_status lookup_overdue(const struct lookup *l)
{
    if (lacked_memory(l)) return LOOKUP_NO_MEMORY;
    return l->resolver->heard_ns > l->started_ns ? LOOKUP_FAILED : LOOKUP_UNANSWERED;
}

static enum lookup_status status_of(const struct lookup *l, int ares_status)
{
    if (ares_status != ARES_SUCCESS && lacked_memory(l)) return LOOKUP_NO_MEMORY;
    switch (ares_status) {
    case ARES_SUCCESS:
        return LOOKUP_FOUND;
    case ARES_ENOMEM:
        return LOOKUP_NO_MEMORY;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_EBADNAME:
        return LOOKUP_NOT_FOUND;
    default:
        return lookup_overdue(l);
    }
}

/* The shortest TTL counts for all, also an alias's. */
static void keep(struct lookup *l, const struct ares_addrinfo *info)
{
    int ttl = KEPT_SECONDS;
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        if (node->ai_ttl < ttl) ttl = node->ai_ttl;
    for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
        if (c->ttl < ttl) ttl = c->ttl;
    struct kept *k = ttl > 0 && l->n > 0 ? malloc(sizeof *k + l->n * sizeof k->addresses[0]) : NULL;
    if (!k) return;
    k->until_ns = clock_steady_ns() + (int64_t)ttl * 1000000000;
    k->n = l->n;
    memcpy(k->addresses, l->addresses, l->n * sizeof k->addresses[0]);
    cache_put(l->resolver->kept, l->key, k);
}

static bool find_kept(struct lookup *l)
{
    const struct kept *k = cache_get(l->resolver->kept, l->key);
    if (!k) return false;
    if (k->until_ns < clock_steady_ns()) {
        cache_drop(l->resolver->kept, l->key);
        return false;
    }
    l->status = LOOKUP_FOUND;
    l->n = k->n;
    memcpy(l->addresses, k->addresses, k->n * sizeof k->addresses[0]);
    return true;
}

static bool find_in_hosts(struct lookup *l)
{
    l->n = hosts_find(l->resolver->names->hosts, l->host, l->port, l->addresses, LOOKUP_LIMIT);
    if (l->n > 0) l->status = LOOKUP_FOUND;
    return l->n > 0;
}

/* Is the hosts file read where a configured name server is not asked, and in which order? */
static bool has_before_servers(const struct resolver *r)
{
    return !r->servers[0] && r->names->order[0] == 'f';
}

static bool has_after_servers(const struct resolver *r)
{
    return !r->servers[0] && r->names->order[0] == 'b' && r->names->order[1] == 'f';
}

static bool asks_servers(const struct resolver *r)
{
    return r->servers[0] || strchr(r->names->order, 'b');
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct lookup *l = arg;
    l->in_ares = false;
    l->status = status_of(l, status);
    if (info) {
        for (struct ares_addrinfo_node *node = info->nodes; node && l->n < LOOKUP_LIMIT;
             node = node->ai_next) {
            struct addr a = addr_from_sockaddr(node->ai_addr, node->ai_addrlen);
            if (a.length) l->addresses[l->n++] = a;
        }
        if (status == ARES_SUCCESS) keep(l, info);
        ares_freeaddrinfo(info);
    }
    if (l->status == LOOKUP_FOUND && l->n == 0)
        l->status = lacked_memory(l) ? LOOKUP_NO_MEMORY : LOOKUP_NOT_FOUND;
    if (l->status != LOOKUP_FOUND && status != ARES_EDESTRUCTION && has_after_servers(l->resolver))
        (void)!find_in_hosts(l);
    if (status == ARES_EDESTRUCTION && l->resolver->ending) return; /* resolver_free() frees it */
    l->again = status == ARES_EDESTRUCTION && l->answer;
    if (l->again) return;
    if (!l->answer) {
        free_lookup(l);
        return;
    }
    ev_timer_start(l->resolver->loop, &l->deliver);
}

static void ask(struct lookup *l)
{
    struct resolver *r = l->resolver;
    char service[8];
    struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NUMERICSERV};
    l->in_ares = true;
    l->n = 0;
    l->started_ns = clock_steady_ns();
    snprintf(service, sizeof service, "%u", l->port);
    ares_getaddrinfo(r->channel, l->host, service, &hints, on_answer, l);
}

/* Changed settings need a new channel. Waiting lookups ask the new name servers; answers of the old
 * ones are dropped. */
static void renew_channel(struct resolver *r)
{
    ares_channel channel, old = r->channel;
    struct names *now = r->servers[0] ? NULL : names_use();
    struct cache *kept = now && now != r->names ? cache_new(KEPT_LIMIT, free) : NULL;
    if (!kept || !open_channel(r, now, &channel)) { /* out of memory: the next lookup tries again */
        cache_free(kept);
        names_release(now);
        return;
    }
    names_release(r->names);
    r->names = now;
    cache_free(r->kept);
    r->kept = kept;
    r->channel = channel;
    ares_destroy(old);
    for (struct lookup *l = r->first, *next; l; l = next) {
        next = l->next;
        if (!l->again) continue;
        l->again = false;
        ask(l);
    }
}

struct lookup *resolver_start(struct resolver *r, const char *host, uint16_t port,
                              lookup_answer *answer, void *arg)
{
    struct lookup *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    renew_channel(r);
    *l = (struct lookup){.next = r->first,
                         .link = &r->first,
                         .resolver = r,
                         .answer = answer,
                         .arg = arg,
                         .status = LOOKUP_NOT_FOUND,
                         .port = port,
                         .shortages = shortage_count()};
    if (r->first) r->first->link = &l->next;
    r->first = l;
    ev_timer_init(&l->deliver, on_deliver, 0., 0.);
    l->deliver.data = l;
    snprintf(l->host, sizeof l->host, "%s", host);
    snprintf(l->key, sizeof l->key, "%s %u", host, port);
    if (find_kept(l) || (has_before_servers(r) && find_in_hosts(l)) || !asks_servers(r)) {
        ev_timer_start(r->loop, &l->deliver);
        return l;
    }
    ask(l);
    rearm(r);
    return l;
}

void lookup_cancel(struct lookup *l)
{
    l->answer = NULL;
    if (!l->in_ares) free_lookup(l);
}
