/* What a client sends in plaintext after its ClientHello, from ClientKeyExchange to
 * ChangeCipherSpec (RFC 5246 section 7.3), and the headers of the protected records after it.
 * It judges order and form and frames each message anew, so that the TLS library meets nothing
 * else. A client_flight owns its buffers. No sockets, no TLS library, no keys. */
#ifndef POLICY_CLIENT_FLIGHT_H
#define POLICY_CLIENT_FLIGHT_H

#include "base/buf.h"
#include "policy/records.h"

#include <stdbool.h>

/* A point of 255 bytes, the most its length field can say (RFC 8422 section 5.7). */
enum { CLIENT_KEY_EXCHANGE_LIMIT = 4 + 1 + 255 };

struct client_flight {
    struct buf admitted; /* records for the TLS library */
    struct buf message;  /* the handshake message that is not yet whole */
    bool has_key_exchange;
    bool done;  /* ChangeCipherSpec was admitted: what follows is protected and not for here */
    bool hello; /* a second ClientHello was what ended it */
    struct records records;
    uint8_t alert[2];
    uint8_t alert_size;
};

/* A zeroed one is ready. */
void client_flight_fini(struct client_flight *f);

/* Frames our copy of the ClientHello. False: no memory. */
WARN_UNUSED bool client_flight_hello(struct client_flight *f, struct span message);

/* Takes bytes; *used says how many: all, but for what follows ChangeCipherSpec. abbreviated: the
 * session is resumed, so there is no key exchange. -1, or the alert that must end it (RFC 5246
 * section 7.2.2); 80 where memory is short. */
WARN_UNUSED int client_flight_feed(struct client_flight *f, bool abbreviated, const uint8_t *p,
                                   size_t n, size_t *used);

/* A protected record's five header bytes, either side's: -1 or the alert that must end it. */
WARN_UNUSED int record_judge(const uint8_t header[RECORD_HEADER]);

#endif
