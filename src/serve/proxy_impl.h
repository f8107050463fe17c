/* The proxy: its state, and what its files offer each other. Private to serve/: proxy.c (its life
 * and orders), proxy_load.c. */
#ifndef SERVE_PROXY_IMPL_H
#define SERVE_PROXY_IMPL_H

#include "base/post.h"
#include "serve/given.h"
#include "serve/lookout.h"
#include "serve/operate_server.h"
#include "serve/proxy.h"
#include "serve/publisher.h"
#include "serve/worker_thread.h"

/* One load of the configuration, and what is made of it. */
struct load {
    struct loaded_config *loaded; /* NULL: none */
    struct runtime **runtimes;    /* one per worker, which takes it */
    struct publisher *publisher;
    struct operate_server *operate; /* NULL: none, or that of the current one stays */
    bool keeps_operate;
};

struct proxy {
    int post; /* -1: the keeper is gone */
    struct ev_loop *loop;
    ev_io orders;
    struct worker_shared shared;
    struct worker_events events;
    struct leaf_keys leaf_keys;
    struct worker_thread **workers;
    unsigned count, started;
    unsigned drained, ended, taken; /* atomic: workers; taken: since the last use */
    ev_async worker_news;
    ev_timer hourly, sampling;
    struct lookout *lookout;
    struct given given;
    int signers[CONFIG_WORKERS]; /* sockets for signatures; -1: none, or given away */
    struct load next, current;   /* of current, only the last two */
    struct kept kept;            /* at the drain */
    size_t listeners;            /* of the configuration in use */
    bool superseded;             /* another process has [operate] */
    bool draining, drained_told;
};

/* proxy.c: news for the keeper. field, more: or NULL. */
void proxy_tell(struct proxy *p, const char *kind, const char *field, const char *more);

/* proxy_load.c */

/* These take fd. */
void proxy_take_socket(struct proxy *p, const struct text *order, size_t at, int fd);
void proxy_take_signer(struct proxy *p, const struct text *order, size_t at, int fd);
/* Loads a configuration as the next one, and tells whether that went well. */
void proxy_load(struct proxy *p, const struct text *order, size_t at, int fd);
void proxy_forget(struct load *l, unsigned count);

#endif
