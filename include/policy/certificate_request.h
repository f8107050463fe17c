/* A server's CertificateRequest (RFC 5246 section 7.4.4): which certificates it takes of a client.
 * Pure: views into bytes that the caller keeps. */
#ifndef POLICY_CERTIFICATE_REQUEST_H
#define POLICY_CERTIFICATE_REQUEST_H

#include "base/attr.h"
#include "base/reader.h"
#include "policy/policy.h"

#include <stdbool.h>

struct certificate_request {
    struct span types;       /* ClientCertificateType, one byte each */
    struct span schemes;     /* of signatures, two bytes each */
    struct span authorities; /* length-prefixed names; n = 0: of any CA */
};

/* The message's body. False when it is malformed. */
WARN_UNUSED bool certificate_request_read(struct span body, struct certificate_request *out);
/* Is there an allowed scheme for such a key? */
bool certificate_request_has_scheme(const struct certificate_request *r, enum key_type key);
/* The same; and may the certificate have such a key? */
bool certificate_request_takes(const struct certificate_request *r, enum key_type key);
/* The next CA's name in DER; n = 0 at the end. */
struct span certificate_request_next(struct reader *authorities);

#endif
