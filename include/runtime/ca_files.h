/* The local CA's files. Either one CA signs leaves itself, or it is a root with issuing CAs below
 * it: one for leaves with ECDSA keys, one for those with RSA keys. Those are files beside the
 * root's certificate, each with its certificate and key. They are renewed while the root's key is
 * here. */
#ifndef RUNTIME_CA_FILES_H
#define RUNTIME_CA_FILES_H

#include "base/snapshot.h"
#include "config/config.h"
#include "pki/ca.h"

#include <limits.h>

/* Where they are. */
struct ca_place {
    char directory[PATH_MAX];
    const char *certificate,
        *key; /* paths; the key's may be the URI of one in a token, or of a file with that */
    const char *publish, *crl_url; /* URLs, or NULL */
};
/* Borrows from the configuration. */
struct ca_place ca_place_of(const struct config *c);
/* The file of the issuing CA for leaves with such keys. */
void ca_place_issuing(const struct ca_place *place, enum key_type type, char out[PATH_MAX]);
extern const char *const ca_issuing_files[KEY_TYPES]; /* their names */
void ca_place_file(const struct ca_place *place, const char *name, char out[PATH_MAX]);

/* What they hold. Texts are empty for what is not there. */
struct ca_files {
    struct text certificate;
    struct text
        key; /* of the only CA; that of a root with issuing CAs is not read for a snapshot */
    struct token_key *token; /* the same, if it is in a token; held */
    struct text issuing[KEY_TYPES];
    struct text crl;                     /* DER: of the root, or the only CA */
    struct text issuing_crls[KEY_TYPES]; /* DER */
    bool without_keys;                   /* they are in another process */
    bool renews;                         /* the root's key is here, and there are issuing CAs */
};
/* any_owner: keys may belong to anybody. from: base/snapshot.h, or NULL; it keeps no key. False
 * with sentences in errors: something is missing or does not fit together. */
WARN_UNUSED bool ca_files_read(const struct ca_place *place, bool any_owner, struct snapshot *from,
                               struct ca_files *out, struct text *errors);
void ca_files_fini(struct ca_files *files);
/* CRLs of the CAs that sign leaves, made now, for who has no keys. False with a sentence in
 * errors. */
WARN_UNUSED bool ca_files_make_crls(const struct ca_place *place, struct snapshot *from, time_t now,
                                    struct ca_files *files, struct text *errors);
/* Of a CA that signs leaves. */
bool ca_files_have_key(const struct ca_files *files);
bool ca_files_have_issuing(const struct ca_files *files);
/* Can the key of the root, or of the only CA, be used here? What is in a token counts as being
 * here. */
bool ca_place_has_key(const struct ca_place *place);

/* The CAs that sign leaves with each type of key; both may be the same. False with a sentence in
 * errors. ca_signers_close() ends them. */
WARN_UNUSED bool ca_signers_open(const struct ca_files *files, const struct ca_place *place,
                                 struct ca *out[KEY_TYPES], struct text *errors);
void ca_signers_close(struct ca *signers[KEY_TYPES]);
/* The root, or the only CA, with its key; NULL if the key is not here. */
WARN_UNUSED struct ca *ca_root_open(const struct ca_files *files, const struct ca_place *place,
                                    struct text *errors);

/* A CA's short name, from its key: its CRL and certificate are published as NAME.crl, NAME.crt. */
enum { CA_NAME_SIZE = 17 };
void ca_short_name(const struct cert *c, char out[CA_NAME_SIZE]);

enum ca_renewal {
    CA_RENEW_IN_PASSING, /* no key is read and no token asked unless something is due */
    CA_RENEW,            /* what is wrong with the files is told, even if nothing is due */
    CA_RENEW_ALL         /* an issuing CA that is missing is made, even if there is none yet */
};
/* With the root's key: makes the issuing CAs that are missing, that are in the last third of their
 * life, or that lack the URL of publish. Then renews the CRLs that are files and past half their
 * life. One line per file in done, and per failure in errors. */
void ca_files_renew(const struct ca_place *place, enum ca_renewal how, time_t now,
                    struct text *done, struct text *errors);
/* Writes the CRL of each CA whose key is here into this directory. As above. */
void ca_files_write_crls(const struct ca_place *place, const char *directory, time_t now,
                         struct text *done, struct text *errors);

#endif
