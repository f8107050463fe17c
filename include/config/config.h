/* The configuration: one INI file to one typed struct, checked as a whole. config_parse() returns a
 * config, which the caller frees with config_free(), or reports every error with file and line. It
 * reads the INI text only; pki reads keys and certificates. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/addr.h"
#include "base/text.h"
#include "config/lists.h"
#include "policy/client_flight.h"
#include "policy/policy.h"
#include "policy/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* When written records are synced to the disk. */
enum audit_sync { SYNC_INTERVAL, SYNC_RECORD, SYNC_NONE };

struct audit_config {
    char *file;     /* a path, or "-" for standard output */
    char *key;      /* NULL: beside the file */
    char *instance; /* NULL: the host's name */
    enum audit_sync sync;
    struct string_list copies; /* paths or "-" */
    struct string_list syslog; /* each a syslog_address_from_text() */
};

enum listen_type {
    LISTEN_UNSET,
#define LISTEN_TYPE(name, word) LISTEN_##name,
#include "config/listen_types.def"
#undef LISTEN_TYPE
    LISTEN_TYPES
};
/* How the kernel redirects connections to a transparent listener. */
enum transparent { TRANSPARENT_UNSET, TRANSPARENT_REDIRECT, TRANSPARENT_TPROXY };

enum listen_mode { MODE_UNSET, MODE_ENFORCE, MODE_OBSERVE };
const char *listen_mode_name(enum listen_mode mode); /* "enforce" ... */

/* Of the PROXY protocol. */
enum proxy_version { PROXY_UNSET, PROXY_V1, PROXY_V2 };

const char *listen_type_name(enum listen_type type); /* "forward" ... */

enum parent_kind { PARENT_HTTP, PARENT_HTTPS, PARENT_SOCKS5 };

/* A proxy on the way to upstreams. */
struct parent_config {
    char *name;
    unsigned line; /* of its section header */
    struct parent_url {
        enum parent_kind kind;
        struct target target; /* host "": not given */
    } url;
    char *credentials; /* a path */
    struct pattern_list no_proxy;
};

/* What is presented to upstreams that ask for a certificate. */
struct identity_config {
    char *name;
    unsigned line;           /* of its section header */
    char *certificate, *key; /* paths */
    struct pattern_list upstreams;
};

/* Of [proxy] workers: the most. */
enum { CONFIG_WORKERS = 256 };

/* Where somebody listens: an address, or the path of a Unix socket. */
struct endpoint {
    struct addr address; /* length 0: not given */
    char *path;          /* NULL: not given */
};
bool endpoint_is_given(const struct endpoint *p);
/* As in the file: "127.0.0.1:9180", "unix:/run/x"; "" if it is not given. */
void endpoint_format(const struct endpoint *p, struct text *out);

/* Of [ca] publish, and of a publish listener's `only`: each client gets all of them. */
enum { PUBLISH_URL_LIMIT = 280, PUBLISHED_DESTINATIONS = 1000 };

/* An address, or the name of a socket that systemd hands over. */
struct listen_address {
    struct addr address;
    char *systemd;
};

struct listen_config {
    char *name;
    unsigned line; /* of its section header */
    enum listen_type type;
    enum listen_mode mode;
    union {
        struct listen_address where;
        struct {
            struct addr address; /* length 0: not given */
            char *systemd;       /* or the name of a socket that is handed over; NULL: none */
        };
    };
    struct addr source_address; /* of connections to upstreams; length 0: the system's choice */
    struct cidr_list allow_clients;
    struct pattern_list allow_upstreams;
    struct cidr_list proxy_protocol_from;
    enum proxy_version send_proxy_protocol; /* PROXY_UNSET: none */
    struct target upstream;                 /* host "": not given */
    uint64_t idle_timeout;                  /* milliseconds; default: [proxy]'s */
    char *upstream_name;
    unsigned upstream_port; /* of an sni listener; never 0 */
    enum transparent transparent;
    char *parent_name;
    const struct parent_config *parent; /* of the configuration; NULL: directly */
    char *credentials;                  /* a path */
    struct pattern_list only;           /* of a publish listener */
    struct string_list certificates, keys;
    enum client_certificate client_certificate; /* never UNSET */
    char *client_ca, *client_crl;               /* paths */
};

/* The limits of one source. */
struct source_limits {
    unsigned connections; /* at once; 0: off */
    unsigned handshakes;  /* per second; 0: off */
};

struct config {
    struct {
        char *user, *clerk_user, *proxy_user; /* NULL: not given */
    } process;
    struct {
        unsigned workers; /* never 0 */
        unsigned max_connections;
        struct source_limits per_source;
        uint64_t hello_max_size; /* bytes */
        uint64_t hello_timeout, handshake_timeout, connect_timeout, idle_timeout,
            drain_timeout; /* milliseconds */
    } proxy;
    struct policy policy;
    struct string_list suite_names;
    struct {
        char *certificate, *key, *publish, *crl_url;
    } ca;
    struct {
        char *trust, *crl;
        char *parent;
        struct string_list resolvers; /* each "IP:port" or "[IP]:port"; none: the system's */
        bool resume;
    } upstream;
    struct audit_config audit;
    char *ticket_key_file; /* a path */
    struct {
        struct endpoint address;
        struct cidr_list allow_clients;
    } operate;
    struct listen_config *listeners;
    size_t listener_count;
    struct parent_config *parents;
    size_t parent_count;
    struct identity_config *identities;
    size_t identity_count;
};

/* text: the file's n bytes. file: its name, for messages; relative paths start from its directory.
 * NULL on any error: `errors` then has one line each. */
WARN_UNUSED struct config *config_parse(const char *text, size_t n, const char *file,
                                        struct text *errors);
/* The text of a configuration file, at most 1 MiB. False with a line in errors. */
WARN_UNUSED bool config_read(const char *file, struct text *out, struct text *errors);
/* Reads the file, then parses it. */
WARN_UNUSED struct config *config_load(const char *file, struct text *errors);
void config_free(struct config *c);
/* What may be large: addresses and destinations that are allowed. */
void config_free_lists(struct config *c);

/* The effective configuration as an INI file that reads back as the same. */
void config_print(const struct config *c, struct text *out);
/* Calls `each` once per option, for help and documentation. standard: the default. */
void config_describe(void (*each)(void *arg, const char *section, const char *key,
                                  const char *standard, bool repeats, const char *text),
                     void *arg);

/* Calls `each` with every path of a file that is only read, those of [audit] are written: absolute,
 * but for "system", "-" and URIs. */
void config_each_path(const struct config *c, void (*each)(void *arg, const char *path), void *arg);

/* Does it have upstreams? */
bool listen_relays(const struct listen_config *l);
/* Does any listener need the local CA? */
bool config_needs_ca(const struct config *c);
/* Does it ask clients for a certificate? */
bool listen_asks_certificate(const struct listen_config *l);
/* May this client use this listener? */
bool listen_allows_client(const struct listen_config *l, const struct addr *client);
/* Does a connection from this address begin with a PROXY header? */
bool listen_expects_header(const struct listen_config *l, const struct addr *sender);
/* Is this destination reached directly despite the parent? */
bool parent_is_bypassed(const struct parent_config *p, const struct target *t);
bool listen_allows_upstream(const struct listen_config *l, const struct target *t);
/* Does a pattern of allow_upstreams other than "*" match? */
bool listen_names_upstream(const struct listen_config *l, const struct target *t);
/* Does a range of addresses in allow_upstreams contain this address and port? */
bool listen_names_address(const struct listen_config *l, const struct addr *a);

#endif
