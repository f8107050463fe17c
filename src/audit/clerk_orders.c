/* The keeper's side of clerk.h, and how its configuration is read back. */
#include "audit/clerk.h"

#include "clerk_order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sends an order and takes its answer: empty if it is done, else why not. */
static bool give(int post, struct text *order, int fd, struct text *answer, int *given,
                 struct text *errors)
{
    bool ok = post_send(post, order, fd) && post_receive(post, answer, given);
    const char *why = errno == 0 ? "it is gone" : errno == EAGAIN ? "it hangs" : strerror(errno);
    if (!ok) text_printf(errors, "the clerk does not answer: %s\n", why);
    int fault = errno;
    text_fini(order);
    errno = fault;
    return ok;
}

/* more: the second field, or NULL. */
static bool obey_for(int post, struct text *order, int fd, struct text *more, bool *alive,
                     struct text *errors)
{
    struct text answer = {0};
    size_t at = 0;
    bool ok = give(post, order, fd, &answer, NULL, errors);
    /* Not for want of memory or descriptors here, or in flight (unix(7)). */
    *alive = ok || errno == ENOMEM || errno == ENOBUFS || errno == EMFILE || errno == ENFILE ||
             errno == ETOOMANYREFS;
    const char *fault = ok ? post_next(&answer, &at) : NULL;
    bool done = fault && !*fault;
    if (fault && *fault) text_add(errors, fault);
    const char *second = done ? post_next(&answer, &at) : NULL;
    if (more) more->size = 0;
    if (more && second) text_add(more, second);
    text_fini(&answer);
    return done;
}

static bool obey(int post, struct text *order, int fd, bool *alive, struct text *errors)
{
    return obey_for(post, order, fd, NULL, alive, errors);
}

static void put_list(struct text *order, const char *kind, const struct string_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        post_put(order, kind);
        post_put(order, list->items[i]);
    }
}

static struct string_list *list_of(struct audit_config *config, const char *kind)
{
    if (strcmp(kind, ORDER_COPY) == 0) return &config->copies;
    return strcmp(kind, ORDER_SYSLOG) == 0 ? &config->syslog : NULL;
}

bool clerk_order_read_config(const struct text *order, size_t at, struct audit_config *config)
{
    const char *sync = post_next(order, &at), *file = sync ? post_next(order, &at) : NULL;
    const char *key = file ? post_next(order, &at) : NULL;
    if (!key) return false;
    *config = (struct audit_config){.sync = (enum audit_sync)(sync[0] - '0')};
    config->file = text_copy(file, strlen(file));
    if (*key) config->key = text_copy(key, strlen(key));
    for (const char *kind, *name;
         (kind = post_next(order, &at)) && (name = post_next(order, &at));) {
        struct string_list *list = list_of(config, kind);
        char *copy = list ? text_copy(name, strlen(name)) : NULL;
        if (!copy || !list_add_text(list, copy)) return false;
    }
    return config->file && (config->key || !*key);
}

void clerk_order_free_config(struct audit_config *config)
{
    free(config->file);
    free(config->key);
    list_free_texts(&config->copies);
    list_free_texts(&config->syslog);
}

bool clerk_open(int post, const struct audit_config *config, const struct audit_origin *origin,
                int kept, bool *alive, struct text *errors)
{
    struct text order = {0};
    char sync[8];
    snprintf(sync, sizeof sync, "%d", config->sync);
    post_put(&order, ORDER_OPEN);
    post_put(&order, origin ? origin->instance : "");
    post_put(&order, origin ? origin->profile : "");
    post_put(&order, origin ? origin->digest : "");
    post_put(&order, sync);
    post_put(&order, config->file);
    post_put(&order, config->key ? config->key : "");
    put_list(&order, ORDER_COPY, &config->copies);
    put_list(&order, ORDER_SYSLOG, &config->syslog);
    return obey(post, &order, kept, alive, errors);
}

/* The clerk gets the second end, the caller the first one; both are taken. */
static bool give_end(int post, struct text *order, const int ends[2], int *own, bool *alive,
                     struct text *errors)
{
    bool ok = obey(post, order, ends[1], alive, errors);
    close(ends[1]);
    if (ok)
        *own = ends[0];
    else
        close(ends[0]);
    return ok;
}

bool clerk_add_sender(int post, enum audit_sender role, const char *name, int *fd, bool *alive,
                      struct text *errors)
{
    struct text order = {0};
    int ends[2];
    *alive = true;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        text_printf(errors, "no socket for the clerk: %s\n", strerror(errno));
        return false;
    }
    post_put(&order, ORDER_SENDER);
    post_put(&order, role == AUDIT_BY_KEEPER ? "keeper" : "proxy");
    post_put(&order, name);
    return give_end(post, &order, ends, fd, alive, errors);
}

bool clerk_ping(int post, struct text *state, bool *alive, struct text *errors)
{
    struct text order = {0};
    post_put(&order, ORDER_PING);
    if (state) post_put(&order, "state");
    return obey_for(post, &order, -1, state, alive, errors);
}

bool clerk_note_end(int post, const char *name, const char *how, bool *alive, struct text *errors)
{
    struct text order = {0};
    post_put(&order, ORDER_ENDED);
    post_put(&order, name);
    post_put(&order, how);
    return obey(post, &order, -1, alive, errors);
}

bool clerk_add_keeper(int post, int *keeper, bool *alive, struct text *errors)
{
    struct text order = {0};
    int ends[2];
    *alive = true;
    if (!post_pair(ends)) {
        text_printf(errors, "no socket for the clerk: %s\n", strerror(errno));
        return false;
    }
    post_put(&order, ORDER_KEEPER);
    return give_end(post, &order, ends, keeper, alive, errors);
}

bool clerk_end(int post, size_t *lost, int *kept, struct text *errors)
{
    struct text order = {0}, answer = {0};
    size_t at = 0;
    post_put(&order, kept ? ORDER_LEAVE : ORDER_END);
    bool ok = give(post, &order, -1, &answer, kept, errors);
    const char *count = ok ? post_next(&answer, &at) : NULL;
    if (count) *lost = strtoul(count, NULL, 10);
    ok = count != NULL;
    text_fini(&answer);
    return ok;
}
