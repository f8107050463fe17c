/* The header of the PROXY protocol, versions 1 and 2
 * (haproxy.org/download/2.9/doc/proxy-protocol.txt), by which the sender of a connection says who
 * its client is. Pure functions on bytes. */
#ifndef POLICY_PROXY_HEADER_H
#define POLICY_PROXY_HEADER_H

#include "base/addr.h"
#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum proxy_header_status { PROXY_HEADER_MORE, PROXY_HEADER_OK, PROXY_HEADER_BAD };

/* The addresses of the client's connection to the sender. Both of length 0: the sender speaks for
 * itself (LOCAL, UNKNOWN, a family other than TCP over IPv4 or IPv6). */
struct proxy_header {
    struct addr source, destination;
};

enum { PROXY_HEADER_LIMIT = 16384 }; /* a longer one is refused; in bytes */

/* Reads a header from its first n bytes; each call has the same bytes and more. PROXY_HEADER_OK:
 * *used is its length. PROXY_HEADER_BAD: `why` is a static sentence. TLVs are skipped; CRC32C is
 * checked. */
WARN_UNUSED enum proxy_header_status proxy_header_parse(const uint8_t *p, size_t n, size_t *used,
                                                        struct proxy_header *out, const char **why);

/* Do these bytes begin as a header does, and as nothing else that a listener takes? It shows in the
 * first five bytes. */
bool proxy_header_begins(const uint8_t *p, size_t n);
/* Do fewer bytes not yet show that it is none? */
bool proxy_header_may_begin(const uint8_t *p, size_t n);

enum { PROXY_HEADER_V1_SIZE = 108, PROXY_HEADER_V2_SIZE = 512 };
/* Writes a header; returns its length, at most the array's size. Addresses of different families
 * are written as IPv6. */
size_t proxy_header_write_v1(const struct proxy_header *h, char out[PROXY_HEADER_V1_SIZE]);
/* server_name: "" for none. version, cipher: of the client's TLS session, as OpenSSL names them;
 * cipher NULL: it is not known. */
size_t proxy_header_write_v2(const struct proxy_header *h, const char *server_name,
                             const char *version, const char *cipher,
                             uint8_t out[PROXY_HEADER_V2_SIZE]);

#endif
