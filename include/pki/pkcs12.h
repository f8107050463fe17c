/* Writes a PKCS #12 trust store (RFC 7292) of CA certificates, without a password, encryption or
 * MAC: Java reads it as javax.net.ssl.trustStore, with or without a password given. It holds
 * nothing secret, and its directory's permissions protect it. */
#ifndef PKI_PKCS12_H
#define PKI_PKCS12_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>

/* pem: the certificates. False when one cannot be decoded, or out of memory. */
WARN_UNUSED bool pkcs12_trust_store(const struct text *pem, struct text *out);

#endif
