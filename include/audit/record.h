/* One audit record: typed facts in, one JSON line out (Elastic Common Schema names where ECS has
 * one). The event borrows everything it points to until audit_render() returns. It has no member
 * for a secret, URL path, header value or payload. */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include "audit/chain.h"
#include "base/addr.h"
#include "base/text.h"
#include "policy/hello.h"
#include "policy/outlook.h"
#include "policy/policy.h"
#include "policy/reasons.h"
#include "policy/target.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum audit_action {
#define ACTION(name, ...) AUDIT_##name,
#include "audit/actions.def"
#undef ACTION
    AUDIT_ACTIONS
};

const char *audit_action_name(enum audit_action action);
bool audit_action_is_routine(enum audit_action action);

/* The processes that write records; each has actions of its own. */
enum audit_sender { AUDIT_BY_CLERK, AUDIT_BY_KEEPER, AUDIT_BY_PROXY };
enum audit_sender audit_action_sender(enum audit_action action);

enum audit_level { AUDIT_INFO, AUDIT_WARNING, AUDIT_ERROR };

/* What the log's sinks need besides the line. */
struct audit_stamp {
    enum audit_action action;
    enum audit_level level;
    struct timespec at;
};

/* A certificate that a peer presented; subject NULL: none. */
struct audit_certificate {
    const char *subject, *issuer, *serial, *sha256;
    time_t not_before, not_after;
};

/* An upstream's request for a client certificate. */
struct audit_request {
    bool asked;
    const char *identity;    /* whose certificate was sent; NULL: none */
    struct span authorities; /* policy/certificate_request.h */
};

/* One leg's session, as far as it got. */
struct audit_leg {
    bool known;    /* the record has this leg */
    bool observed; /* it only passed: what became of it is not known */
    bool established, resumed;
    bool extended_master_secret, encrypt_then_mac, speaks_tls13;
    uint16_t version, suite, group;
    const char *next_protocol;            /* ALPN; NULL or "" for none */
    struct audit_certificate certificate; /* of its peer: our client, or the upstream */
};

/* Which instance a record is from, and its policy. */
enum { AUDIT_INSTANCE = 256, AUDIT_PROFILE = 16, AUDIT_DIGEST = 65 };
struct audit_origin {
    char instance[AUDIT_INSTANCE]; /* [audit] instance, or the host's name */
    char profile[AUDIT_PROFILE];
    char digest[AUDIT_DIGEST]; /* SHA-256 of policy_describe(), hexadecimal */
};

/* What a record says about the log itself. */
struct audit_log {
    /* log-checkpoint: why now, the last line it covers, and the signature (audit/checkpoint.h);
     * base 64. */
    const char *trigger;
    const struct chain *head;
    const struct chain *previous; /* the previous run's last line; NULL: not named */
    const char *key_id, *public_key, *signature;
    const char *next_key_id, *next_public_key; /* that it announces; NULL: none */
    /* log-repaired: half a line that was removed, and missing lines. */
    const struct text *torn;
    uint64_t missing_from, missing_to; /* 0: none */
    /* log-dropped: how many records a sink did not get. */
    const char *sink;
    uint64_t dropped;
};

/* process-ended: the connections that were cut. ids: some of them, as many as fit. */
struct audit_cut {
    size_t count;
    bool complete; /* false: there may have been others */
    const char *const *ids;
    size_t n;
};

struct audit_event {
    enum audit_action action;
    enum reason reason; /* REASON_OK: no code */
    struct timespec at;
    int64_t duration_ns; /* of the connection so far; -1: none */
    const struct audit_origin *origin;

    const char *connection_id;      /* NULL: not about a connection */
    const char *listener;           /* or NULL */
    const struct addr *source;      /* length 0 or NULL: unknown */
    const struct addr *via;         /* who sent a PROXY header with that source, or NULL */
    const struct addr *destination; /* the upstream's address once connected */
    const struct outlook *outlook;  /* connection-observed only */
    const char *mode;               /* of the listener: "enforce", "observe"; NULL or "": none */
    const char *parent;             /* the proxy on the way to the upstream, or NULL */
    const char *domain;             /* the upstream's name, or NULL */
    uint16_t destination_port;      /* 0: unknown */
    const char *identity;           /* "" or NULL: not known yet */
    bool has_bytes;
    uint64_t source_bytes, destination_bytes; /* payload, client to upstream and back */
    const char *closed_by;                    /* connection-closed only */
    const char *detail;                       /* a sentence of ours, never a peer's bytes */

    const struct hello *hello; /* NULL: not parsed */
    suite_set offered;         /* of the policy's suites */
    const char *ja4;
    struct audit_leg client, upstream;
    struct audit_request request;
    const char *channel_binding;    /* "same", "differs"; NULL: not known */
    int alert_sent, alert_received; /* -1: none */
    const struct audit_log *log;    /* NULL: not about the log */
    const struct audit_cut *cut;    /* or NULL */
};

/* Appends one open line, with room for chain_seal() to complete it. The complete line has at most
 * AUDIT_RECORD_LIMIT bytes, whatever peers send: lists are cut, and the record then has their
 * counts and the SHA-256 of the whole hello; other long texts end in "...". */
enum { AUDIT_RECORD_LIMIT = 16384 };
struct audit_stamp audit_render(const struct audit_event *event, struct text *out);

/* The lists of a hello that stay the same from one attempt of a program to the next. */
enum audit_kept { KEPT_SUITES, KEPT_GROUPS, KEPT_SCHEMES, KEPT_EXTENSIONS, KEPT_LISTS };
enum { AUDIT_KEPT_IDS = 192 };

/* What a client offered in one attempt; small enough to remember. */
struct audit_offer {
    bool present; /* there was a hello */
    bool failed;  /* in the client's handshake, or because of its offer */
    uint16_t highest_version;
    suite_set approved;
    struct addr source;
    char identity[HELLO_NAME_SIZE];
    char host[HELLO_NAME_SIZE]; /* the target: name or address, and port */
    uint16_t port;
    char listener[48];
    char connection_id[40];
    /* audit/fallback.h: the lists one after the other, and a digest of the ALPN names. comparable:
     * all of it fitted. */
    bool comparable;
    uint8_t kept[KEPT_LISTS];
    uint16_t ids[AUDIT_KEPT_IDS];
    uint64_t alpn;
};

/* The record of a possible retry with a weaker offer: it has both offers. Also an open line. */
struct audit_stamp audit_render_fallback(const struct audit_offer *before,
                                         const struct audit_offer *now, struct timespec at,
                                         const struct audit_origin *origin, struct text *out);

enum { AUDIT_REPEATED_DESTINATIONS = 8 };

/* Refusals of one source with one code, counted instead of recorded. */
struct audit_repeated {
    struct addr source; /* for IPv6 the /64: the other bits are 0 */
    char listener[48];
    enum reason reason;
    uint64_t count;
    struct timespec first, last;
    /* The first distinct ones, as host:port, and whether there were more. */
    char destinations[AUDIT_REPEATED_DESTINATIONS][TARGET_TEXT_SIZE];
    size_t destination_count;
    bool destinations_cut;
};

/* Their record; an open line. */
struct audit_stamp audit_render_repeated(const struct audit_repeated *r, struct timespec at,
                                         const struct audit_origin *origin, struct text *out);

#endif
