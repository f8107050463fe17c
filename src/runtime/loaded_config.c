#include "load.h"

#include "base/clock.h"
#include "pki/cert.h"
#include "pki/crl.h"
#include "pki/trust.h"
#include "runtime/list_files.h"
#include "runtime/ticket_file.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t pem_limit = 64 << 20;
static const time_t warn_at_most = (time_t)30 * 86400, warn_at_least = (time_t)7 * 86400;

/* A file of certificates or lists may have a private key, too, which nobody else gets. */
static bool keep_public(struct snapshot *from, const char *path, const struct text *pem)
{
    struct text public = {0};
    if (pem->size == 0 || !memmem(pem->data, pem->size, "PRIVATE KEY", 11))
        return snapshot_put(from, path, pem);
    bool ok =
        pem_without_keys(text_string(pem), pem->size, &public) && snapshot_put(from, path, &public);
    text_fini(&public);
    return ok;
}

bool load_pem(struct snapshot *from, const char *path, struct text *out, struct stat *st,
              struct text *errors)
{
    bool given = snapshot_is_given(from);
    int fault = given ? snapshot_read(from, path, pem_limit, out, st)
                      : file_read_kept(path, pem_limit, out, st);
    if (fault) file_explain(path, fault, errors);
    if (!fault && !given && !keep_public(from, path, out)) {
        text_printf(errors, "%s has a block that cannot be read (PEM is expected)\n", path);
        return false;
    }
    return !fault;
}

/* Checks the target of a symbolic link: certbot uses links. */
bool load_key(struct snapshot *from, const char *path, mode_t forbidden, bool any_owner,
              struct text *out, struct text *errors)
{
    struct stat st;
    char name[LOAD_KEY_NAME];
    load_key_name(path, name);
    if (snapshot_is_given(from)) return load_pem(from, name, out, NULL, errors);
    return load_pem(NULL, path, out, &st, errors) &&
           file_is_private(path, &st, forbidden, any_owner, errors);
}

void load_key_name(const char *path, char out[LOAD_KEY_NAME])
{
    snprintf(out, LOAD_KEY_NAME, "key of %s", path); /* no path of a file */
}

void load_note_end(struct loaded_config *loaded, const char *what, time_t end, time_t warn_from)
{
    struct expiry *more = realloc(loaded->ends, (loaded->end_count + 1) * sizeof *more);
    if (!more) return;
    loaded->ends = more;
    char *copy = text_copy(what, strlen(what));
    if (copy) more[loaded->end_count++] = (struct expiry){copy, NULL, end, warn_from};
}

/* Warn 30 days ahead, or for short-lived certificates at a third of the lifetime, at least 7
 * days. */
void load_note_certificate(struct loaded_config *loaded, const char *what, const struct cert *c)
{
    time_t before = (c->not_after - c->not_before) / 3;
    if (before < warn_at_least) before = warn_at_least;
    if (before > warn_at_most) before = warn_at_most;
    load_note_end(loaded, what, c->not_after, c->not_after - before);
}

void loaded_config_warnings(const struct loaded_config *loaded, time_t now, struct text *out)
{
    char when[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < loaded->end_count; i++) {
        const struct expiry *e = &loaded->ends[i];
        if (now < e->warn_from) continue;
        clock_format_seconds(e->end, when);
        text_printf(out, "%s %s %s%s.\n", e->what, e->end < now ? "expired on" : "expires soon, on",
                    when, e->remark ? e->remark : "");
    }
    text_add(out, text_string(&loaded->notes));
}

/* Who renews an issuing CA: this program, if the root's key is here. */
static void note_issuing(struct loaded_config *loaded, const struct cert *c, enum key_type key)
{
    bool renews = loaded->ca.renews;
    time_t lifetime = c->not_after - c->not_before;
    size_t before = loaded->end_count;
    char what[64];
    snprintf(what, sizeof what, "The issuing CA %s", ca_issuing_files[key]);
    load_note_end(loaded, what, c->not_after, c->not_after - lifetime / (renews ? 6 : 3));
    if (!renews && loaded->end_count > before)
        loaded->ends[before].remark = " (this process has no root's key to renew it)";
}

static bool publishes(const struct config *c)
{
    for (size_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].type == LISTEN_PUBLISH) return true;
    return false;
}

bool loaded_config_is_stale(const struct loaded_config *loaded, time_t now)
{
    const time_t half = (time_t)CA_CRL_DAYS * 86400 / 2;
    return publishes(loaded->config) && (now > loaded->at + half || now < loaded->at);
}

static void load_ca(struct loaded_config *loaded, struct text *errors)
{
    const struct ca_place place = ca_place_of(loaded->config);
    struct ca *signers[KEY_TYPES], *root = NULL;
    time_t made, expires;
    if (!config_needs_ca(loaded->config)) return;
    if (!ca_files_read(&place, loaded->any_owner, loaded->files, &loaded->ca, errors)) {
        if (loaded->ca.certificate.size == 0 ||
            !(ca_files_have_key(&loaded->ca) || ca_place_has_key(&place)))
            text_printf(errors, "make a local CA with: suitegate ca init --out DIR\n");
        return;
    }
    if (ca_signers_open(&loaded->ca, &place, signers, errors)) {
        for (int k = 0; k < KEY_TYPES; k++)
            if (loaded->ca.issuing[k].size > 0)
                note_issuing(loaded, ca_certificate(signers[k]), (enum key_type)k);
        ca_signers_close(signers);
    }
    if (publishes(loaded->config))
        (void)!ca_files_make_crls(&place, loaded->files, time(NULL), &loaded->ca, errors);
    root = ca_root_open(&loaded->ca, &place, errors);
    if (root) load_note_certificate(loaded, "The local CA", ca_certificate(root));
    ca_free(root);
    const struct text *crl = &loaded->ca.crl;
    if (crl->size > 0 && ca_files_have_issuing(&loaded->ca) &&
        crl_times((struct span){(const uint8_t *)text_string(crl), crl->size}, &made, &expires))
        load_note_end(loaded, "The CRL of the local CA (ca.crl)", expires,
                      expires - (expires - made) / 6);
}

static void load_trust(struct loaded_config *loaded, struct text *errors)
{
    const struct config *c = loaded->config;
    const char *path =
        strcmp(c->upstream.trust, "system") ? c->upstream.trust : TRUST_SYSTEM_BUNDLE;
    loaded->has_crls = c->upstream.crl != NULL;
    if (!load_pem(loaded->files, path, &loaded->anchors, NULL, errors)) return;
    if (loaded->has_crls && !load_pem(loaded->files, c->upstream.crl, &loaded->crls, NULL, errors))
        return;
    struct trust *trust = trust_new(&loaded->anchors, path, loaded->has_crls ? &loaded->crls : NULL,
                                    c->upstream.crl, c->policy.minimum_rsa_bits, errors);
    if (trust) {
        time_t end = trust_crl_expiry(trust);
        if (end) load_note_end(loaded, "A CRL of [upstream] crl", end, end);
        load_note_strange_crls(loaded, trust, "[upstream] crl", "[upstream] trust");
    }
    trust_free(trust);
}

static void describe_policy(struct loaded_config *loaded, struct text *errors)
{
    struct text description = {0};
    uint8_t digest[32] = {0};
    policy_describe(&loaded->config->policy, &description);
    if (description.failed || !digest_sha256(text_string(&description), description.size, digest))
        text_add(errors, "out of memory\n");
    else
        text_hex(digest, sizeof digest, loaded->origin.digest);
    /* With shared keys, the tickets of one instance are good at every one that has this policy. */
    if (loaded->config->ticket_key_file)
        memcpy(loaded->generation, digest, sizeof loaded->generation);
    text_fini(&description);
}

static void describe_origin(struct loaded_config *loaded, struct text *errors)
{
    struct audit_origin *o = &loaded->origin;
    const struct config *c = loaded->config;
    text_fill(o->profile, sizeof o->profile, policy_profile_name(c->policy.profile));
    describe_policy(loaded, errors);
    if (c->audit.instance)
        text_fill(o->instance, sizeof o->instance, c->audit.instance);
    else if (gethostname(o->instance, sizeof o->instance) < 0 || !*o->instance)
        text_add(errors, "this machine has no name: set [audit] instance\n");
    o->instance[sizeof o->instance - 1] = '\0';
}

/* What a secret file says, for this process and for the next one. */
static bool load_secret(const struct loaded_config *loaded, const char *path, struct text *content,
                        struct text *errors)
{
    char name[LOAD_KEY_NAME];
    load_key_name(path, name);
    return load_key(loaded->files, path, MODE_ALL_BUT_OWNER, loaded->any_owner, content, errors) &&
           snapshot_put(loaded->files, name, content);
}

static void load_ticket_keys(struct loaded_config *loaded, struct text *errors)
{
    const char *path = loaded->config->ticket_key_file;
    struct ticket_keys *keys = &loaded->ticket_keys;
    struct text content = {0};
    if (!path) return;
    if (load_secret(loaded, path, &content, errors) &&
        ticket_file_read(&content, path, keys, errors)) {
        char what[PATH_MAX + 32];
        time_t from = keys->items[keys->n - 1].from;
        snprintf(what, sizeof what, "The newest ticket key in %s", path);
        load_note_end(loaded, what, from + TICKET_KEY_LIFETIME_S, from + TICKET_KEY_STALE_S);
    } else if (!snapshot_has(NULL, path)) {
        text_add(errors, "make ticket keys with: suitegate tickets rotate\n");
    }
    text_wipe(&content);
}

static bool load_credentials(const struct loaded_config *loaded, const char *path,
                             struct credentials *out, struct text *errors)
{
    struct text content = {0};
    bool ok = load_secret(loaded, path, &content, errors) &&
              credentials_read(&content, path, out, errors);
    text_wipe(&content);
    return ok;
}

/* Basic (RFC 7617 section 2). */
static void load_parent(struct loaded_config *loaded, size_t i, struct text *errors)
{
    const struct parent_config *parent = &loaded->config->parents[i];
    struct parent_login *login = &loaded->parents[i];
    struct text pair = {0};
    if (!parent->credentials ||
        !load_credentials(loaded, parent->credentials, &login->credentials, errors))
        return;
    if (login->credentials.n > 1)
        text_printf(errors, "%s has more than one login for parent %s\n", parent->credentials,
                    parent->name);
    const struct login *one = &login->credentials.items[0];
    text_printf(&pair, "%s:%s", one->user, one->password);
    text_add(&login->basic, "Basic ");
    if (pair.failed || !base64_encode((struct span){(const uint8_t *)text_string(&pair), pair.size},
                                      &login->basic))
        text_add(errors, "out of memory\n");
    text_wipe(&pair);
}

static void load_files(struct loaded_config *loaded, struct text *errors)
{
    const struct config *c = loaded->config;
    loaded->own = calloc(c->listener_count, sizeof *loaded->own);
    loaded->listener_addresses = calloc(c->listener_count, sizeof *loaded->listener_addresses);
    loaded->binding_told = calloc(c->listener_count, sizeof *loaded->binding_told);
    loaded->client_cas = calloc(c->listener_count, sizeof *loaded->client_cas);
    loaded->identities = calloc(c->identity_count + 1, sizeof *loaded->identities);
    loaded->logins = calloc(c->listener_count, sizeof *loaded->logins);
    loaded->parents = calloc(c->parent_count + 1, sizeof *loaded->parents);
    if (!loaded->own || !loaded->listener_addresses || !loaded->binding_told ||
        !loaded->client_cas || !loaded->identities || !loaded->logins || !loaded->parents) {
        text_add(errors, "out of memory\n");
        return;
    }
    for (size_t i = 0; i < c->listener_count; i++) {
        loaded->listener_addresses[i] = c->listeners[i].address;
        load_own_certificates(loaded, i, errors);
        const char *path = c->listeners[i].credentials;
        if (path) (void)!load_credentials(loaded, path, &loaded->logins[i], errors);
        load_client_cas(loaded, i, errors);
    }
    for (size_t i = 0; i < c->parent_count; i++) load_parent(loaded, i, errors);
    for (size_t i = 0; i < c->identity_count; i++) load_identity(loaded, i, errors);
    for (size_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].mode == MODE_OBSERVE)
            text_printf(&loaded->notes,
                        "Listener %s only observes (mode = observe): it enforces no TLS policy.\n",
                        c->listeners[i].name);
    list_files_read(loaded->config, loaded->files, errors);
    for (size_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].only.n > PUBLISHED_DESTINATIONS)
            text_printf(errors, "listener %s: only has more than %d destinations\n",
                        c->listeners[i].name, PUBLISHED_DESTINATIONS);
    load_ca(loaded, errors);
    load_trust(loaded, errors);
    load_ticket_keys(loaded, errors);
    describe_origin(loaded, errors);
}

/* Takes the text. */
static struct loaded_config *load(struct text *source, const char *file, bool any_owner,
                                  struct snapshot *files, struct text *errors)
{
    struct loaded_config *loaded = calloc(1, sizeof *loaded);
    if (!loaded) {
        text_fini(source);
        return NULL;
    }
    loaded->references = loaded->holders = 1;
    loaded->at = time(NULL);
    loaded->any_owner = any_owner;
    loaded->files = files;
    loaded->source = *source;
    *source = (struct text){0};
    if (!snapshot_put(files, file, &loaded->source)) text_add(errors, "out of memory\n");
    if (!random_bytes(loaded->generation, sizeof loaded->generation))
        text_add(errors, "the system gives no random bytes\n");
    loaded->config = config_parse(text_string(&loaded->source), loaded->source.size, file, errors);
    if (loaded->config) load_files(loaded, errors);
    loaded->files = NULL;
    if (loaded->config && errors->size == 0) return loaded;
    loaded_config_release(loaded);
    return NULL;
}

struct loaded_config *loaded_config_read(const char *file, bool any_owner, struct snapshot *files,
                                         struct text *errors)
{
    struct text source = {0};
    bool ok = snapshot_is_given(files) ? load_pem(files, file, &source, NULL, errors)
                                       : config_read(file, &source, errors);
    if (ok) return load(&source, file, any_owner, files, errors);
    text_fini(&source);
    return NULL;
}

struct loaded_config *loaded_config_reread(const struct loaded_config *loaded, const char *file,
                                           struct snapshot *files, struct text *errors)
{
    struct text source = {0};
    text_add_bytes(&source, text_string(&loaded->source), loaded->source.size);
    return load(&source, file, loaded->any_owner, files, errors);
}

struct loaded_config *loaded_config_hold(struct loaded_config *loaded)
{
    __atomic_add_fetch(&loaded->references, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&loaded->holders, 1, __ATOMIC_RELAXED);
    return loaded;
}

static void free_listeners(struct loaded_config *loaded)
{
    for (size_t i = 0; i < loaded->config->listener_count; i++) {
        for (size_t k = 0; loaded->own && k < KEY_TYPES; k++)
            own_certificate_fini(&loaded->own[i][k]);
        if (loaded->client_cas) text_fini(&loaded->client_cas[i].anchors);
        if (loaded->client_cas) text_fini(&loaded->client_cas[i].crls);
        if (loaded->logins) credentials_fini(&loaded->logins[i]);
    }
    free(loaded->own);
    free(loaded->client_cas);
    free(loaded->logins);
    loaded->own = NULL;
    loaded->client_cas = NULL;
    loaded->logins = NULL;
}

static void free_identities(struct loaded_config *loaded)
{
    for (size_t i = 0; loaded->identities && i < loaded->config->identity_count; i++)
        own_certificate_fini(&loaded->identities[i]);
    for (size_t i = 0; loaded->parents && i < loaded->config->parent_count; i++) {
        credentials_fini(&loaded->parents[i].credentials);
        text_wipe(&loaded->parents[i].basic);
    }
    free(loaded->identities);
    free(loaded->parents);
    loaded->identities = NULL;
    loaded->parents = NULL;
}

/* The memory goes back to the system: a large list is worth the time, once per reload. */
void loaded_config_let_go(struct loaded_config *loaded)
{
    if (__atomic_sub_fetch(&loaded->holders, 1, __ATOMIC_ACQ_REL) > 0) return;
    if (loaded->config) {
        free_listeners(loaded);
        free_identities(loaded);
        config_free_lists(loaded->config);
    }
    free(loaded->binding_told);
    loaded->binding_told = NULL;
    ca_files_fini(&loaded->ca);
    text_fini(&loaded->anchors);
    text_fini(&loaded->crls);
    for (size_t i = 0; i < loaded->end_count; i++) free(loaded->ends[i].what);
    free(loaded->ends);
    loaded->ends = NULL;
    loaded->end_count = 0;
    text_fini(&loaded->notes);
    text_fini(&loaded->source);
    explicit_bzero(&loaded->ticket_keys, sizeof loaded->ticket_keys);
    malloc_trim(0);
}

void loaded_config_drop(struct loaded_config *loaded)
{
    if (__atomic_sub_fetch(&loaded->references, 1, __ATOMIC_ACQ_REL) > 0) return;
    free(loaded->listener_addresses);
    config_free(loaded->config);
    free(loaded);
}

void loaded_config_release(struct loaded_config *loaded)
{
    if (!loaded) return;
    loaded_config_let_go(loaded);
    loaded_config_drop(loaded);
}

struct each_file {
    void (*each)(void *arg, const char *path);
    void *arg;
};

static void pass_on(void *arg, const char *path)
{
    const struct each_file *e = arg;
    if (strcmp(path, "system") == 0) path = TRUST_SYSTEM_BUNDLE;
    if (path[0] == '/') e->each(e->arg, path);
}

void loaded_config_each_file(const struct config *c, void (*each)(void *arg, const char *path),
                             void *arg)
{
    struct each_file e = {each, arg};
    config_each_path(c, pass_on, &e);
    if (!c->ca.certificate || !config_needs_ca(c)) return;
    const struct ca_place place = ca_place_of(c);
    for (int k = 0; k < KEY_TYPES; k++) {
        char path[PATH_MAX];
        ca_place_issuing(&place, (enum key_type)k, path);
        pass_on(&e, path);
    }
}
