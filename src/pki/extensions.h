/* The extensions of a certificate (RFC 5280 section 4.2) into a struct cert. Private to pki/. */
#ifndef PKI_EXTENSIONS_H
#define PKI_EXTENSIONS_H

#include "pki/cert.h"

/* content: that of [3] EXPLICIT Extensions. False when one is malformed or repeated. */
WARN_UNUSED bool extensions_read(struct span content, struct cert *c);

#endif
