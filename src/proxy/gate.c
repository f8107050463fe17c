#include "proxy/gate.h"

#include "base/clock.h"
#include "front.h"
#include "net/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEAVES_LIMIT = 1024, SESSIONS_LIMIT = 1024, LEAF_KEY_SIZE = HELLO_NAME_SIZE + 32 };
static const int64_t session_lifetime_ns = (int64_t)3600 * 1000000000;
static const time_t leaf_renewal = (time_t)86400; /* a leaf this near its end is minted anew */

struct leaf {
    struct tls_context *context;
    struct lifetime lifetime;
};

static void free_leaf(void *value)
{
    struct leaf *leaf = value;
    tls_context_free(leaf->context);
    free(leaf);
}

static void free_session(void *value)
{
    struct upstream_session *session = value;
    saved_session_free(session->saved);
    cert_facts_fini(&session->facts);
    free(session);
}

static int shared_socket(const struct gate *old, const struct addr *address)
{
    for (size_t i = 0; old && i < old->listener_count; i++) {
        const struct addr *have = &old->site->listener_addresses[i];
        if (addr_same_ip(have, address) && addr_port(have) == addr_port(address))
            return old->listeners[i].fd;
    }
    return -1;
}

static bool open_listener(struct gate *gate, size_t i, const struct gate *old, struct text *errors)
{
    struct gate_listener *l = &gate->listeners[i];
    const struct policy *policy = &gate->site->config->policy;
    const struct addr *address = &gate->site->listener_addresses[i];
    char where[ADDR_TEXT_SIZE];
    l->gate = gate;
    l->config = &gate->site->config->listeners[i];
    l->front = front_of(l->config->type);
    addr_format(address, where);
    l->fd = shared_socket(old, address);
    l->borrowed = l->fd >= 0;
    if (l->fd < 0) l->fd = listener_open(address);
    if (l->fd < 0) {
        text_printf(errors, "listener %s on %s: %s\n", l->config->name, where, strerror(errno));
        return false;
    }
    bool minted = l->config->certificates.n == 0;
    l->keys.ecdsa_group = 0x0017; /* minted leaves are on secp256r1 */
    for (int k = 0; k < KEY_TYPES; k++) {
        const struct own_certificate *own = &gate->site->own[i][k];
        bool usable = (policy->allowed & suite_set_of_key((enum key_type)k)) != 0;
        l->keys.has[k] = usable && (minted || own->present);
        if (minted || !own->present || !usable) continue;
        if (k == KEY_ECDSA) l->keys.ecdsa_group = own->group;
        for (int tickets = 0; tickets < 2; tickets++)
            l->own[k][tickets] = tls_context_server(policy, &own->chain, &own->key, tickets);
        if (!l->own[k][0] || !l->own[k][1]) {
            text_printf(errors, "listener %s: the TLS library refuses its %s certificate\n",
                        l->config->name, key_type_name((enum key_type)k));
            return false;
        }
    }
    return true;
}

static bool build(struct gate *gate, const struct gate *old, struct text *errors)
{
    struct site *site = gate->site;
    const struct config *c = site->config;
    gate->listeners = calloc(c->listener_count, sizeof *gate->listeners);
    gate->leaves = cache_new(LEAVES_LIMIT, free_leaf);
    gate->sessions = cache_new(SESSIONS_LIMIT, free_session);
    gate->resolver = resolver_new(gate->loop);
    if (!gate->listeners || !gate->leaves || !gate->sessions || !gate->resolver) {
        text_add(errors, "out of memory, or the resolver cannot start\n");
        return false;
    }
    for (size_t i = 0; i < c->listener_count; i++) gate->listeners[i].fd = -1;
    gate->listener_count = c->listener_count;
    if (config_needs_ca(c)) {
        gate->ca =
            ca_new(&site->ca_certificate, &site->ca_key, c->ca.crl_url, c->ca.certificate, errors);
        if (!gate->ca) return false;
    }
    gate->trust = trust_new(&site->anchors, c->upstream.trust, site->has_crls ? &site->crls : NULL,
                            c->upstream.crl, c->policy.minimum_rsa_bits, errors);
    if (!gate->trust) return false;
    gate->upstream = tls_context_client(&c->policy, c->upstream.resume);
    if (!gate->upstream) {
        text_add(errors, "out of memory, or the TLS library cannot be used\n");
        return false;
    }
    for (size_t i = 0; i < c->listener_count; i++)
        if (!open_listener(gate, i, old, errors)) return false;
    return true;
}

struct gate *gate_new(struct site *site, const struct leaf_keys *keys, struct ev_loop *loop,
                      const struct gate *old, struct text *errors)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate) return NULL;
    gate->site = site_hold(site);
    gate->leaf_keys = keys;
    gate->loop = loop;
    gate->references = 1;
    if (build(gate, old, errors)) return gate;
    gate_release(gate);
    return NULL;
}

void gate_release(struct gate *gate)
{
    if (!gate || --gate->references > 0) return;
    for (size_t i = 0; i < gate->listener_count; i++) {
        struct gate_listener *l = &gate->listeners[i];
        if (l->fd >= 0 && !l->borrowed) close(l->fd);
        for (int k = 0; k < KEY_TYPES; k++)
            for (int tickets = 0; tickets < 2; tickets++) tls_context_free(l->own[k][tickets]);
    }
    free(gate->listeners);
    cache_free(gate->leaves);
    cache_free(gate->sessions);
    resolver_free(gate->resolver);
    tls_context_free(gate->upstream);
    trust_free(gate->trust);
    ca_free(gate->ca);
    site_release(gate->site);
    free(gate);
}

void gate_take_over(struct gate *gate, struct gate *old)
{
    for (size_t i = 0; i < gate->listener_count; i++) {
        if (!gate->listeners[i].borrowed) continue;
        gate->listeners[i].borrowed = false;
        for (size_t k = 0; k < old->listener_count; k++)
            if (old->listeners[k].fd == gate->listeners[i].fd) old->listeners[k].fd = -1;
    }
}

/* A client of a test listener that asks for this machine by its name may not say so: Java sends
 * no name that has no dot. */
static const char *second_name(const struct gate_listener *listener, const char *identity,
                               bool is_ip)
{
    struct addr ip;
    bool here = is_ip && addr_from_ip(identity, 0, &ip) && addr_is_loopback(&ip);
    return here && listener->front->answers_itself ? "localhost" : NULL;
}

static struct leaf *mint(struct gate *gate, const char *identity, bool is_ip, const char *also,
                         enum key_type key, bool tickets)
{
    struct text chain = {0};
    struct leaf *leaf = calloc(1, sizeof *leaf);
    if (!leaf) return NULL;
    if (ca_mint(gate->ca, identity, is_ip, also, &gate->leaf_keys->keys[key], time(NULL), &chain,
                &leaf->lifetime))
        leaf->context = tls_context_server(&gate->site->config->policy, &chain,
                                           &gate->leaf_keys->keys[key], tickets);
    text_fini(&chain);
    if (leaf->context) return leaf;
    free(leaf);
    return NULL;
}

/* Also after the clock was set back to before the leaf begins. Where the CA bounds its lifetime,
 * another leaf would be no better. */
static bool serves(const struct leaf *leaf, const struct cert *ca, time_t now)
{
    const struct lifetime *l = &leaf->lifetime;
    bool near_end = l->ends - now < leaf_renewal && l->ends < ca->not_after;
    bool not_begun = now < l->begins && l->begins > ca->not_before;
    return !near_end && !not_begun && l->ends > now;
}

/* The cached leaf that may be presented now, or NULL; name gets its key. */
static struct leaf *find_leaf(struct gate *gate, const char *identity, const char *also,
                              enum key_type key, bool tickets, char name[LEAF_KEY_SIZE])
{
    snprintf(name, LEAF_KEY_SIZE, "%s%s %s%s", key_type_name(key), tickets ? "" : "-plain",
             identity, also ? " and more" : "");
    struct leaf *leaf = cache_get(gate->leaves, name);
    return leaf && serves(leaf, ca_certificate(gate->ca), time(NULL)) ? leaf : NULL;
}

bool gate_has_to_mint(struct gate *gate, const struct gate_listener *listener, const char *identity,
                      bool is_ip, enum key_type key, bool tickets)
{
    char name[LEAF_KEY_SIZE];
    const char *also = second_name(listener, identity, is_ip);
    return listener->config->certificates.n == 0 &&
           !find_leaf(gate, identity, also, key, tickets, name);
}

struct tls_context *gate_server_context(struct gate *gate, const struct gate_listener *listener,
                                        const char *identity, bool is_ip, enum key_type key,
                                        bool tickets)
{
    if (listener->config->certificates.n) return listener->own[key][tickets];
    char name[LEAF_KEY_SIZE];
    const char *also = second_name(listener, identity, is_ip);
    struct leaf *leaf = find_leaf(gate, identity, also, key, tickets, name);
    if (leaf) return leaf->context;
    leaf = mint(gate, identity, is_ip, also, key, tickets);
    if (!leaf) return NULL;
    cache_put(gate->leaves, name, leaf);
    leaf = cache_get(gate->leaves, name);
    return leaf ? leaf->context : NULL;
}

const struct upstream_session *gate_find_session(struct gate *gate, const char *key)
{
    struct upstream_session *session = cache_get(gate->sessions, key);
    if (!session) return NULL;
    if (time(NULL) < session->facts.valid_until &&
        clock_steady_ns() - session->verified_ns < session_lifetime_ns)
        return session;
    cache_drop(gate->sessions, key);
    return NULL;
}

void gate_keep_session(struct gate *gate, const char *key, struct saved_session *saved,
                       const struct cert_facts *facts, int64_t verified_ns)
{
    struct upstream_session *session = calloc(1, sizeof *session);
    if (session && saved) {
        session->saved = saved;
        session->verified_ns = verified_ns;
        if (cert_facts_copy(&session->facts, facts)) {
            cache_put(gate->sessions, key, session);
            return;
        }
        cert_facts_fini(&session->facts);
    }
    saved_session_free(saved);
    free(session);
}

void gate_drop_session(struct gate *gate, const char *key)
{
    cache_drop(gate->sessions, key);
}
