#include "conn/census.h"

#include "conn/conn_impl.h"

#include <stdio.h>
#include <string.h>

void conn_state_name(enum conn_state state, char out[CONN_STATE_NAME])
{
    static const char *const names[CONN_STATES] = {
#define STATE(name, ...) #name,
#include "conn/conn_state.def"
#undef STATE
    };
    snprintf(out, CONN_STATE_NAME, "%s", names[state]);
    text_lower(out);
}

static struct census_listener *find_listener(struct census *all, const char *name)
{
    for (size_t i = 0; i < all->listener_count; i++)
        if (strcmp(all->listeners[i].name, name) == 0) return &all->listeners[i];
    if (all->listener_count == CENSUS_LISTENERS) return &all->listeners[CENSUS_LISTENERS - 1];
    struct census_listener *l = &all->listeners[all->listener_count++];
    /* The last one is for all others. */
    if (all->listener_count < CENSUS_LISTENERS) snprintf(l->name, sizeof l->name, "%s", name);
    return l;
}

/* FNV-1a. */
static size_t place_of(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619u;
    return h % CENSUS_UPSTREAMS;
}

static void add_relay(struct census *all, const char *name)
{
    enum { PROBES = 32 };
    size_t at = place_of(name);
    for (size_t i = 0; i < PROBES; i++, at = (at + 1) % CENSUS_UPSTREAMS) {
        struct census_upstream *u = &all->upstreams[at];
        if (!u->name[0]) snprintf(u->name, sizeof u->name, "%s", name);
        if (strcmp(u->name, name) != 0) continue;
        u->relays++;
        return;
    }
    all->other_relays++;
}

static void add_connection(struct census *all, const struct conn *c)
{
    char destination[TARGET_TEXT_SIZE];
    find_listener(all, c->listener->config->name)->states[c->state]++;
    bool relays =
        c->state == CONN_RELAY || c->state == CONN_RELAY_ENDING || c->state == CONN_OBSERVE;
    if (!relays) return;
    all->bytes[COUNTS_CLIENT] += c->to_upstream.bytes;
    all->bytes[COUNTS_UPSTREAM] += c->to_client.bytes;
    if (!c->target.host[0]) return;
    target_format(&c->target, destination);
    add_relay(all, destination);
}

void census_take(const struct worker *w, struct census *all)
{
    for (const struct conn *c = w->connections; c; c = c->next) add_connection(all, c);
}
