/* Writes a PKCS #12 trust store (RFC 7292) of CA certificates, without a password, encryption or
 * MAC: what Java reads as javax.net.ssl.trustStore. It holds nothing secret, and needs no
 * integrity beyond its folder's: a Java program that gives a password reads it as well. */
#ifndef PKI_PKCS12_H
#define PKI_PKCS12_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>

/* pem: the certificates. False when one cannot be decoded, or out of memory. */
WARN_UNUSED bool pkcs12_trust_store(const struct text *pem, struct text *out);

#endif
