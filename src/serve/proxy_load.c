/* The proxy loads a configuration. */
#include "proxy_impl.h"

#include "proxy_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void proxy_take_socket(struct proxy *p, const struct text *order, size_t at, int fd)
{
    const char *listener = post_next(order, &at), *worker = listener ? post_next(order, &at) : NULL;
    if (worker)
        given_add(&p->given, strtoul(listener, NULL, 10), strtoul(worker, NULL, 10), fd);
    else if (fd >= 0)
        close(fd);
}

void proxy_forget(struct load *l, unsigned count)
{
    for (unsigned i = 0; l->runtimes && i < count; i++) runtime_release(l->runtimes[i]);
    free(l->runtimes);
    publisher_free(l->publisher);
    operate_server_free(l->operate);
    loaded_config_release(l->loaded);
    *l = (struct load){0};
}

void proxy_take_signer(struct proxy *p, const struct text *order, size_t at, int fd)
{
    const char *digits = post_next(order, &at);
    unsigned long worker = digits ? strtoul(digits, NULL, 10) : CONFIG_WORKERS;
    if (worker < CONFIG_WORKERS && p->signers[worker] < 0)
        p->signers[worker] = fd;
    else if (fd >= 0)
        close(fd);
}

static struct worker_thread *make_worker(struct proxy *p, unsigned i, const struct ticket_key *key)
{
    int signer = p->signers[i];
    p->signers[i] = -1;
    return signer < 0 ? NULL : worker_thread_new(i, &p->shared, &p->events, key, signer);
}

static bool make_workers(struct proxy *p, unsigned count)
{
    struct ticket_key key;
    if (p->workers) return count == p->count;
    p->workers = calloc(count, sizeof(struct worker_thread *));
    p->count = p->workers ? count : 0;
    p->shared.sources = sources_new(count);
    bool ok = p->workers && p->shared.sources && ticket_key_generate(&key);
    for (unsigned i = 0; ok && i < count; i++)
        ok = (p->workers[i] = make_worker(p, i, &key)) != NULL;
    explicit_bzero(&key, sizeof key);
    return ok;
}

static bool build_operate(struct proxy *p, struct load *l, struct text *errors)
{
    const struct endpoint *at = &l->loaded->config->operate.address;
    int fd = given_take(&p->given, l->loaded->config->listener_count, 0);
    l->keeps_operate = endpoint_is_given(at) && operate_server_has(p->current.operate, fd);
    if (endpoint_is_given(at) && !l->keeps_operate)
        return (l->operate = operate_server_new(fd, at, p->lookout, errors)) != NULL;
    if (fd >= 0) close(fd);
    return true;
}

static bool build(struct proxy *p, struct load *l, struct text *errors)
{
    size_t n = l->loaded->config->listener_count;
    int *sockets = calloc(n, sizeof(int));
    l->runtimes = calloc(p->count, sizeof(struct runtime *));
    bool ok = sockets && l->runtimes;
    for (unsigned k = 0; ok && k < p->count; k++) {
        given_lend(&p->given, k, sockets, n);
        l->runtimes[k] = runtime_new(l->loaded, &p->leaf_keys, worker_thread_loop(p->workers[k]),
                                     sockets, errors);
        ok = l->runtimes[k] != NULL;
        given_return(&p->given, k, sockets, n);
    }
    if (ok) {
        given_lend(&p->given, 0, sockets, n);
        l->publisher = publisher_new(l->loaded, sockets, p->current.publisher, errors);
        given_return(&p->given, 0, sockets, n);
    }
    free(sockets);
    return ok && l->publisher && build_operate(p, l, errors);
}

/* Takes fd. */
static bool load_files(struct proxy *p, const char *config_file, uint32_t serial, int fd,
                       struct text *errors)
{
    struct load *l = &p->next;
    proxy_forget(l, p->count);
    struct snapshot *files = config_file && fd >= 0 ? snapshot_open(fd) : NULL;
    if (fd >= 0) close(fd);
    if (!files) {
        text_printf(errors, "the proxy cannot read its configuration: %s\n", strerror(errno));
        return false;
    }
    l->loaded = loaded_config_read(config_file, false, files, errors);
    snapshot_free(files);
    if (l->loaded) l->loaded->serial = serial;
    return l->loaded && given_set_addresses(&p->given, l->loaded, errors) &&
           make_workers(p, l->loaded->config->proxy.workers) && build(p, l, errors);
}

void proxy_load(struct proxy *p, const struct text *order, size_t at, int fd)
{
    struct text errors = {0};
    const char *config_file = post_next(order, &at);
    const char *serial = config_file ? post_next(order, &at) : NULL;
    if (load_files(p, config_file, serial ? (uint32_t)strtoul(serial, NULL, 10) : 0, fd, &errors)) {
        proxy_tell(p, NEWS_LOADED, NULL, NULL);
    } else {
        if (errors.size == 0) text_add(&errors, "the proxy is out of memory\n");
        proxy_tell(p, NEWS_REFUSED, text_string(&errors), NULL);
        proxy_forget(&p->next, p->count);
    }
    given_drop(&p->given);
    text_fini(&errors);
}
