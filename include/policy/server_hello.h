/* Parses a ServerHello's body (RFC 5246 section 7.4.1.3), for flight.h, which judges it, and
 * reply.h, which keeps it. A view into the bytes it was read from. */
#ifndef POLICY_SERVER_HELLO_H
#define POLICY_SERVER_HELLO_H

#include "base/attr.h"
#include "base/reader.h"

struct server_hello {
    uint16_t version, suite;
    uint8_t compression;
    struct span random, session_id;
    struct reader extensions; /* for server_hello_extension() */
};

enum server_hello_status {
    SERVER_HELLO_OK,
    SERVER_HELLO_CUT,      /* it ends before its fixed fields do */
    SERVER_HELLO_TRAILING, /* complete, but what follows is not a list of extensions */
};

WARN_UNUSED enum server_hello_status server_hello_read(struct span body, struct server_hello *out);
/* The next extension. False at the end, and where the list is malformed: then
 * h->extensions.failed. */
WARN_UNUSED bool server_hello_extension(struct server_hello *h, uint16_t *type, struct span *body);

#endif
