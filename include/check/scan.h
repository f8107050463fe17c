/* Finds out what one address of a server accepts, by asking. A struct scan has facts only;
 * check/judge.h judges them. Ended with scan_fini(). */
#ifndef CHECK_SCAN_H
#define CHECK_SCAN_H

#include "check/probe.h"
#include "pki/cert.h"
#include "policy/policy.h"

enum fact { FACT_UNKNOWN, FACT_NO, FACT_YES };

enum {
    SCAN_VERSIONS = 6,                      /* SSL 2.0 to TLS 1.3 */
    SCAN_CONNECTIONS = LIMITER_CONNECTIONS, /* at once to one host */
    SCAN_PROTOCOLS = 2                      /* ALPN protocols to ask for */
};

struct scan_version {
    uint16_t version;
    enum fact accepted;
    uint16_t suites[OTHER_CIPHERS]; /* by number; for SSL 2.0 none, see kinds */
    size_t suite_count;
    uint32_t kinds[REPLY_SSLV2_KINDS];
    size_t kind_count;
};

/* One of the policy's suites. */
struct scan_approved {
    enum fact accepted; /* in a ServerHello */
    bool asked;         /* a real handshake was tried */
    struct proof proof;
};

enum scan_key { SCAN_KEY_ECDSA, SCAN_KEY_RSA, SCAN_KEY_OTHER, SCAN_KEYS };

/* The chain sent for this type of key. */
struct scan_certificate {
    bool cut;     /* the chain has more than was read */
    bool differs; /* a real handshake got another one */
    struct buf der;
    struct span chain[REPLY_CERTIFICATES];
    size_t count;
    enum fact valid; /* by the proxy's own rules; unknown without a real handshake */
    enum reason reason;
    const char *fault; /* a static sentence with details, or NULL */
};

struct scan_features {
    enum fact secure_renegotiation, extended_master_secret, encrypt_then_mac, compression, fallback,
        tickets, session_ids, staple, client_certificate;
    bool protocols[SCAN_PROTOCOLS]; /* of scan_protocols[] */
};
extern const char *const scan_protocols[SCAN_PROTOCOLS];

struct scan {
    struct addr address;
    enum probe_outcome outcome; /* PROBE_ANSWERED: the rest is filled in */
    int fault;
    char detail[PROBE_SMTP_TEXT];
    bool any_hello;       /* a ServerHello of any version came */
    int first_alert;      /* its answer to the first hello of TLS 1.2 or 1.3, -1: none */
    bool incomplete;      /* time or descriptors ran out before everything was asked */
    int incomplete_fault; /* the errno; 0: no time, or a server that stopped answering */
    bool out_of_time;     /* incomplete for that reason */
    struct scan_version versions[SCAN_VERSIONS];
    struct scan_approved approved[SUITE_COUNT];
    uint16_t order[SUITE_COUNT]; /* as the server chooses them */
    size_t order_count;
    enum fact server_order; /* the server ignores the client's order */
    uint16_t groups[OTHER_CURVES];
    size_t group_count;
    uint16_t weak_schemes[WEAK_SCHEMES];
    size_t weak_scheme_count;
    struct scan_certificate certificates[SCAN_KEYS];
    struct scan_features features;
};

/* For judging certificates. */
struct scan_trust {
    const struct text *anchors;
    const char *name;
    struct policy policy;
};

/* threads: connections at once. out: zeroed before. */
void scan_run(struct probe_target *t, const struct scan_trust *trust, unsigned threads,
              struct scan *out);
void scan_fini(struct scan *s);

/* The indexes of the approved suites that it accepts, in its order as far as known. */
size_t scan_accepted(const struct scan *s, size_t out[SUITE_COUNT]);

static inline const struct scan_version *scan_version(const struct scan *s, uint16_t version)
{
    return &s->versions[version == SSL_2_0 ? 0 : version - SSL_3_0 + 1];
}

#endif
