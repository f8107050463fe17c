/* Socket addresses and address ranges. Values, copied freely; no name is ever looked up.
 * IPv4-mapped IPv6 addresses (RFC 4291 section 2.5.5.2) count as the IPv4 they carry. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include "base/attr.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t length; /* 0: no address */
};

struct cidr {
    uint8_t bytes[16];
    uint8_t family_size; /* 4 or 16 */
    uint8_t bits;
};

/* "203.0.113.7", "2001:db8::1" (no brackets). */
WARN_UNUSED bool addr_from_ip(const char *ip, uint16_t port, struct addr *out);
/* "203.0.113.7:8080", "[2001:db8::1]:8080"; the port is required, 0 is allowed. */
WARN_UNUSED bool addr_from_text(const char *s, struct addr *out);
/* 4 or 16 bytes in network order. */
struct addr addr_from_bytes(const uint8_t *bytes, size_t size, uint16_t port);
/* n bytes at sa, as a system call filled them in. */
struct addr addr_from_sockaddr(const struct sockaddr *sa, socklen_t n);

uint16_t addr_port(const struct addr *a);
/* Writes the address in network order, a mapped one as IPv4. Returns its size, 4 or 16. */
uint8_t addr_bytes(const struct addr *a, uint8_t out[16]);
bool addr_is_loopback(const struct addr *a);
bool addr_is_unspecified(const struct addr *a);
/* "loopback", "link-local", "multicast", "broadcast" or "unspecified"; also for an IPv4 address
 * inside an IPv6 one (::a.b.c.d; NAT64 64:ff9b::/96 of RFC 6052 and 64:ff9b:1::/96 of RFC 8215;
 * ::ffff:0:0:0/96 of RFC 2765; 6to4 2002::/16 of RFC 3056); NULL for all others. */
const char *addr_special_kind(const struct addr *a);
bool addr_same_ip(const struct addr *a, const struct addr *b);

enum { ADDR_TEXT_SIZE = 64 };
/* "203.0.113.7" or "2001:db8::1". */
void addr_format_ip(const struct addr *a, char out[ADDR_TEXT_SIZE]);
/* With the port: "203.0.113.7:443" or "[2001:db8::1]:443". */
void addr_format(const struct addr *a, char out[ADDR_TEXT_SIZE]);

/* "10.0.0.0/8", "::1/128", or a plain address: a range of one. */
WARN_UNUSED bool cidr_from_text(const char *s, struct cidr *out);
bool cidr_contains(const struct cidr *range, const struct addr *a);

#endif
