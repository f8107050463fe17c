/* The parts of reading a configuration's files. Private to runtime/. */
#ifndef RUNTIME_LOAD_H
#define RUNTIME_LOAD_H

#include "base/file.h"
#include "pki/token.h"
#include "pki/trust.h"
#include "runtime/loaded_config.h"

#include <limits.h>
#include <sys/stat.h>

/* False with a sentence in errors. from: base/snapshot.h, or NULL. st may be NULL. */
WARN_UNUSED bool load_pem(struct snapshot *from, const char *path, struct text *out,
                          struct stat *st, struct text *errors);
/* The name in a snapshot of what others may have of a file with a secret: the same file may have
 * certificates, which are kept under its own. */
enum { LOAD_KEY_NAME = PATH_MAX + 16 };
void load_key_name(const char *path, char out[LOAD_KEY_NAME]);

/* A file with a secret: its permissions are checked (forbidden: MODE_*), and unless any_owner its
 * owner. It is not kept in a snapshot: the caller puts there what others may have. */
WARN_UNUSED bool load_key(struct snapshot *from, const char *path, mode_t forbidden, bool any_owner,
                          struct text *out, struct text *errors);

/* load_token.c: a key in a token, logged into with the PIN from its file. NULL with a sentence in
 * errors. */
WARN_UNUSED struct token_key *load_token(const char *uri, bool any_owner, struct text *errors);

/* What loaded_config_warnings() will warn of. */
void load_note_end(struct loaded_config *loaded, const char *what, time_t end, time_t warn_from);
void load_note_certificate(struct loaded_config *loaded, const char *what, const struct cert *c);
/* CRLs of no CA in the trust file: probably another CA's list, which would never be used. */
void load_note_strange_crls(struct loaded_config *loaded, const struct trust *trust,
                            const char *option, const char *cas);

/* load_certificates.c: what a listener presents, what it asks its clients for, and what is
 * presented to upstreams. */
void load_own_certificates(struct loaded_config *loaded, size_t listener, struct text *errors);
void load_client_cas(struct loaded_config *loaded, size_t listener, struct text *errors);
void load_identity(struct loaded_config *loaded, size_t i, struct text *errors);
void own_certificate_fini(struct own_certificate *own);

#endif
