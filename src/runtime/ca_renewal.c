/* The files of the local CA that are made anew in time. */
#include "base/file.h"
#include "ca_parts.h"
#include "load.h"
#include "pki/crl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 10, LOCK_PAUSE_NS = 100000000 };

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
    f->fresh = !ca_has_issued(f->root, &c) || (far && has_right_urls(&c, f->urls));
    return true;
}

/* One that cannot be read is left to ca_files_read(), which says so. */
static bool is_due(const struct text *pem, struct freshness *f)
{
    if (pem->size == 0) return true;
    return pem_each(text_string(pem), pem->size, PEM_CERTIFICATE, note_freshness, f) && f->known &&
           !f->fresh;
}

static void crl_path(const struct ca_place *place, const char *name, char out[PATH_MAX])
{
    char file[CA_NAME_SIZE + 8];
    snprintf(file, sizeof file, "%s.crl", name);
    ca_place_file(place, file, out);
}

/* Is this CA's CRL one of the files beside it? */
static bool has_crl_file(const struct ca_place *place, const char *name)
{
    char path[PATH_MAX];
    crl_path(place, name, path);
    return name[0] && snapshot_has(NULL, path);
}

/* True: the former one had its CRL in a file, so the new one needs one. */
static bool renew_issuing(const struct ca_place *place, struct ca *root, enum key_type type,
                          const struct text *pem, time_t now, struct text *done,
                          struct text *errors)
{
    struct issued_urls urls;
    struct text next = {0};
    char path[PATH_MAX];
    ca_set_urls(&urls, &(struct ca_place){.publish = place->publish}, "ca");
    struct freshness f = {.root = root, .urls = &urls.use, .now = now};
    if (!is_due(pem, &f)) return false;
    ca_place_issuing(place, type, path);
    if (!ca_create_issuing(root, type, &urls.use, now, &next))
        text_printf(errors, "%s: cannot make a key or sign with it\n", path);
    else
        (void)save(path, 0600, &next, done, errors);
    ca_wipe(&next);
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
        file_read_kept(path, CA_CRL_LIMIT, &der, NULL) == 0 &&
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
                            ? ca_open_issuing(&files, place, (enum key_type)k, &unread)
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

static bool note_name(void *arg, struct span der)
{
    struct cert c;
    char *name = arg;
    if (!name[0] && cert_parse(der, &c)) ca_short_name(&c, name);
    return true;
}

/* Of the lists that are files. No key is needed to see that. */
static bool lists_are_due(const struct ca_place *place, const struct ca_files *files, time_t now)
{
    char path[PATH_MAX];
    ca_place_file(place, "ca.crl", path);
    bool due = is_past_half(path, now);
    for (int k = 0; k < KEY_TYPES && !due; k++) {
        const struct text *pem = &files->issuing[k];
        char name[CA_NAME_SIZE] = "";
        (void)!pem_each(text_string(pem), pem->size, PEM_CERTIFICATE, note_name, name);
        crl_path(place, name, path);
        due = name[0] && is_past_half(path, now);
    }
    return due;
}

/* One process at a time: a proxy and a command may both find that something is due. Whoever may
 * read the folder may lock it: this does not wait for long. -1 with errno; ENOENT and the like
 * leave it to others to say so. */
static int lock_directory(const struct ca_place *place)
{
    int fd = open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), tries = LOCK_TRIES;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK && --tries > 0) {
            const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
            nanosleep(&pause, NULL);
            continue;
        }
        int fault = errno;
        close(fd);
        errno = fault;
        return -1;
    }
    return fd;
}

static bool read_certificates(const struct ca_place *place, struct ca_files *files,
                              struct text *unread)
{
    char path[PATH_MAX];
    bool ok = load_pem(NULL, place->certificate, &files->certificate, NULL, unread);
    for (int k = 0; ok && k < KEY_TYPES; k++) {
        ca_place_issuing(place, (enum key_type)k, path);
        if (snapshot_has(NULL, path)) ok = load_pem(NULL, path, &files->issuing[k], NULL, unread);
    }
    return ok;
}

/* Is there something that the root has to sign? */
static bool root_is_needed(const struct ca_place *place, const struct ca_files *files, time_t now,
                           struct text *unread)
{
    struct issued_urls urls;
    char path[PATH_MAX];
    struct ca *root = ca_root_open(files, place, unread);
    ca_set_urls(&urls, &(struct ca_place){.publish = place->publish}, "ca");
    ca_place_file(place, "ca.crl", path);
    bool needed = root && !snapshot_has(NULL, path);
    for (int k = 0; root && k < KEY_TYPES; k++) {
        struct freshness f = {.root = root, .urls = &urls.use, .now = now};
        needed = is_due(&files->issuing[k], &f) || needed;
    }
    ca_free(root);
    return needed;
}

/* True: an issuing CA has a new key, and needs a list. */
static bool renew_by_root(const struct ca_place *place, struct ca_files *files, time_t now,
                          struct text *done, struct text *errors)
{
    struct text unread = {0};
    bool new_lists = false;
    bool ok = root_is_needed(place, files, now, &unread) && ca_place_has_key(place) &&
              ca_read_root_key(place, true, files, &unread);
    struct ca *root = ok ? ca_root_open(files, place, &unread) : NULL;
    for (int k = 0; root && k < KEY_TYPES; k++)
        if (renew_issuing(place, root, (enum key_type)k, &files->issuing[k], now, done, errors))
            new_lists = true;
    if (root) renew_root_crl(place, root, now, done, errors);
    ca_free(root);
    text_fini(&unread);
    return new_lists;
}

void ca_files_renew(const struct ca_place *place, enum ca_renewal how, time_t now,
                    struct text *done, struct text *errors)
{
    struct ca_files files = {0};
    struct text unread = {0};
    int lock = lock_directory(place);
    if (lock < 0 && errno == EWOULDBLOCK) {
        text_printf(errors, "%s is locked by another process\n", place->directory);
        return;
    }
    bool ok = read_certificates(place, &files, &unread), new_lists = false;
    if (ok && (how == CA_RENEW_ALL || ca_files_have_issuing(&files)))
        new_lists = renew_by_root(place, &files, now, done, errors);
    struct crl_writing w = {place->directory, now, new_lists, done, errors};
    if (how != CA_RENEW_IN_PASSING || new_lists || lists_are_due(place, &files, now))
        each_signer(place, write_one, &w, errors);
    text_fini(&unread);
    ca_files_fini(&files);
    if (lock >= 0) close(lock);
}
