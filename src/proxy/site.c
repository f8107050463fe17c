#include "proxy/site.h"

#include "base/clock.h"
#include "base/file.h"
#include "pki/ca.h"
#include "pki/cert.h"
#include "pki/trust.h"

#include <stdlib.h>
#include <string.h>

static const size_t pem_limit = 64 << 20;
static const time_t warn_at_most = (time_t)30 * 86400, warn_at_least = (time_t)7 * 86400;

enum { MODE_OTHERS = 007, MODE_ALL_BUT_OWNER = 077 };

static bool read_pem(const char *path, struct text *out, struct stat *st, struct text *errors)
{
    int fault = file_read(path, pem_limit, out, st);
    if (fault) text_printf(errors, "%s: %s\n", path, strerror(fault));
    return !fault;
}

/* forbidden: permission bits. What a symbolic link leads to counts: certbot's are links. */
static bool read_key(const struct site *site, const char *path, mode_t forbidden, struct text *out,
                     struct text *errors)
{
    struct stat st;
    return read_pem(path, out, &st, errors) &&
           file_is_private(path, &st, forbidden, site->any_owner, errors);
}

static void note_end(struct site *site, const char *what, time_t end, time_t warn_from)
{
    struct site_end *more = realloc(site->ends, (site->end_count + 1) * sizeof *more);
    if (!more) return;
    site->ends = more;
    char *copy = text_copy(what, strlen(what));
    if (copy) more[site->end_count++] = (struct site_end){copy, end, warn_from};
}

/* A month before its end; one that is short-lived anyway, a third of its life, but a week. */
static void note_certificate(struct site *site, const char *what, const struct cert *c)
{
    time_t before = (c->not_after - c->not_before) / 3;
    if (before < warn_at_least) before = warn_at_least;
    if (before > warn_at_most) before = warn_at_most;
    note_end(site, what, c->not_after, c->not_after - before);
}

void site_warnings(const struct site *site, time_t now, struct text *out)
{
    char when[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < site->end_count; i++) {
        const struct site_end *e = &site->ends[i];
        if (now < e->warn_from) continue;
        clock_format_seconds(e->end, when);
        text_printf(out, "%s %s %s.\n", e->what, e->end < now ? "expired on" : "expires soon, on",
                    when);
    }
    text_add(out, text_string(&site->notes));
}

static void load_ca(struct site *site, struct text *errors)
{
    const struct config *c = site->config;
    if (!config_needs_ca(c)) return;
    if (!read_pem(c->ca.certificate, &site->ca_certificate, NULL, errors) ||
        !read_key(site, c->ca.key, MODE_ALL_BUT_OWNER, &site->ca_key, errors)) {
        text_printf(errors, "make a local CA with: suitegate ca init --out DIR\n");
        return;
    }
    struct ca *ca =
        ca_new(&site->ca_certificate, &site->ca_key, c->ca.crl_url, c->ca.certificate, errors);
    if (ca) note_certificate(site, "The local CA", ca_certificate(ca));
    ca_free(ca);
}

/* Most likely a file of another CA, or a CA that was left out: its list would never be asked. */
static void note_strange_crls(struct site *site, const struct trust *trust)
{
    struct text issuers = {0};
    trust_strange_crls(trust, &issuers);
    char *all = text_take(&issuers), *rest = all;
    for (char *one; rest && (one = strsep(&rest, "\n"));)
        if (*one)
            text_printf(&site->notes,
                        "[upstream] crl has a list of %s, which is no CA of [upstream] trust: it "
                        "counts only where an upstream sends that CA as an intermediate.\n",
                        one);
    free(all);
}

static void load_trust(struct site *site, struct text *errors)
{
    const struct config *c = site->config;
    const char *path =
        strcmp(c->upstream.trust, "system") ? c->upstream.trust : TRUST_SYSTEM_BUNDLE;
    site->has_crls = c->upstream.crl != NULL;
    if (!read_pem(path, &site->anchors, NULL, errors)) return;
    if (site->has_crls && !read_pem(c->upstream.crl, &site->crls, NULL, errors)) return;
    struct trust *trust = trust_new(&site->anchors, path, site->has_crls ? &site->crls : NULL,
                                    c->upstream.crl, c->policy.minimum_rsa_bits, errors);
    if (trust) {
        time_t end = trust_crl_expiry(trust);
        if (end) note_end(site, "A CRL of [upstream] crl", end, end);
        note_strange_crls(site, trust);
    }
    trust_free(trust);
}

struct leaf_check {
    struct site *site;
    const struct private_key *key;
    struct own_certificate *own;
    const char *path;
    struct text *errors;
    bool first;
};

static bool check_leaf(void *arg, struct span der)
{
    struct leaf_check *check = arg;
    struct cert c;
    if (!check->first) return true;
    check->first = false;
    if (!cert_parse(der, &c)) return false;
    if (!span_equal(key_spki(check->key), c.spki))
        text_printf(check->errors, "%s and its key do not belong together\n", check->path);
    else if (c.key == CERT_KEY_RSA ? c.bits < POLICY_RSA_BITS_FLOOR : c.group == 0)
        text_printf(check->errors, "%s has a key that the policy does not allow\n", check->path);
    else if (c.signature != CERT_SIGNATURE_STRONG)
        text_printf(check->errors, "%s has a signature that the policy does not allow\n",
                    check->path);
    check->own->group = c.group;
    note_certificate(check->site, check->path, &c);
    return true;
}

static void load_own(struct site *site, size_t listener, size_t pair, struct text *errors)
{
    const struct listen_config *l = &site->config->listeners[listener];
    const char *path = l->certificates.items[pair];
    struct text chain = {0}, pem = {0};
    struct private_key key = {0};
    bool ok = read_pem(path, &chain, NULL, errors) &&
              read_key(site, l->keys.items[pair], MODE_OTHERS, &pem, errors);
    if (ok && !key_from_pem(text_string(&pem), pem.size, &key)) {
        text_printf(errors, "%s holds no usable private key (PEM, not encrypted)\n",
                    l->keys.items[pair]);
        ok = false;
    }
    if (pem.data) explicit_bzero(pem.data, pem.size);
    text_fini(&pem);
    if (!ok) {
        text_fini(&chain);
        return;
    }
    struct own_certificate *own = &site->own[listener][key.type];
    if (own->present) {
        text_printf(errors, "%s: listener %s has two certificates of the same key type\n", path,
                    l->name);
        text_fini(&chain);
        key_fini(&key);
        return;
    }
    *own = (struct own_certificate){.chain = chain, .key = key, .present = true};
    struct leaf_check check = {site, &key, own, path, errors, true};
    if (!pem_each(text_string(&chain), chain.size, PEM_CERTIFICATE, check_leaf, &check) ||
        check.first)
        text_printf(errors, "%s holds no certificate that can be read (PEM is expected)\n", path);
}

static void describe_policy(struct site *site, struct text *errors)
{
    struct text description = {0};
    uint8_t digest[32];
    policy_describe(&site->config->policy, &description);
    if (description.failed || !digest_sha256(text_string(&description), description.size, digest))
        text_add(errors, "out of memory\n");
    else
        text_hex(digest, sizeof digest, site->digest);
    text_fini(&description);
    site->audit_policy =
        (struct audit_policy){policy_profile_name(site->config->policy.profile), site->digest};
}

static void load_files(struct site *site, struct text *errors)
{
    const struct config *c = site->config;
    site->own = calloc(c->listener_count, sizeof *site->own);
    site->listener_addresses = calloc(c->listener_count, sizeof *site->listener_addresses);
    if (!site->own || !site->listener_addresses) {
        text_add(errors, "out of memory\n");
        return;
    }
    for (size_t i = 0; i < c->listener_count; i++) {
        site->listener_addresses[i] = c->listeners[i].address;
        for (size_t k = 0; k < c->listeners[i].certificates.n; k++) load_own(site, i, k, errors);
    }
    load_ca(site, errors);
    load_trust(site, errors);
    describe_policy(site, errors);
}

struct site *site_load(const char *file, bool any_owner, struct text *errors)
{
    bool unreadable;
    struct site *site = calloc(1, sizeof *site);
    if (!site) return NULL;
    site->references = 1;
    site->any_owner = any_owner;
    if (!random_bytes(site->generation, sizeof site->generation))
        text_add(errors, "the system gives no random bytes\n");
    site->config = config_load(file, errors, &unreadable);
    if (site->config) load_files(site, errors);
    if (site->config && errors->size == 0) return site;
    site_release(site);
    return NULL;
}

struct site *site_hold(struct site *site)
{
    __atomic_add_fetch(&site->references, 1, __ATOMIC_RELAXED);
    return site;
}

void site_release(struct site *site)
{
    if (!site || __atomic_sub_fetch(&site->references, 1, __ATOMIC_ACQ_REL) > 0) return;
    for (size_t i = 0; site->own && i < site->config->listener_count; i++)
        for (size_t k = 0; k < KEY_TYPES; k++) {
            text_fini(&site->own[i][k].chain);
            key_fini(&site->own[i][k].key);
        }
    free(site->own);
    free(site->listener_addresses);
    if (site->ca_key.data) explicit_bzero(site->ca_key.data, site->ca_key.size);
    text_fini(&site->ca_certificate);
    text_fini(&site->ca_key);
    text_fini(&site->anchors);
    text_fini(&site->crls);
    for (size_t i = 0; i < site->end_count; i++) free(site->ends[i].what);
    free(site->ends);
    text_fini(&site->notes);
    config_free(site->config);
    free(site);
}
