/* A proxy's answer to CONNECT (RFC 9110 section 9.3.6, RFC 9112). Pure functions on bytes. */
#ifndef POLICY_CONNECT_ANSWER_H
#define POLICY_CONNECT_ANSWER_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

enum connect_answer_status { CONNECT_ANSWER_MORE, CONNECT_ANSWER_OK, CONNECT_ANSWER_BAD };

enum { CONNECT_ANSWER_LIMIT = 16384 }; /* of the status line and fields, in bytes */

struct connect_answer {
    unsigned status;   /* 100 to 599 */
    char reason[64];   /* the phrase behind it: printable ASCII, perhaps cut; "" for none */
    char schemes[128]; /* of Proxy-Authenticate: "Negotiate, Basic", perhaps cut; "" for none */
};

/* Reads an answer's head from its first n bytes; each call has the same bytes and more.
 * CONNECT_ANSWER_OK: *used is its length. What follows it belongs to the tunnel, if the status is
 * 2xx. */
WARN_UNUSED enum connect_answer_status
connect_answer_parse(const uint8_t *p, size_t n, size_t *used, struct connect_answer *out);

#endif
