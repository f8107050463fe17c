/* What reading and renewing the local CA's files share. Private to runtime/. */
#ifndef RUNTIME_CA_PARTS_H
#define RUNTIME_CA_PARTS_H

#include "runtime/ca_files.h"

enum { CA_CRL_LIMIT = 1 << 20 /* bytes of a list's file */ };

/* The URLs of what a CA issues, which is published under this name. */
struct issued_urls {
    char crl[PATH_MAX], issuer[PATH_MAX];
    struct ca_urls use;
};
void ca_set_urls(struct issued_urls *urls, const struct ca_place *place, const char *name);

/* NULL with a sentence in errors. */
WARN_UNUSED struct ca *ca_open_issuing(const struct ca_files *files, const struct ca_place *place,
                                       enum key_type type, struct text *errors);
bool ca_has_issued(const struct ca *root, const struct cert *c);
/* From its file or its token. False with a sentence in errors. */
WARN_UNUSED bool ca_read_root_key(const struct ca_place *place, bool any_owner,
                                  struct ca_files *out, struct text *errors);
void ca_wipe(struct text *secret);

#endif
