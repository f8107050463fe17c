#include "load.h"

#include "pki/cert.h"
#include "pki/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void own_certificate_fini(struct own_certificate *own)
{
    text_fini(&own->chain);
    text_fini(&own->issuers);
    key_fini(&own->key);
}

enum { CLIENT_CA_WARNING = 30 * 86400 }; /* seconds before its end */

/* Anything that ends is told to the operator; an identity that could not be used is refused. */
struct leaf_check {
    struct own_certificate *own;
    const char *path;
    bool is_identity, first;
    const char *fault; /* NULL: none */
    struct loaded_config *loaded;
};

/* What upstreams would refuse in a client's certificate. */
static const char *fault_of_identity(const struct cert *c)
{
    time_t now = time(NULL);
    if (now > c->not_after) return "has expired";
    if (now < c->not_before) return "is not yet valid";
    if (!c->uses_tls) return "is not for clients (its extendedKeyUsage does not have clientAuth)";
    return c->can_sign_data ? NULL : "may not sign (its keyUsage does not have digitalSignature)";
}

static const char *fault_of_leaf(const struct leaf_check *check, const struct cert *c)
{
    bool allowed = c->key == CERT_KEY_RSA
                       ? c->bits >= POLICY_RSA_BITS_FLOOR && c->bits <= POLICY_RSA_BITS_CEILING
                       : c->group != 0;
    if (!allowed) return "has a key that the policy does not allow";
    if (!span_equal(key_spki(&check->own->key), c->spki))
        return "and its key do not belong together";
    if (c->signature != CERT_SIGNATURE_STRONG)
        return "has a signature that the policy does not allow";
    return check->is_identity ? fault_of_identity(c) : NULL;
}

static bool check_certificate(void *arg, struct span der)
{
    struct leaf_check *check = arg;
    struct own_certificate *own = check->own;
    struct cert c;
    uint8_t digest[32];
    if (!cert_parse(der, &c)) return false;
    text_add_bytes(&own->issuers, c.issuer.p, c.issuer.n);
    if (!check->first) return !own->issuers.failed;
    check->first = false;
    if (!digest_sha256(der.p, der.n, digest)) return false;
    check->fault = fault_of_leaf(check, &c);
    own->group = c.group;
    own->ends = c.not_after;
    text_hex(digest, sizeof digest, own->sha256);
    load_note_certificate(check->loaded, check->path, &c);
    return true;
}

/* Others get its public half. */
static bool take_key(const struct loaded_config *loaded, const char *path, const struct text *pem,
                     struct private_key *out)
{
    struct text public = {0};
    char name[LOAD_KEY_NAME];
    load_key_name(path, name);
    if (snapshot_is_given(loaded->files))
        return key_public_from_pem(text_string(pem), pem->size, out);
    bool ok = key_from_pem(text_string(pem), pem->size, out) &&
              pem_add_public_key(key_spki(out), &public) &&
              snapshot_put(loaded->files, name, &public);
    text_fini(&public);
    return ok;
}

/* A certificate chain, leaf first, and its key. False with a sentence in errors, and nothing to
 * free. */
static bool load_pair(struct loaded_config *loaded, const char *path, const char *key_path,
                      bool is_identity, struct own_certificate *own, struct text *errors)
{
    struct text pem = {0};
    bool ok = load_pem(loaded->files, path, &own->chain, NULL, errors) &&
              load_key(loaded->files, key_path, MODE_OTHERS, loaded->any_owner, &pem, errors);
    if (ok && !take_key(loaded, key_path, &pem, &own->key)) {
        text_printf(errors, "%s holds no usable private key (PEM, not encrypted)\n", key_path);
        ok = false;
    }
    text_wipe(&pem);
    struct leaf_check check = {
        .own = own, .path = path, .is_identity = is_identity, .first = true, .loaded = loaded};
    if (ok && (!pem_each(text_string(&own->chain), own->chain.size, PEM_CERTIFICATE,
                         check_certificate, &check) ||
               check.first)) {
        text_printf(errors, "%s holds no certificate that can be read (PEM is expected)\n", path);
        ok = false;
    }
    if (check.fault) text_printf(errors, "%s %s\n", path, check.fault);
    own->present = ok && !check.fault;
    if (!own->present) own_certificate_fini(own);
    return own->present;
}

static void load_own(struct loaded_config *loaded, size_t listener, size_t pair,
                     struct text *errors)
{
    const struct listen_config *l = &loaded->config->listeners[listener];
    const char *path = l->certificates.items[pair];
    struct own_certificate own = {0};
    if (!load_pair(loaded, path, l->keys.items[pair], false, &own, errors)) return;
    struct own_certificate *place = &loaded->own[listener][own.key.type];
    if (!place->present) {
        *place = own;
        return;
    }
    text_printf(errors, "%s: listener %s has two certificates of the same key type\n", path,
                l->name);
    own_certificate_fini(&own);
}

void load_own_certificates(struct loaded_config *loaded, size_t listener, struct text *errors)
{
    size_t pairs = loaded->config->listeners[listener].certificates.n;
    for (size_t i = 0; i < pairs; i++) load_own(loaded, listener, i, errors);
}

void load_identity(struct loaded_config *loaded, size_t i, struct text *errors)
{
    const struct identity_config *identity = &loaded->config->identities[i];
    (void)!load_pair(loaded, identity->certificate, identity->key, true, &loaded->identities[i],
                     errors);
}

static bool was_issued_by(const struct own_certificate *own, struct span authorities)
{
    struct reader names = reader_of(authorities);
    for (struct span name; (name = certificate_request_next(&names)).n > 0;) {
        struct reader issuers = reader_of(
            (struct span){(const uint8_t *)text_string(&own->issuers), own->issuers.size});
        for (struct der_item issuer; issuers.left > 0 && der_next(&issuers, &issuer);)
            if (name_equal(issuer.whole, name)) return true;
    }
    return false;
}

int loaded_config_identity(const struct loaded_config *loaded, const struct target *upstream,
                           const struct certificate_request *request, time_t now)
{
    int first = -1;
    for (size_t i = 0; i < loaded->config->identity_count; i++) {
        const struct own_certificate *own = &loaded->identities[i];
        if (!list_has_target(&loaded->config->identities[i].upstreams, upstream, false) ||
            now > own->ends || !certificate_request_takes(request, own->key.type))
            continue;
        if (was_issued_by(own, request->authorities)) return (int)i;
        if (first < 0) first = (int)i;
    }
    return first;
}

struct trust *loaded_config_client_trust(const struct loaded_config *loaded, size_t listener,
                                         struct text *errors)
{
    const struct listen_config *l = &loaded->config->listeners[listener];
    const struct client_cas *cas = &loaded->client_cas[listener];
    return trust_new(&cas->anchors, l->client_ca, l->client_crl ? &cas->crls : NULL, l->client_crl,
                     loaded->config->policy.minimum_rsa_bits, errors);
}

/* Its clients would be refused for what is the operator's to mend. */
static void note_client_ca(struct loaded_config *loaded, const char *listener, time_t end)
{
    char what[128];
    snprintf(what, sizeof what, "A CA in client_ca of listener %s", listener);
    load_note_end(loaded, what, end, end - CLIENT_CA_WARNING);
}

void load_client_cas(struct loaded_config *loaded, size_t i, struct text *errors)
{
    const struct listen_config *l = &loaded->config->listeners[i];
    struct client_cas *cas = &loaded->client_cas[i];
    char what[128];
    if (!listen_asks_certificate(l) ||
        !load_pem(loaded->files, l->client_ca, &cas->anchors, NULL, errors) ||
        (l->client_crl && !load_pem(loaded->files, l->client_crl, &cas->crls, NULL, errors)))
        return;
    struct trust *trust = loaded_config_client_trust(loaded, i, errors);
    if (!trust) return;
    snprintf(what, sizeof what, "A CRL of client_crl of listener %s", l->name);
    note_client_ca(loaded, l->name, trust_anchor_expiry(trust));
    time_t end = trust_crl_expiry(trust);
    if (end) load_note_end(loaded, what, end, end);
    load_note_strange_crls(loaded, trust, "client_crl", "client_ca");
    trust_free(trust);
}

void load_note_strange_crls(struct loaded_config *loaded, const struct trust *trust,
                            const char *option, const char *cas)
{
    struct text issuers = {0};
    trust_strange_crls(trust, &issuers);
    char *all = text_take(&issuers), *rest = all;
    for (char *one; rest && (one = strsep(&rest, "\n"));)
        if (*one)
            text_printf(&loaded->notes,
                        "%s has a list of %s, which is no CA of %s: it counts only where a peer "
                        "sends that CA as an intermediate.\n",
                        option, one, cas);
    free(all);
}
