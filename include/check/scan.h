/* All that one address of a server accepts, found out by asking. A struct scan is facts only;
 * check/judge.h says what they mean. Ended with scan_fini(). */
#ifndef CHECK_SCAN_H
#define CHECK_SCAN_H

#include "check/probe.h"
#include "pki/cert.h"
#include "policy/policy.h"

enum fact { FACT_UNKNOWN, FACT_NO, FACT_YES };

enum {
    SCAN_VERSIONS = 6,                      /* SSL 2.0 to TLS 1.3 */
    SCAN_CONNECTIONS = LIMITER_CONNECTIONS, /* at once to one host */
    SCAN_PROTOCOLS = 2                      /* of ALPN that are asked for */
};

struct scan_version {
    uint16_t version;
    enum fact accepted;
    uint16_t suites[OTHER_CIPHERS]; /* by number; of SSL 2.0: none, see kinds */
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

/* A chain as it was sent to who asked for this type of key. */
struct scan_certificate {
    bool cut;     /* it has more than could be read */
    bool differs; /* a real handshake was shown another one */
    struct buf der;
    struct span chain[REPLY_CERTIFICATES];
    size_t count;
    enum fact valid; /* judged by the proxy's own rules; unknown where no real handshake was made */
    enum reason reason;
    const char *fault; /* a static sentence that says more, or NULL */
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
    bool any_hello;       /* a ServerHello came, of whatever sort */
    int first_alert;      /* its answer to the first hello of TLS 1.2 or 1.3, -1: none */
    bool incomplete;      /* time or descriptors ran out before everything was asked */
    int incomplete_fault; /* the errno, 0: time, or a server that answers no more */
    bool out_of_time;     /* incomplete for that reason */
    struct scan_version versions[SCAN_VERSIONS];
    struct scan_approved approved[SUITE_COUNT];
    uint16_t order[SUITE_COUNT]; /* as the server picks them */
    size_t order_count;
    enum fact server_order; /* its own, whatever the client's is */
    uint16_t groups[OTHER_CURVES];
    size_t group_count;
    uint16_t weak_schemes[WEAK_SCHEMES];
    size_t weak_scheme_count;
    struct scan_certificate certificates[SCAN_KEYS];
    struct scan_features features;
};

/* What certificates are judged by. */
struct scan_trust {
    const struct text *anchors;
    const char *name;
    struct policy policy;
};

/* threads: connections at once. Facts into out, which was zeroed. */
void scan_run(struct probe_target *t, const struct scan_trust *trust, unsigned threads,
              struct scan *out);
void scan_fini(struct scan *s);

/* The approved suites that it accepts, as indexes, in its order as far as that is known. */
size_t scan_accepted(const struct scan *s, size_t out[SUITE_COUNT]);

static inline const struct scan_version *scan_version(const struct scan *s, uint16_t version)
{
    return &s->versions[version == SSL_2_0 ? 0 : version - SSL_3_0 + 1];
}

#endif
