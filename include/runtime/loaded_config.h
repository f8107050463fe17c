/* One generation of the configuration with every file it names, read and checked as a whole.
 * Immutable once loaded and shared by all workers; counted, freed with the last reference. */
#ifndef RUNTIME_LOADED_CONFIG_H
#define RUNTIME_LOADED_CONFIG_H

#include "audit/record.h"
#include "base/text.h"
#include "config/config.h"
#include "pki/keys.h"

#include <stdbool.h>

/* A fixed listener's own certificate. */
struct own_certificate {
    struct text chain; /* PEM */
    struct private_key key;
    uint16_t group; /* of an ECDSA key */
    bool present;
};

/* Something that runs out. */
struct expiry {
    char *what;
    time_t end, warn_from;
};

struct loaded_config {
    struct config *config;
    struct text ca_certificate, ca_key; /* empty when no listener mints */
    struct text anchors, crls;
    bool has_crls;
    struct own_certificate (*own)[KEY_TYPES]; /* one row a listener */
    struct addr *listener_addresses;          /* no port is 0 once server_run() has chosen one */
    char digest[65];
    struct audit_policy audit_policy;
    uint8_t generation[16]; /* random: tells this load of the configuration from any other */
    struct expiry *ends;
    size_t end_count;
    struct text notes; /* what else the operator should look at, a line each */
    bool any_owner;
    int references; /* atomic */
};

/* any_owner: the private keys may be another user's; for root, who checks what a service will run
 * with. NULL with one line a fault in errors. */
WARN_UNUSED struct loaded_config *loaded_config_read(const char *file, bool any_owner,
                                                     struct text *errors);
/* One sentence for each CA, certificate and CRL that is near its end or past it, and for each CRL
 * of a CA that is not in the trust file, a line each. */
void loaded_config_warnings(const struct loaded_config *loaded, time_t now, struct text *out);
struct loaded_config *loaded_config_hold(struct loaded_config *loaded);
void loaded_config_release(struct loaded_config *loaded);

#endif
