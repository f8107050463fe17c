#include "serve/setting.h"

#include "base/diag.h"
#include "serve/publisher.h"
#include "serve/users.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DESCRIPTORS_SPARE = 64 };

void setting_fini(struct setting *s)
{
    sockets_close(&s->sockets);
    if (s->files >= 0) close(s->files);
    loaded_config_release(s->loaded);
    *s = (struct setting){.files = -1};
}

static bool same_workers(const struct setting *s, const struct setting *running,
                         struct text *errors)
{
    unsigned before = running ? running->loaded->config->proxy.workers : 0;
    if (!running || s->loaded->config->proxy.workers == before) return true;
    text_printf(errors, "[proxy] workers is %u now and %u before: that needs a restart\n",
                s->loaded->config->proxy.workers, before);
    return false;
}

bool setting_read(struct setting *s, const struct setting_source *from, struct text *errors)
{
    const struct setting *running = from->running;
    struct snapshot *files = snapshot_new();
    *s = (struct setting){.files = -1};
    if (!files) return false;
    s->loaded = running && from->scope == SETTING_FILES
                    ? loaded_config_reread(running->loaded, from->config_file, files, errors)
                    : loaded_config_read(from->config_file, false, files, errors);
    if (s->loaded) s->loaded->serial = from->serial;
    const struct sockets_there there = {running ? &running->sockets : NULL,
                                        running ? running->loaded : NULL, from->inherited};
    bool ok = s->loaded && same_workers(s, running, errors) &&
              (!running || users_are_same(running->loaded->config, s->loaded->config, errors)) &&
              sockets_open(&s->sockets, s->loaded, &there, errors);
    if (ok && (s->files = snapshot_seal(files)) < 0) {
        text_printf(errors, "the configuration cannot be handed over: %s\n", strerror(errno));
        ok = false;
    }
    snapshot_free(files);
    if (!ok) setting_fini(s);
    return ok;
}

void setting_give(const struct setting *s, const char *config_file, struct proxy_process *proxy)
{
    proxy_process_load(proxy, config_file, s->loaded->serial, s->files, &s->sockets);
}

void setting_announce(const struct setting *s)
{
    const struct config *c = s->loaded->config;
    bool taken = strcmp(c->audit.file, "-") == 0;
    for (size_t i = 0; i < c->audit.copies.n; i++)
        taken = taken || strcmp(c->audit.copies.items[i], "-") == 0;
    FILE *out = taken ? stderr : stdout;
    for (size_t i = 0; i < c->listener_count; i++) {
        char where[ADDR_TEXT_SIZE], target[TARGET_TEXT_SIZE] = "";
        const struct listen_config *l = &c->listeners[i];
        addr_format(&s->loaded->listener_addresses[i], where);
        if (l->upstream.host[0]) target_format(&l->upstream, target);
        fprintf(out, "suitegate: listening on %s (%s, %s%s%s%s)\n", where, l->name,
                listen_type_name(l->type), target[0] ? " to " : "", target,
                l->mode == MODE_OBSERVE ? ", only observes" : "");
    }
    fprintf(out, "suitegate: ready\n");
    fflush(out);
}

void setting_raise_descriptors(const struct setting *s)
{
    const struct config *c = s->loaded->config;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    rlim_t wanted = (rlim_t)c->proxy.max_connections * 2 + DESCRIPTORS_SPARE;
    for (size_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].type == LISTEN_PUBLISH) wanted += PUBLISHER_CONNECTIONS;
    if (limit.rlim_cur < wanted)
        diag_warning("max_connections = %u wants %llu open files, the limit is %llu (ulimit -n)",
                     c->proxy.max_connections, (unsigned long long)wanted,
                     (unsigned long long)limit.rlim_cur);
}
