#include "runtime/ca_files.h"

#include "base/file.h"
#include "ca_parts.h"
#include "load.h"
#include "pki/crl.h"
#include "pki/signature.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const ca_issuing_files[KEY_TYPES] = {
    [KEY_ECDSA] = "issuing-ecdsa.pem", [KEY_RSA] = "issuing-rsa.pem"};

void ca_place_file(const struct ca_place *place, const char *name, char out[PATH_MAX])
{
    if (snprintf(out, PATH_MAX, "%s/%s", place->directory, name) >= PATH_MAX) out[0] = '\0';
}

void ca_place_issuing(const struct ca_place *place, enum key_type type, char out[PATH_MAX])
{
    ca_place_file(place, ca_issuing_files[type], out);
}

struct ca_place ca_place_of(const struct config *c)
{
    struct ca_place place = {.certificate = c->ca.certificate,
                             .key = c->ca.key,
                             .publish = c->ca.publish,
                             .crl_url = c->ca.crl_url};
    const char *slash = strrchr(c->ca.certificate, '/');
    int n = slash == c->ca.certificate ? 1 : slash ? (int)(slash - c->ca.certificate) : 1;
    snprintf(place.directory, sizeof place.directory, "%.*s", n, slash ? c->ca.certificate : ".");
    return place;
}

void ca_short_name(const struct cert *c, char out[CA_NAME_SIZE])
{
    uint8_t digest[32] = {0};
    if (digest_sha256(c->spki.p, c->spki.n, digest)) text_hex(digest, 8, out);
}

bool ca_files_have_issuing(const struct ca_files *files)
{
    for (int k = 0; k < KEY_TYPES; k++)
        if (files->issuing[k].size > 0) return true;
    return false;
}

bool ca_files_have_key(const struct ca_files *files)
{
    return files->key.size > 0 || files->token || ca_files_have_issuing(files);
}

void ca_wipe(struct text *secret)
{
    text_wipe(secret);
}

void ca_files_fini(struct ca_files *files)
{
    text_fini(&files->certificate);
    text_fini(&files->crl);
    ca_wipe(&files->key);
    token_key_release(files->token);
    files->token = NULL;
    for (int k = 0; k < KEY_TYPES; k++) {
        ca_wipe(&files->issuing[k]);
        text_fini(&files->issuing_crls[k]);
    }
}

/* ---- opening ---- */

void ca_set_urls(struct issued_urls *urls, const struct ca_place *place, const char *name)
{
    urls->use = (struct ca_urls){.crl = place->crl_url};
    if (!place->publish) return;
    snprintf(urls->crl, sizeof urls->crl, "%s/%s.crl", place->publish, name);
    snprintf(urls->issuer, sizeof urls->issuer, "%s/%s.crt", place->publish, name);
    urls->use.issuer = urls->issuer;
    if (!place->crl_url) urls->use.crl = urls->crl;
}

struct ca *ca_root_open(const struct ca_files *files, const struct ca_place *place,
                        struct text *errors)
{
    struct issued_urls urls;
    ca_set_urls(&urls, place, "ca");
    const struct ca_key key = {files->key.size > 0 ? &files->key : NULL, files->token};
    return ca_new(&files->certificate, key, &urls.use, place->certificate, errors);
}

/* Its own name is known only once it is open. */
struct ca *ca_open_issuing(const struct ca_files *files, const struct ca_place *place,
                           enum key_type type, struct text *errors)
{
    const struct text *pem = &files->issuing[type];
    struct issued_urls urls = {.use = {NULL, NULL}};
    char path[PATH_MAX], name[CA_NAME_SIZE] = "";
    ca_place_issuing(place, type, path);
    struct ca *ca = ca_new(pem, (struct ca_key){NULL, NULL}, &urls.use, path, errors);
    if (!ca) return NULL;
    ca_short_name(ca_certificate(ca), name);
    ca_free(ca);
    ca_set_urls(&urls, place, name);
    const struct ca_key key = {files->without_keys ? NULL : pem, NULL};
    return ca_new(pem, key, &urls.use, path, errors);
}

bool ca_has_issued(const struct ca *root, const struct cert *c)
{
    const struct cert *issuer = ca_certificate(root);
    return cert_issued_by(c, issuer) &&
           signature_valid(c->tbs, c->signature_algorithm, c->signature_bits, issuer);
}

static struct ca *open_below(const struct ca_files *files, const struct ca_place *place,
                             const struct ca *root, enum key_type type, struct text *errors)
{
    char path[PATH_MAX];
    struct ca *ca = ca_open_issuing(files, place, type, errors);
    if (!ca || ca_has_issued(root, ca_certificate(ca))) return ca;
    ca_place_issuing(place, type, path);
    text_printf(errors, "%s was not issued by %s\n", path, place->certificate);
    ca_free(ca);
    return NULL;
}

bool ca_signers_open(const struct ca_files *files, const struct ca_place *place,
                     struct ca *out[KEY_TYPES], struct text *errors)
{
    struct ca *root = ca_root_open(files, place, errors), *last = root;
    bool ok = root != NULL;
    for (int k = 0; k < KEY_TYPES; k++) out[k] = NULL;
    for (int k = 0; ok && k < KEY_TYPES; k++) {
        if (files->issuing[k].size == 0) continue;
        last = out[k] = open_below(files, place, root, (enum key_type)k, errors);
        ok = last != NULL;
    }
    for (int k = 0; ok && k < KEY_TYPES; k++)
        if (!out[k]) out[k] = last;
    if (last != root || !ok) ca_free(root);
    if (ok) return true;
    for (int k = 0; k < KEY_TYPES; k++) ca_free(out[k]);
    return false;
}

void ca_signers_close(struct ca *signers[KEY_TYPES])
{
    for (int k = 0; k < KEY_TYPES; k++) {
        bool shared = false;
        for (int other = 0; other < k; other++) shared = shared || signers[other] == signers[k];
        if (!shared) ca_free(signers[k]);
    }
}

/* ---- reading ---- */

static bool is_crl_of(const struct text *der, const struct ca *root)
{
    struct span bytes = {(const uint8_t *)text_string(der), der->size};
    return crl_is_of(bytes, ca_certificate(root));
}

static bool add_certificate(void *arg, struct span der)
{
    return pem_add_certificate(der, arg);
}

/* The list that the root has left as a file. Nothing else is published under its name, whatever the
 * file has. */
static void read_root_crl(const struct ca_place *place, struct snapshot *from, struct ca_files *out)
{
    char path[PATH_MAX];
    struct text unread = {0};
    struct ca *root = ca_root_open(out, place, &unread);
    ca_place_file(place, "ca.crl", path);
    bool ok = root && snapshot_read(from, path, CA_CRL_LIMIT, &out->crl, NULL) == 0 &&
              is_crl_of(&out->crl, root);
    if (!ok) text_fini(&out->crl);
    ca_free(root);
    text_fini(&unread);
}

/* Without its key, for a snapshot. */
static bool keep_certificates(struct snapshot *from, const char *path, const struct text *pem)
{
    struct text certificates = {0};
    bool ok = !from || (pem_each(text_string(pem), pem->size, PEM_CERTIFICATE, add_certificate,
                                 &certificates) &&
                        snapshot_put(from, path, &certificates));
    text_fini(&certificates);
    return ok;
}

static bool read_issuing(const struct ca_place *place, bool any_owner, struct snapshot *from,
                         enum key_type type, struct ca_files *out, struct text *errors)
{
    char path[PATH_MAX];
    struct text *pem = &out->issuing[type];
    ca_place_issuing(place, type, path);
    if (!snapshot_has(from, path)) return true;
    bool ok = out->without_keys ? load_pem(from, path, pem, NULL, errors)
                                : load_key(from, path, MODE_ALL_BUT_OWNER, any_owner, pem, errors);
    if (!ok) return false;
    if (pem->size == 0)
        text_printf(errors, "%s is empty\n", path);
    else if (out->without_keys || keep_certificates(from, path, pem))
        return true;
    return false;
}

bool ca_place_has_key(const struct ca_place *place)
{
    return token_is_uri(place->key) || access(place->key, R_OK) == 0;
}

/* Is it the certificate's key? One signature tells. */
static bool try_token(const struct ca_place *place, const struct ca_files *files,
                      struct text *errors)
{
    struct ca *ca = ca_root_open(files, place, errors);
    bool ok = ca && ca_key_fits(ca);
    if (ca && !ok)
        text_printf(errors, "%s and its key do not belong together\n", place->certificate);
    ca_free(ca);
    return ok;
}

/* A line of a configuration is too short for many a URI: a file may have it. */
bool ca_read_root_key(const struct ca_place *place, bool any_owner, struct ca_files *out,
                      struct text *errors)
{
    struct text *key = &out->key;
    if (token_is_uri(place->key))
        text_add(key, place->key);
    else if (!load_key(NULL, place->key, MODE_ALL_BUT_OWNER, any_owner, key, errors))
        return false;
    if (key->failed) return false;
    if (!token_is_uri(text_string(key))) return true;
    key->data[strcspn(key->data, "\r\n")] = '\0';
    out->token = load_token(key->data, any_owner, errors);
    ca_wipe(key);
    return out->token && try_token(place, out, errors);
}

/* A service need not be able to read the root's key, and does not: but nobody else may. */
static bool judge_root_key(const struct ca_place *place, bool any_owner, struct ca_files *out,
                           struct text *errors)
{
    struct stat st;
    out->renews = ca_place_has_key(place);
    return !out->renews || token_is_uri(place->key) || stat(place->key, &st) < 0 ||
           file_is_private(place->key, &st, MODE_ALL_BUT_OWNER, any_owner, errors);
}

static bool read_key(const struct ca_place *place, bool any_owner, const struct snapshot *from,
                     struct ca_files *out, struct text *errors)
{
    if (out->without_keys) return true;
    if (!ca_files_have_issuing(out) || (!from && ca_place_has_key(place)))
        return ca_read_root_key(place, any_owner, out, errors);
    return judge_root_key(place, any_owner, out, errors);
}

bool ca_files_read(const struct ca_place *place, bool any_owner, struct snapshot *from,
                   struct ca_files *out, struct text *errors)
{
    struct ca *signers[KEY_TYPES];
    out->without_keys = snapshot_is_given(from);
    bool ok = load_pem(from, place->certificate, &out->certificate, NULL, errors);
    for (int k = 0; ok && k < KEY_TYPES; k++)
        ok = read_issuing(place, any_owner, from, (enum key_type)k, out, errors);
    if (!ok || !read_key(place, any_owner, from, out, errors)) return false;
    if (ca_files_have_issuing(out)) read_root_crl(place, from, out);
    if (!ca_signers_open(out, place, signers, errors)) return false;
    ca_signers_close(signers);
    return true;
}
