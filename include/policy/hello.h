/* The ClientHello: reassembly from bytes, parsing, and what it offers.
 * Two steps. A hello_reader takes bytes as they come, in any pieces, and collects one handshake
 * message; hello_parse() then reads that message. The parsed struct hello is a view into the
 * message and valid as long as the message. No sockets, no TLS library. */
#ifndef POLICY_HELLO_H
#define POLICY_HELLO_H

#include "base/buf.h"
#include "base/reader.h"
#include "policy/policy.h"
#include "policy/records.h"

#include <stdbool.h>

enum hello_status {
    HELLO_MORE,      /* needs more bytes */
    HELLO_COMPLETE,  /* reader: `message` holds the whole handshake message */
    HELLO_HTTP,      /* the bytes are an HTTP request */
    HELLO_NOT_TLS,   /* neither TLS nor HTTP */
    HELLO_SSLV2,     /* SSL 2.0 format (RFC 6101 appendix E) */
    HELLO_MALFORMED, /* `alert` says which */
    HELLO_TOO_LARGE, /* above the reader's limit */
    HELLO_TOO_MANY_SUITES,
    HELLO_TOO_MANY_EXTENSIONS,
    HELLO_NO_MEMORY,
};

struct hello_reader {
    struct buf message; /* handshake header and body, record headers left out */
    size_t limit;       /* largest message in bytes */
    struct records records;
    uint8_t alert; /* for HELLO_MALFORMED (RFC 5246 section 7.2) */
};

/* A zeroed reader with `limit` set is ready. hello_reader_fini() frees the message. */
void hello_reader_fini(struct hello_reader *r);

/* Takes bytes; *used says how many (all of them while HELLO_MORE; nothing after the hello is
 * taken). A result other than HELLO_MORE is final. */
WARN_UNUSED enum hello_status hello_reader_feed(struct hello_reader *r, const uint8_t *p, size_t n,
                                                size_t *used);

enum { HELLO_NAME_SIZE = 256 };

struct hello {
    struct span message; /* all of it, with its handshake header */
    uint16_t legacy_version;
    uint16_t highest_version; /* offered; from supported_versions where present */
    struct span random;
    struct span session_id;
    struct span cipher_suites;      /* u16 each */
    struct span compression;        /* u8 each */
    struct span extensions;         /* raw: type, length, body ... */
    struct span supported_versions; /* u16 each; n = 0 when absent */
    struct span groups;             /* u16 each */
    struct span schemes;            /* u16 each */
    struct span point_formats;      /* u8 each */
    struct span alpn;               /* length-prefixed names */
    struct span renegotiation;      /* renegotiated_connection, empty in a first hello */
    struct span session_ticket;     /* RFC 5077; empty: the client has none and wants one */
    bool has_versions, has_groups, has_schemes, has_point_formats, has_renegotiation;
    bool has_session_ticket, extended_master_secret;
    bool fallback_scsv, grease;
    /* Lower case, no final dot, visible ASCII; "" when absent. Some clients send an address or a
     * port with it, against RFC 6066 section 3: usable: it is a DNS name. */
    char server_name[HELLO_NAME_SIZE];
    bool server_name_usable;
};

/* Parses a whole handshake message. HELLO_COMPLETE, HELLO_MALFORMED with *alert, or
 * HELLO_TOO_MANY_* for more than 2,048 suites or 128 extensions. */
WARN_UNUSED enum hello_status hello_parse(struct span message, struct hello *h, uint8_t *alert);

bool hello_offers_extension(const struct hello *h, uint16_t type);
/* By the extension or by the suite that stands for it (RFC 5746 section 3.4). */
bool hello_offers_secure_renegotiation(const struct hello *h);

/* A DNS name as a certificate may have it: LDH labels and underscores, 1 to 253 characters, no
 * final dot, not an IP address (RFC 1123 section 2.1, RFC 6066 section 3). */
bool hello_name_is_valid(const char *name, size_t n);

/* The next protocol name of an ALPN list; n = 0 at its end. */
struct span hello_alpn_next(struct reader *r);

#endif
