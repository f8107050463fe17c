/* What a client sends in plaintext after its ClientHello, from Certificate or ClientKeyExchange to
 * ChangeCipherSpec (RFC 5246 section 7.3), and the headers of the protected records after it.
 * Checks order and form, and puts each message into a record of its own: the TLS library reads
 * nothing else. A client_flight owns its buffers. No sockets, no TLS library, no keys. */
#ifndef POLICY_CLIENT_FLIGHT_H
#define POLICY_CLIENT_FLIGHT_H

#include "base/buf.h"
#include "policy/records.h"

#include <stdbool.h>

/* Is a client asked for a certificate, and may it go on without? */
enum client_certificate {
    CLIENT_CERTIFICATE_UNSET,
    CLIENT_CERTIFICATE_NONE,
    CLIENT_CERTIFICATE_OPTIONAL,
    CLIENT_CERTIFICATE_REQUIRED,
};

/* The longest messages, with their headers: a point of 255 bytes, the most that its length field
 * allows (RFC 8422 section 5.7); certificates as the TLS library takes them; a signature by a key
 * of 8,192 bits. */
enum {
    CLIENT_KEY_EXCHANGE_LIMIT = 4 + 1 + 255,
    CLIENT_CERTIFICATES_LIMIT = 4 + 65535,
    CLIENT_VERIFY_LIMIT = 4 + 4 + 1024,
};

struct client_flight {
    struct buf admitted; /* records for the TLS library */
    struct buf message;  /* the incomplete handshake message */
    enum client_certificate asked;
    bool has_certificates; /* the message, which may have none */
    unsigned certificates;
    bool lacks_certificate; /* it ended because one is required */
    bool excess;            /* it ended because there are too many, or they are too long */
    bool has_key_exchange, has_verify;
    uint16_t scheme; /* of CertificateVerify */
    bool done;       /* ChangeCipherSpec was admitted: what follows is protected */
    bool hello;      /* it ended with a second ClientHello */
    struct records records;
    uint8_t alert[2];
    uint8_t alert_size;
};

/* A zeroed struct is ready. */
void client_flight_fini(struct client_flight *f);

/* Frames our copy of the ClientHello. False: no memory. */
WARN_UNUSED bool client_flight_hello(struct client_flight *f, struct span message);

/* Takes bytes up to the end of ChangeCipherSpec; *used: how many. abbreviated: the session is
 * resumed, without a key exchange. -1, or the alert that ends the handshake (RFC 5246 section
 * 7.2.2); 80 when out of memory. */
WARN_UNUSED int client_flight_feed(struct client_flight *f, bool abbreviated, const uint8_t *p,
                                   size_t n, size_t *used);

/* Checks a protected record's header, of either side: -1, or the alert that ends the connection. */
WARN_UNUSED int record_judge(const uint8_t header[RECORD_HEADER]);

#endif
