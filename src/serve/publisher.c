#include "serve/publisher.h"

#include "serve/http.h"
#include "serve/publication.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const struct http_limits limits = {.connections = PUBLISHER_CONNECTIONS, .per_source = 64};

struct published_listener {
    struct addr address;
    pthread_mutex_t lock;
    const struct listen_config *config; /* these two under the lock */
    const struct publication *publication;
    struct http_server *server;
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

static bool allows(void *arg, const struct addr *client)
{
    struct published_listener *l = arg;
    pthread_mutex_lock(&l->lock);
    bool allowed = listen_allows_client(l->config, client);
    pthread_mutex_unlock(&l->lock);
    return allowed;
}

static bool get(void *arg, const struct http_request *request, struct http_response *out)
{
    struct published_listener *l = arg;
    struct published p;
    pthread_mutex_lock(&l->lock);
    bool found = publication_get(l->publication, l->config, request->path, &request->local,
                                 &request->client, &p);
    pthread_mutex_unlock(&l->lock);
    out->type = p.type;
    out->max_age = p.max_age;
    out->body = p.body;
    return found;
}

static void close_listener(struct published_listener *l)
{
    if (!l) return;
    http_stop(l->server);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static struct published_listener *open_listener(const struct listen_config *config,
                                                const struct addr *address, int *socket,
                                                const struct publication *publication,
                                                struct text *errors)
{
    char where[ADDR_TEXT_SIZE];
    struct published_listener *l = calloc(1, sizeof *l);
    if (!l || pthread_mutex_init(&l->lock, NULL) != 0) {
        free(l);
        text_add(errors, "out of memory\n");
        return NULL;
    }
    const struct http_site site = {allows, get, l};
    l->address = *address;
    l->config = config;
    l->publication = publication;
    l->server = http_start(*socket, &site, &limits);
    *socket = -1;
    if (l->server) return l;
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
        if (!http_load("a publish listener", errors)) return false;
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

void publisher_drain(struct publisher *p)
{
    for (size_t i = 0; p && i < p->n; i++) http_quiesce(p->places[i].listener->server);
}

void publisher_settle(const struct publisher *p)
{
    for (size_t i = 0; p && i < p->n; i++) http_settle(p->places[i].listener->server);
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
