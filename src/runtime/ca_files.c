#include "runtime/ca_files.h"

#include "base/file.h"
#include "load.h"
#include "pki/crl.h"
#include "pki/signature.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { DAY = 86400, CRL_LIMIT = 1 << 20 };

static const char *const issuing_files[KEY_TYPES] = {
    [KEY_ECDSA] = "issuing-ecdsa.pem", [KEY_RSA] = "issuing-rsa.pem"};

void ca_place_file(const struct ca_place *place, const char *name, char out[PATH_MAX])
{
    if (snprintf(out, PATH_MAX, "%s/%s", place->directory, name) >= PATH_MAX) out[0] = '\0';
}

void ca_place_issuing(const struct ca_place *place, enum key_type type, char out[PATH_MAX])
{
    ca_place_file(place, issuing_files[type], out);
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

static void wipe(struct text *secret)
{
    if (secret->data) explicit_bzero(secret->data, secret->size);
    text_fini(secret);
}

void ca_files_fini(struct ca_files *files)
{
    text_fini(&files->certificate);
    text_fini(&files->crl);
    wipe(&files->key);
    token_key_release(files->token);
    files->token = NULL;
    for (int k = 0; k < KEY_TYPES; k++) {
        wipe(&files->issuing[k]);
        text_fini(&files->issuing_crls[k]);
    }
}

/* ---- opening ---- */

/* The URLs of what a CA issues, which is published under this name. */
struct urls {
    char crl[PATH_MAX], issuer[PATH_MAX];
    struct ca_urls use;
};

static void set_urls(struct urls *urls, const struct ca_place *place, const char *name)
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
    struct urls urls;
    set_urls(&urls, place, "ca");
    const struct ca_key key = {files->key.size > 0 ? &files->key : NULL, files->token};
    return ca_new(&files->certificate, key, &urls.use, place->certificate, errors);
}

/* Its own name is known only once it is open. */
static struct ca *open_issuing(const struct ca_files *files, const struct ca_place *place,
                               enum key_type type, struct text *errors)
{
    const struct text *pem = &files->issuing[type];
    struct urls urls = {.use = {NULL, NULL}};
    char path[PATH_MAX], name[CA_NAME_SIZE] = "";
    ca_place_issuing(place, type, path);
    struct ca *ca = ca_new(pem, (struct ca_key){NULL, NULL}, &urls.use, path, errors);
    if (!ca) return NULL;
    ca_short_name(ca_certificate(ca), name);
    ca_free(ca);
    set_urls(&urls, place, name);
    const struct ca_key key = {files->without_keys ? NULL : pem, NULL};
    return ca_new(pem, key, &urls.use, path, errors);
}

static bool issued(const struct ca *root, const struct cert *c)
{
    const struct cert *issuer = ca_certificate(root);
    return cert_issued_by(c, issuer) &&
           signature_valid(c->tbs, c->signature_algorithm, c->signature_bits, issuer);
}

static struct ca *open_below(const struct ca_files *files, const struct ca_place *place,
                             const struct ca *root, enum key_type type, struct text *errors)
{
    char path[PATH_MAX];
    struct ca *ca = open_issuing(files, place, type, errors);
    if (!ca || issued(root, ca_certificate(ca))) return ca;
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
    bool ok = root && snapshot_read(from, path, CRL_LIMIT, &out->crl, NULL) == 0 &&
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
        text_printf(errors, "%s and its key %s do not belong together\n", place->certificate,
                    place->key);
    ca_free(ca);
    return ok;
}

/* A line of a configuration is too short for many a URI: a file may have it. */
static bool read_root_key(const struct ca_place *place, bool any_owner, struct ca_files *out,
                          struct text *errors)
{
    struct text *key = &out->key;
    if (token_is_uri(place->key))
        text_add(key, place->key);
    else if (!load_key(NULL, place->key, MODE_ALL_BUT_OWNER, any_owner, key, errors))
        return false;
    if (!token_is_uri(text_string(key))) return true;
    key->data[strcspn(key->data, "\r\n")] = '\0';
    out->token = load_token(key->data, any_owner, errors);
    text_fini(key);
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
        return read_root_key(place, any_owner, out, errors);
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

/* ---- renewing ---- */

static bool save(const char *path, mode_t mode, const struct text *content, struct text *done,
                 struct text *errors)
{
    int fault = file_replace(path, mode, content);
    if (fault)
        text_printf(errors, "%s: %s\n", path, strerror(fault));
    else
        text_printf(done, "%s\n", path);
    return !fault;
}

static bool has_url(const struct cert *c, const char *url)
{
    return !url || memmem(c->der.p, c->der.n, url, strlen(url));
}

struct freshness {
    const struct ca *root;
    const struct ca_urls *urls;
    time_t now;
    bool known, fresh;
    char name[CA_NAME_SIZE];
};

/* Does it say where the root's CRL is, and nothing else? */
static bool has_right_urls(const struct cert *c, const struct ca_urls *urls)
{
    static const uint8_t crl_points[] = {DER_OID, 3, 0x55, 0x1d, 31};
    if (!urls->crl) return !memmem(c->der.p, c->der.n, crl_points, sizeof crl_points);
    return has_url(c, urls->crl) && has_url(c, urls->issuer);
}

/* Of the first certificate: is it far from its end? One of another root is not ours to replace. */
static bool note_freshness(void *arg, struct span der)
{
    struct freshness *f = arg;
    struct cert c;
    if (f->known) return true;
    if (!cert_parse(der, &c)) return false;
    f->known = true;
    ca_short_name(&c, f->name);
    bool far = c.not_after - f->now > (c.not_after - c.not_before) / 3;
    f->fresh = !issued(f->root, &c) || (far && has_right_urls(&c, f->urls));
    return true;
}

/* One that cannot be read is left to ca_files_read(), which says so. */
static bool is_due(const struct text *pem, struct freshness *f)
{
    if (pem->size == 0) return true;
    return pem_each(text_string(pem), pem->size, PEM_CERTIFICATE, note_freshness, f) && f->known &&
           !f->fresh;
}

/* Is this CA's CRL one of the files beside it? */
static bool has_crl_file(const struct ca_place *place, const char *name)
{
    char file[CA_NAME_SIZE + 8], path[PATH_MAX];
    snprintf(file, sizeof file, "%s.crl", name);
    ca_place_file(place, file, path);
    return name[0] && snapshot_has(NULL, path);
}

/* True: the former one had its CRL in a file, so the new one needs one. */
static bool renew_issuing(const struct ca_place *place, struct ca *root, enum key_type type,
                          const struct text *pem, time_t now, struct text *done,
                          struct text *errors)
{
    struct urls urls;
    struct text next = {0};
    char path[PATH_MAX];
    set_urls(&urls, &(struct ca_place){.publish = place->publish}, "ca");
    struct freshness f = {.root = root, .urls = &urls.use, .now = now};
    if (!is_due(pem, &f)) return false;
    ca_place_issuing(place, type, path);
    if (!ca_create_issuing(root, type, &urls.use, now, &next))
        text_printf(errors, "%s: cannot make a key or sign with it\n", path);
    else
        (void)save(path, 0600, &next, done, errors);
    wipe(&next);
    return has_crl_file(place, f.name);
}

static void write_crl(struct ca *ca, const char *path, unsigned days, time_t now, struct text *done,
                      struct text *errors)
{
    struct text crl = {0};
    if (!ca_crl(ca, now, days, &crl))
        text_printf(errors, "%s: cannot sign it\n", path);
    else
        (void)save(path, 0644, &crl, done, errors);
    text_fini(&crl);
}

static bool is_past_half(const char *path, time_t now)
{
    struct text der = {0};
    time_t made = 0, expires = 0;
    bool past =
        file_read_kept(path, CRL_LIMIT, &der, NULL) == 0 &&
        (!crl_times((struct span){(const uint8_t *)text_string(&der), der.size}, &made, &expires) ||
         now > made + (expires - made) / 2);
    text_fini(&der);
    return past;
}

typedef void each_ca(void *arg, struct ca *ca, const char *name, unsigned days);

/* Each CA whose key is here, by the name under which it is published, and how long its CRLs are
 * valid. */
static void each_signer(const struct ca_place *place, each_ca *each, void *arg, struct text *errors)
{
    struct ca_files files = {0};
    struct ca *root = NULL;
    struct text unread = {0};
    if (!ca_files_read(place, true, NULL, &files, &unread) ||
        !(root = ca_root_open(&files, place, &unread)))
        text_add(errors, text_string(&unread));
    if (root && ca_can_sign(root))
        each(arg, root, "ca", ca_files_have_issuing(&files) ? CA_ROOT_CRL_DAYS : CA_CRL_DAYS);
    for (int k = 0; root && k < KEY_TYPES; k++) {
        char name[CA_NAME_SIZE] = "";
        struct ca *ca = files.issuing[k].size > 0
                            ? open_issuing(&files, place, (enum key_type)k, &unread)
                            : NULL;
        if (!ca) continue;
        ca_short_name(ca_certificate(ca), name);
        each(arg, ca, name, CA_CRL_DAYS);
        ca_free(ca);
    }
    ca_free(root);
    text_fini(&unread);
    ca_files_fini(&files);
}

struct crl_writing {
    const char *directory;
    time_t now;
    bool all; /* also those that are not there yet, or not past half their life */
    struct text *done, *errors;
};

static void write_one(void *arg, struct ca *ca, const char *name, unsigned days)
{
    struct crl_writing *w = arg;
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s.crl", w->directory, name) >= PATH_MAX) return;
    if (w->all || is_past_half(path, w->now)) write_crl(ca, path, days, w->now, w->done, w->errors);
}

void ca_files_write_crls(const struct ca_place *place, const char *directory, time_t now,
                         struct text *done, struct text *errors)
{
    struct crl_writing w = {directory, now, true, done, errors};
    each_signer(place, write_one, &w, errors);
}

/* The root's CRL is kept as a file, since its key may be taken away. */
static void renew_root_crl(const struct ca_place *place, struct ca *root, time_t now,
                           struct text *done, struct text *errors)
{
    char path[PATH_MAX];
    ca_place_file(place, "ca.crl", path);
    if (!snapshot_has(NULL, path)) write_crl(root, path, CA_ROOT_CRL_DAYS, now, done, errors);
}

/* One process at a time: a proxy and a command may both find that something is due. -1: without. */
static int lock_directory(const struct ca_place *place)
{
    int fd = open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void ca_files_renew(const struct ca_place *place, bool all, time_t now, struct text *done,
                    struct text *errors)
{
    struct ca_files files = {0};
    struct text unread = {0};
    char path[PATH_MAX];
    struct ca *root = NULL;
    int lock = lock_directory(place);
    bool ok = load_pem(NULL, place->certificate, &files.certificate, NULL, &unread);
    for (int k = 0; ok && k < KEY_TYPES; k++) {
        ca_place_issuing(place, (enum key_type)k, path);
        if (snapshot_has(NULL, path)) ok = load_pem(NULL, path, &files.issuing[k], NULL, &unread);
    }
    ok = ok && (all || ca_files_have_issuing(&files)) && ca_place_has_key(place) &&
         read_root_key(place, true, &files, &unread);
    if (ok) root = ca_root_open(&files, place, &unread);
    bool new_crls = false;
    for (int k = 0; root && k < KEY_TYPES; k++)
        if (renew_issuing(place, root, (enum key_type)k, &files.issuing[k], now, done, errors))
            new_crls = true;
    if (root) renew_root_crl(place, root, now, done, errors);
    ca_free(root);
    text_fini(&unread);
    ca_files_fini(&files);
    struct crl_writing w = {place->directory, now, new_crls, done, errors};
    each_signer(place, write_one, &w, errors);
    if (lock >= 0) close(lock);
}
