/* Writes a client's first bytes, to ask a server what it accepts: a ClientHello of any version with
 * any suites, or the hello of SSL 2.0. It cannot become a session: there are no keys. Pure: bytes
 * out of structs. */
#ifndef POLICY_OFFER_H
#define POLICY_OFFER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/reader.h"

#include <stdbool.h>

struct offer {
    uint16_t version; /* the highest, SSL 3.0 to TLS 1.3; below TLS 1.3 older ones are implied */
    const uint16_t *suites;
    size_t suite_count;
    const uint16_t *groups; /* count 0: the policy's */
    size_t group_count;
    const uint16_t *schemes; /* count 0: the policy's, then SHA-1 */
    size_t scheme_count;
    const char *server_name; /* NULL: none */
    const char *alpn;        /* one protocol; NULL: none */
    bool compression;        /* DEFLATE, before null */
    bool fallback;           /* TLS_FALLBACK_SCSV */
    bool without_tickets;    /* no session_ticket, so that the server gives a session ID */
    bool bare;               /* no extension except server_name */
};

enum { OFFER_RANDOM = 64 }; /* the hello's random, then a key share for TLS 1.3 */

/* Appends it as one record. False when out of memory. */
WARN_UNUSED bool offer_write(const struct offer *o, const uint8_t random[OFFER_RANDOM],
                             struct buf *out);
/* The SSL 2.0 CLIENT-HELLO with all its cipher kinds (draft-hickman-netscape-ssl-00). */
WARN_UNUSED bool offer_write_sslv2(const uint8_t random[OFFER_RANDOM], struct buf *out);

#endif
