/* JA4 of a ClientHello (FoxIO, "JA4: TLS Client Fingerprinting", BSD 3-Clause part only). The
 * caller passes the hash function: this room has no cryptography. */
#ifndef POLICY_JA4_H
#define POLICY_JA4_H

#include "policy/hello.h"

enum { JA4_SIZE = 37 }; /* 36 characters and a NUL */

/* SHA-256 of n bytes into 32; false when it failed. */
typedef bool ja4_sha256(const void *p, size_t n, uint8_t out[32]);

/* "" when memory or the hash failed. */
void ja4_format(const struct hello *h, ja4_sha256 *sha256, char out[JA4_SIZE]);

#endif
