#include "runtime/runtime.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEAVES_LIMIT = 1024, SESSIONS_LIMIT = 1024 };
static const int64_t session_lifetime_ns = (int64_t)3600 * 1000000000;
static const time_t leaf_renewal = (time_t)86400; /* a leaf this near its end is minted again */

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

static bool open_listener(struct runtime *runtime, size_t i, int *socket, struct text *errors)
{
    struct runtime_listener *l = &runtime->listeners[i];
    const struct policy *policy = &runtime->loaded->config->policy;
    l->runtime = runtime;
    l->config = &runtime->loaded->config->listeners[i];
    if (l->config->type == LISTEN_PUBLISH) return true; /* serve/publisher.h */
    l->fd = *socket;
    *socket = -1;
    if (l->fd < 0) {
        text_printf(errors, "listener %s has no socket\n", l->config->name);
        return false;
    }
    if (listen_asks_certificate(l->config) &&
        !(l->client_trust = loaded_config_client_trust(runtime->loaded, i, errors)))
        return false;
    bool minted = l->config->certificates.n == 0;
    l->keys.ecdsa_group = 0x0017; /* minted leaves use secp256r1 */
    for (int k = 0; k < KEY_TYPES; k++) {
        const struct own_certificate *own = &runtime->loaded->own[i][k];
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

static struct resolver *new_resolver(struct ev_loop *loop, const struct string_list *servers)
{
    struct text list = {0};
    for (size_t i = 0; i < servers->n; i++)
        text_printf(&list, "%s%s", i > 0 ? "," : "", servers->items[i]);
    struct resolver *resolver = list.failed ? NULL : resolver_new(loop, text_string(&list));
    text_fini(&list);
    return resolver;
}

static bool build(struct runtime *runtime, int *sockets, struct text *errors)
{
    struct loaded_config *loaded = runtime->loaded;
    const struct config *c = loaded->config;
    runtime->listeners = calloc(c->listener_count, sizeof *runtime->listeners);
    runtime->leaves = cache_new(LEAVES_LIMIT, free_leaf);
    runtime->sessions = cache_new(SESSIONS_LIMIT, free_session);
    runtime->resolver = new_resolver(runtime->loop, &c->upstream.resolvers);
    if (!runtime->listeners || !runtime->leaves || !runtime->sessions || !runtime->resolver) {
        text_add(errors, "out of memory, or the resolver cannot start\n");
        return false;
    }
    for (size_t i = 0; i < c->listener_count; i++) runtime->listeners[i].fd = -1;
    runtime->listener_count = c->listener_count;
    if (config_needs_ca(c)) {
        const struct ca_place place = ca_place_of(c);
        if (!ca_signers_open(&loaded->ca, &place, runtime->signers, errors)) return false;
    }
    runtime->trust =
        trust_new(&loaded->anchors, c->upstream.trust, loaded->has_crls ? &loaded->crls : NULL,
                  c->upstream.crl, c->policy.minimum_rsa_bits, errors);
    if (!runtime->trust) return false;
    runtime->upstream = tls_context_client(&c->policy, c->upstream.resume);
    if (!runtime->upstream) {
        text_add(errors, "out of memory, or the TLS library cannot be used\n");
        return false;
    }
    for (size_t i = 0; i < c->listener_count; i++)
        if (!open_listener(runtime, i, &sockets[i], errors)) return false;
    return true;
}

struct runtime *runtime_new(struct loaded_config *loaded, struct leaf_keys *keys,
                            struct ev_loop *loop, int *sockets, struct text *errors)
{
    struct runtime *runtime = calloc(1, sizeof *runtime);
    if (!runtime) return NULL;
    runtime->loaded = loaded_config_hold(loaded);
    runtime->leaf_keys = keys;
    runtime->loop = loop;
    runtime->references = runtime->holders = 1;
    if (build(runtime, sockets, errors)) return runtime;
    runtime_release(runtime);
    return NULL;
}

void runtime_hold(struct runtime *runtime)
{
    runtime->references++;
    runtime->holders++;
}

static void unload(struct runtime *runtime)
{
    for (size_t i = 0; i < runtime->listener_count; i++) {
        struct runtime_listener *l = &runtime->listeners[i];
        for (int k = 0; k < KEY_TYPES; k++)
            for (int tickets = 0; tickets < 2; tickets++) tls_context_free(l->own[k][tickets]);
        memset(l->own, 0, sizeof l->own);
        trust_free(l->client_trust);
        l->client_trust = NULL;
    }
    cache_free(runtime->leaves);
    cache_free(runtime->sessions);
    resolver_free(runtime->resolver);
    tls_context_free(runtime->upstream);
    trust_free(runtime->trust);
    ca_signers_close(runtime->signers);
    memset(runtime->signers, 0, sizeof runtime->signers);
    runtime->leaves = runtime->sessions = NULL;
    runtime->resolver = NULL;
    runtime->upstream = NULL;
    runtime->trust = NULL;
    loaded_config_let_go(runtime->loaded);
    runtime->unloaded = true;
}

static void on_unload(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct runtime *runtime = timer->data;
    if (runtime->holders == 0 && !runtime->unloaded) unload(runtime);
}

/* Not at once: the caller may be called by what would end. */
void runtime_let_go(struct runtime *runtime)
{
    if (--runtime->holders > 0) return;
    ev_timer_init(&runtime->unload, on_unload, 0., 0.);
    runtime->unload.data = runtime;
    ev_timer_start(runtime->loop, &runtime->unload);
}

static void runtime_free(struct runtime *runtime)
{
    for (size_t i = 0; i < runtime->listener_count; i++)
        if (runtime->listeners[i].fd >= 0) close(runtime->listeners[i].fd);
    if (!runtime->unloaded) unload(runtime);
    if (ev_is_active(&runtime->unload)) ev_timer_stop(runtime->loop, &runtime->unload);
    free(runtime->listeners);
    loaded_config_drop(runtime->loaded);
    free(runtime);
}

void runtime_drop(struct runtime *runtime)
{
    if (--runtime->references == 0) runtime_free(runtime);
}

/* The last one may be another thread's, whose loop is not this one. */
void runtime_release(struct runtime *runtime)
{
    if (!runtime) return;
    if (runtime->references > 1) runtime_let_go(runtime);
    runtime_drop(runtime);
}

void leaf_name(const struct leaf_request *r, char out[LEAF_NAME_SIZE])
{
    snprintf(out, LEAF_NAME_SIZE, "%s%s %s%s", key_type_name(r->key), r->tickets ? "" : "-plain",
             r->identity, r->second_name ? " and more" : "");
}

static void begin_order(const struct runtime *runtime, enum sign_what what, struct sign_order *out)
{
    memset(out, 0, sizeof *out); /* with what lies between its members */
    out->serial = runtime->loaded->serial;
    out->what = what;
}

bool runtime_order_leaf(struct runtime *runtime, const struct leaf_request *r,
                        struct sign_order *out)
{
    const struct private_key *key = leaf_keys_get(runtime->leaf_keys, r->key);
    if (!key || key->spki_size > sizeof out->spki) return false;
    begin_order(runtime, SIGN_LEAF, out);
    out->key = r->key;
    out->is_ip = r->is_ip;
    snprintf(out->identity, sizeof out->identity, "%s", r->identity);
    if (r->second_name && ca_permits(runtime->signers[r->key], r->second_name, false))
        snprintf(out->also, sizeof out->also, "%s", r->second_name);
    out->spki_size = (uint32_t)key->spki_size;
    memcpy(out->spki, key->spki, key->spki_size);
    return true;
}

void runtime_order_signature(const struct runtime *runtime, enum sign_what what, size_t index,
                             const struct signing_request *request, struct sign_order *out)
{
    begin_order(runtime, what, out);
    out->index = (uint32_t)index;
    out->key = request->key;
    out->pss = request->pss;
    out->size = request->size;
    memcpy(out->digest, request->digest, sizeof out->digest);
}

bool runtime_add_leaf(struct runtime *runtime, const struct leaf_request *r, const char *chain,
                      size_t n, struct lifetime lifetime)
{
    struct text pem = {0};
    char name[LEAF_NAME_SIZE];
    struct leaf *leaf = calloc(1, sizeof *leaf);
    const struct private_key *key = leaf_keys_get(runtime->leaf_keys, r->key);
    text_add_bytes(&pem, chain, n);
    if (leaf && key && !pem.failed) {
        leaf->lifetime = lifetime;
        leaf->context = tls_context_server(&runtime->loaded->config->policy, &pem, key, r->tickets);
    }
    text_fini(&pem);
    if (!leaf || !leaf->context) {
        free(leaf);
        return false;
    }
    leaf_name(r, name);
    cache_put(runtime->leaves, name, leaf);
    return true;
}

/* False also if the clock was set back to before the leaf begins. If the CA bounds its lifetime, a
 * new leaf would be no better. */
static bool serves(const struct leaf *leaf, const struct cert *ca, time_t now)
{
    const struct lifetime *l = &leaf->lifetime;
    bool near_end = l->ends - now < leaf_renewal && l->ends < ca->not_after;
    bool not_begun = now < l->begins && l->begins > ca->not_before;
    return !near_end && !not_begun && l->ends > now;
}

/* The cached leaf that may be presented now, or NULL. */
static struct leaf *find_leaf(struct runtime *runtime, const struct leaf_request *r)
{
    char name[LEAF_NAME_SIZE];
    leaf_name(r, name);
    struct leaf *leaf = cache_get(runtime->leaves, name);
    return leaf && serves(leaf, ca_certificate(runtime->signers[r->key]), time(NULL)) ? leaf : NULL;
}

const char *runtime_own_digest(const struct runtime *runtime,
                               const struct runtime_listener *listener, enum key_type key)
{
    size_t i = (size_t)(listener - runtime->listeners);
    return listener->config->certificates.n ? runtime->loaded->own[i][key].sha256 : NULL;
}

bool runtime_may_present(const struct runtime *runtime, const struct runtime_listener *listener,
                         const struct leaf_request *r)
{
    return listener->config->certificates.n > 0 ||
           ca_permits(runtime->signers[r->key], r->identity, r->is_ip);
}

struct tls_context *runtime_server_context(struct runtime *runtime,
                                           const struct runtime_listener *listener,
                                           const struct leaf_request *r)
{
    if (listener->config->certificates.n) return listener->own[r->key][r->tickets];
    struct leaf *leaf = find_leaf(runtime, r);
    return leaf ? leaf->context : NULL;
}

const struct upstream_session *runtime_find_session(struct runtime *runtime, const char *key)
{
    struct upstream_session *session = cache_get(runtime->sessions, key);
    if (!session) return NULL;
    if (time(NULL) < session->facts.valid_until &&
        clock_steady_ns() - session->verified_ns < session_lifetime_ns)
        return session;
    cache_drop(runtime->sessions, key);
    return NULL;
}

void runtime_keep_session(struct runtime *runtime, const char *key, struct saved_session *saved,
                          const struct cert_facts *facts, int64_t verified_ns)
{
    struct upstream_session *session = calloc(1, sizeof *session);
    if (session && saved) {
        session->saved = saved;
        session->verified_ns = verified_ns;
        if (cert_facts_copy(&session->facts, facts)) {
            cache_put(runtime->sessions, key, session);
            return;
        }
        cert_facts_fini(&session->facts);
    }
    saved_session_free(saved);
    free(session);
}

void runtime_drop_session(struct runtime *runtime, const char *key)
{
    cache_drop(runtime->sessions, key);
}
