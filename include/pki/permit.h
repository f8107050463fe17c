/* Which names a CA may issue for, as name constraints (RFC 5280 section 4.2.1.10). Pure. */
#ifndef PKI_PERMIT_H
#define PKI_PERMIT_H

#include "base/attr.h"
#include "base/reader.h"
#include "policy/target.h"

enum { PERMIT_LIMIT = 4096 };

/* The content of a NameConstraints extension: these names, all below them, and these ranges of
 * addresses, and no others. Uses the end of the buffer. False when they do not fit, or one is "*"
 * or has a port. */
WARN_UNUSED bool permit_encode(const struct pattern *patterns, size_t n,
                               uint8_t buffer[PERMIT_LIMIT], struct span *out);

#endif
