/* Where a client wants to go: the CONNECT request (RFC 9110 section 9.3.6) and the
 * patterns that allow a destination. Pure functions on bytes. */
#ifndef POLICY_TARGET_H
#define POLICY_TARGET_H

#include "base/addr.h"
#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TARGET_HOST_SIZE = 256 };

struct target {
    char host[TARGET_HOST_SIZE]; /* name (lower case, no final dot) or address, no brackets */
    uint16_t port;
    bool is_ip;
};

enum target_status { TARGET_MORE, TARGET_OK, TARGET_NOT_CONNECT, TARGET_NOT_HTTP, TARGET_BAD };

enum { TARGET_REQUEST_LIMIT = 16384 }; /* request line and header fields, in bytes */

/* The length of the empty lines before a request line (RFC 9112 section 2.2). */
size_t target_empty_lines(const uint8_t *p, size_t n);

/* How far an incomplete request has been scanned; zeroed before its first byte. */
struct target_scan {
    size_t skipped;  /* empty lines before it, in bytes */
    size_t searched; /* bytes after those that do not contain its end */
    bool line_read;  /* the request line is complete and valid */
};

/* Reads a request from its first n bytes; each call has the same bytes and more. TARGET_OK: *used
 * is its length. TARGET_BAD: `why` is a static sentence. TARGET_NOT_CONNECT, TARGET_BAD: `t` holds
 * what could be read of the destination, host "" otherwise. */
WARN_UNUSED enum target_status target_parse_request(const uint8_t *p, size_t n,
                                                    struct target_scan *scan, struct target *t,
                                                    size_t *used, const char **why);

/* "host:port", "203.0.113.7:443", "[2001:db8::1]:443"; the port is required. */
WARN_UNUSED bool target_from_text(const char *s, size_t n, struct target *t);

struct target target_of_addr(const struct addr *a);

/* "host:port" for people, with brackets where they are needed. */
enum { TARGET_TEXT_SIZE = TARGET_HOST_SIZE + 16 };
void target_format(const struct target *t, char out[TARGET_TEXT_SIZE]);

enum { PATTERN_RANGES = 8 };

/* "*", "*.example.com", "crm.example.com", "10.0.0.0/8" or "[2001:db8::]/32", optionally
 * followed by ":443", ":443,8443", ":1024-2048" or ":*". No ports means any port. */
struct pattern {
    char host[TARGET_HOST_SIZE]; /* "" when it is a range of addresses */
    bool any, wildcard;          /* "*"; "*.", which host does not have */
    struct cidr range;
    struct {
        uint16_t from, to;
    } ports[PATTERN_RANGES];
    size_t port_count; /* 0: any */
};

WARN_UNUSED bool pattern_from_text(const char *s, struct pattern *out);
bool pattern_matches(const struct pattern *p, const struct target *t);

#endif
