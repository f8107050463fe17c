/* Reads a server's side of a TLS 1.2 handshake while it is plaintext: from the first byte to
 * ChangeCipherSpec. Collects facts (version, suite, group, alerts) and finds what must stop the
 * handshake before the TLS library acts on it.
 * Used for the upstream's bytes and for our own server side. It owns the CertificateRequest that it
 * keeps. No sockets, no TLS library. */
#ifndef POLICY_FLIGHT_H
#define POLICY_FLIGHT_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/reader.h"
#include "policy/policy.h"
#include "policy/reasons.h"
#include "policy/records.h"

#include <stdbool.h>

enum { FLIGHT_HEAD = 1024, FLIGHT_ALPN_SIZE = 256 };

/* A server that sends more certificates is refused. */
enum { FLIGHT_CHAIN_LIMIT = 32 };

/* Of a CertificateRequest's body: the most that its list of CAs can have, and room for the rest. */
enum { FLIGHT_REQUEST_LIMIT = (1 << 16) + 1024 };

struct flight_offer {
    suite_set suites;
    struct span alpn; /* length-prefixed names, n = 0 when none was offered */
};

struct flight {
    /* Facts from the bytes so far. */
    uint16_t version; /* of the ServerHello, 0 before */
    uint16_t suite;
    uint16_t group;  /* of ServerKeyExchange, 0 before */
    uint16_t scheme; /* its signature scheme */
    char alpn[FLIGHT_ALPN_SIZE];
    bool has_hello, has_certificate_request, done;
    bool secure_renegotiation, extended_master_secret, encrypt_then_mac, ticket;
    bool speaks_tls13;      /* the marker for TLS 1.2 (RFC 8446 section 4.1.3) */
    int alert;              /* description of the plaintext fatal alert, -1: none */
    uint16_t alert_version; /* of its record */
    /* Internal: record and message reassembly. */
    struct records records;
    size_t message_left; /* body bytes of the current handshake message still to come */
    uint8_t message_header[MESSAGE_HEADER];
    uint8_t message_header_size;
    uint8_t head[FLIGHT_HEAD]; /* the first bytes of the message's body */
    size_t head_size;
    /* The Certificate message: a list length, then a length and a body each. */
    size_t certificate_left, certificate_length;
    unsigned certificate_length_size, certificates;
    bool certificate_list;
    struct buf request; /* the body of CertificateRequest, if there was an offer */
    uint8_t alert_bytes[2];
    uint8_t alert_size;
};

/* A zeroed flight with alert = -1 is ready. */
static inline void flight_init(struct flight *f)
{
    *f = (struct flight){.alert = -1};
}

void flight_fini(struct flight *f);

/* Takes all n bytes. REASON_OK, or why this handshake must end; *alert is then the alert to send:
 * the table's, or the RFC's where that is more exact (-1: none). Once `done`, bytes are ignored.
 * offer = NULL collects facts only. */
WARN_UNUSED enum reason flight_feed(struct flight *f, const struct flight_offer *offer,
                                    const uint8_t *p, size_t n, int *alert);

/* Why a handshake failed that flight_feed() did not stop, from what was seen (an alert, an end of
 * data, nothing at all). */
enum reason flight_explain(const struct flight *f, bool closed);

#endif
