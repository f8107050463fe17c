/* Reads what a server answers to an offer (policy/offer.h): its first flight while it is plaintext,
 * of any version, to ServerHelloDone; or an alert; or bytes that are not TLS. Unlike
 * policy/flight.h, which guards a connection, this one accepts everything and keeps it. The server
 * is not trusted: memory is bounded by REPLY_LIMIT. Pure, no sockets. */
#ifndef POLICY_REPLY_H
#define POLICY_REPLY_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/reader.h"
#include "policy/records.h"

#include <stdbool.h>

enum {
    REPLY_LIMIT = 256 * 1024,
    REPLY_CERTIFICATES = 32,
    REPLY_HEAD = 16,
    REPLY_ALPN = 256,
    REPLY_EXTENSIONS = 32
};

enum reply_kind {
    REPLY_NONE,      /* nothing recognized yet */
    REPLY_HELLO,     /* a ServerHello */
    REPLY_ALERT,     /* a fatal alert before a ServerHello */
    REPLY_SSLV2,     /* a SERVER-HELLO of SSL 2.0 */
    REPLY_NOT_TLS,   /* reply_alien_name() may name it */
    REPLY_MALFORMED, /* it begins like TLS but cannot be parsed */
    REPLY_TOO_LARGE  /* more than REPLY_LIMIT */
};

enum { REPLY_SSLV2_KINDS = 16 };

struct reply {
    enum reply_kind kind;
    bool done; /* ServerHelloDone has come, or nothing more can come */
    int alert; /* its description, -1: none; also one after a ServerHello */
    /* Of a ServerHello. */
    uint16_t version, suite;
    uint8_t compression;
    bool session_id, secure_renegotiation, extended_master_secret, encrypt_then_mac, ticket;
    bool downgraded; /* the marker for less than TLS 1.2 (RFC 8446 section 4.1.3) */
    uint16_t extensions[REPLY_EXTENSIONS]; /* its first ones */
    size_t extension_count;
    bool retry; /* a HelloRetryRequest (RFC 8446 section 4.1.4) */
    char alpn[REPLY_ALPN];
    /* Of the messages after it. */
    struct span certificates[REPLY_CERTIFICATES]; /* DER, in `chain` */
    size_t certificate_count;
    bool chain_cut; /* it has more, or cannot be parsed to its end */
    bool certificate_request, staple;
    uint16_t group, scheme; /* of a key exchange with a curve; 0: none */
    uint8_t random[32];
    struct span parameters, signature; /* of that key exchange, in `exchange` */
    /* Of SSL 2.0: the cipher kinds it accepts. */
    uint32_t kinds[REPLY_SSLV2_KINDS];
    size_t kind_count;
    uint8_t head[REPLY_HEAD]; /* its first bytes */
    size_t head_size;
    /* Internal. */
    bool expects_sslv2;
    size_t total;
    struct records records;
    struct buf message, chain, exchange;
    uint8_t alert_bytes[2];
    size_t alert_size;
};

/* A zeroed reply with alert = -1 is ready. expects_sslv2: an SSL 2.0 hello was sent. */
void reply_init(struct reply *r, bool expects_sslv2);
void reply_fini(struct reply *r);

/* Takes n bytes; what follows `done` is ignored. */
void reply_feed(struct reply *r, const uint8_t *p, size_t n);

/* "HTTP", "SMTP" ... of a REPLY_NOT_TLS, or NULL. */
const char *reply_alien_name(const struct reply *r);

#endif
