/* One generation of the configuration with every file it names, read and checked as a whole.
 * Immutable once loaded and shared by all workers; reference-counted. An open connection needs it
 * to its end, but only what it is called and how long it may be idle: what the files hold, and
 * lists, are its contents, which go when the last one who needs them lets go. */
#ifndef RUNTIME_LOADED_CONFIG_H
#define RUNTIME_LOADED_CONFIG_H

#include "audit/record.h"
#include "base/snapshot.h"
#include "base/text.h"
#include "config/config.h"
#include "pki/keys.h"
#include "pki/trust.h"
#include "policy/certificate_request.h"
#include "runtime/ca_files.h"
#include "runtime/credentials.h"
#include "tls/ticket.h"

#include <stdbool.h>

/* A certificate of the configuration with its key: a listener's own, or an identity's. */
struct own_certificate {
    struct text chain;   /* PEM */
    struct text issuers; /* of the chain: names in DER, one after the other */
    char sha256[65];     /* of the leaf */
    time_t ends;         /* the leaf */
    struct private_key key;
    uint16_t group; /* of an ECDSA key */
    bool present;
};

/* The CAs of a listener's clients; empty if it asks for no certificate. */
struct client_cas {
    struct text anchors, crls;
};

/* Something that expires. remark: static, or NULL. */
struct expiry {
    char *what;
    const char *remark;
    time_t end, warn_from;
};

/* A parent proxy's login. */
struct parent_login {
    struct credentials credentials; /* none, or one */
    struct text basic;              /* the value of Proxy-Authorization, or empty */
};

struct loaded_config {
    struct text source; /* the configuration file */
    struct config *config;
    struct ca_files ca; /* empty when no listener mints */
    struct text anchors, crls;
    bool has_crls;
    struct own_certificate (*own)[KEY_TYPES]; /* one row per listener */
    bool *binding_told;                       /* atomic; one per listener: see conn/evidence.c */
    struct client_cas *client_cas;            /* one element per listener */
    struct own_certificate *identities;       /* one element per identity */
    struct credentials *logins;               /* likewise */
    struct parent_login *parents;             /* one element per parent */
    struct addr *listener_addresses;          /* where they really are: port 0 is replaced */
    struct audit_origin origin;               /* of this process's records */
    struct ticket_keys ticket_keys;           /* those of [tickets] key_file, or none */
    time_t at;                                /* when it was loaded */
    /* What session tickets are bound to. Random, so that a new load ends all of them; or, with
     * shared keys, from the policy's digest. */
    uint8_t generation[16];
    uint32_t serial; /* the same to the keeper; set by who loads it */
    struct expiry *ends;
    size_t end_count;
    struct text notes; /* further warnings for the operator, one per line */
    bool any_owner;
    struct snapshot *files; /* while it is read */
    int holders;            /* atomic: of its contents */
    int references;         /* atomic: these, and who has let go of its contents */
};

/* any_owner: private keys may belong to another user; for root, who checks a service's
 * configuration. files: where they are read and kept (base/snapshot.h); NULL: just read. NULL with
 * one line per fault in errors. */
WARN_UNUSED struct loaded_config *loaded_config_read(const char *file, bool any_owner,
                                                     struct snapshot *files, struct text *errors);
/* The same configuration again, with its files read anew. */
WARN_UNUSED struct loaded_config *loaded_config_reread(const struct loaded_config *loaded,
                                                       const char *file, struct snapshot *files,
                                                       struct text *errors);
/* Calls `each` with the path of each file that a configuration has read, but for lists
 * (runtime/list_files.h). */
void loaded_config_each_file(const struct config *c, void (*each)(void *arg, const char *path),
                             void *arg);
/* The CAs of a listener's clients, for one thread. NULL with a sentence in errors. */
WARN_UNUSED struct trust *loaded_config_client_trust(const struct loaded_config *loaded,
                                                     size_t listener, struct text *errors);
/* Which identity to present to this upstream, by its verified name: of those that may and have not
 * expired, the first that one of the request's CAs has issued, else the first one that fits. Its
 * index in the configuration, or -1. */
int loaded_config_identity(const struct loaded_config *loaded, const struct target *upstream,
                           const struct certificate_request *request, time_t now);
/* One line per CA, certificate and CRL that has expired or soon will, and per CRL of a CA that is
 * not in the trust file. */
void loaded_config_warnings(const struct loaded_config *loaded, time_t now, struct text *out);
/* Does it have CRLs past half their life, so that it should be loaded again? */
bool loaded_config_is_stale(const struct loaded_config *loaded, time_t now);
struct loaded_config *loaded_config_hold(struct loaded_config *loaded);
void loaded_config_release(struct loaded_config *loaded);
/* Releases the contents only; then `config` without lists, `origin`, `generation`, the addresses
 * and numbers are left. loaded_config_drop() releases these, too. */
void loaded_config_let_go(struct loaded_config *loaded);
void loaded_config_drop(struct loaded_config *loaded);

#endif
