#include "base/addr.h"

#include "base/text.h"
#include "base/units.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool addr_from_ip(const char *ip, uint16_t port, struct addr *out)
{
    uint8_t bytes[16];
    *out = (struct addr){0};
    bool v4 = inet_pton(AF_INET, ip, bytes) == 1;
    if (!v4 && inet_pton(AF_INET6, ip, bytes) != 1) return false;
    *out = addr_from_bytes(bytes, v4 ? 4 : 16, port);
    return true;
}

bool addr_from_text(const char *s, struct addr *out)
{
    char host[ADDR_TEXT_SIZE];
    const char *colon = strrchr(s, ':');
    uint64_t port;
    if (!colon || !units_count(colon + 1, 65535, &port)) return false;
    size_t n = (size_t)(colon - s);
    bool bracketed = n >= 2 && s[0] == '[' && s[n - 1] == ']';
    if (bracketed) {
        s++;
        n -= 2;
    }
    if (n >= sizeof host) return false;
    memcpy(host, s, n);
    host[n] = '\0';
    /* Brackets are for IPv6 and only for IPv6: "::1:80" would be ambiguous. */
    if ((strchr(host, ':') != NULL) != bracketed) return false;
    return addr_from_ip(host, (uint16_t)port, out);
}

struct addr addr_from_bytes(const uint8_t *bytes, size_t size, uint16_t port)
{
    struct addr a = {0};
    if (size == sizeof a.v4.sin_addr) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(port);
        memcpy(&a.v4.sin_addr, bytes, size);
        a.length = sizeof a.v4;
    } else {
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(port);
        memcpy(&a.v6.sin6_addr, bytes, sizeof a.v6.sin6_addr);
        a.length = sizeof a.v6;
    }
    return a;
}

struct addr addr_from_sockaddr(const struct sockaddr *sa, socklen_t n)
{
    struct addr a = {0};
    if (sa->sa_family == AF_INET && n >= sizeof a.v4)
        a.length = sizeof a.v4;
    else if (sa->sa_family == AF_INET6 && n >= sizeof a.v6)
        a.length = sizeof a.v6;
    if (a.length) memcpy(&a.v6, sa, a.length);
    return a;
}

uint16_t addr_port(const struct addr *a)
{
    return ntohs(a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

uint8_t addr_bytes(const struct addr *a, uint8_t out[16])
{
    if (a->sa.sa_family == AF_INET) {
        memcpy(out, &a->v4.sin_addr, 4);
        return 4;
    }
    const uint8_t *b = a->v6.sin6_addr.s6_addr;
    if (memcmp(b, mapped_prefix, sizeof mapped_prefix) == 0) {
        memcpy(out, b + 12, 4);
        return 4;
    }
    memcpy(out, b, 16);
    return 16;
}

bool addr_is_loopback(const struct addr *a)
{
    uint8_t b[16] = {0};
    if (addr_bytes(a, b) == 4) return b[0] == 127;
    return memcmp(b, &in6addr_loopback, 16) == 0;
}

bool addr_is_unspecified(const struct addr *a)
{
    uint8_t b[16] = {0};
    static const uint8_t zero[16];
    return memcmp(b, zero, addr_bytes(a, b)) == 0;
}

static const char *special_v4(const uint8_t b[4])
{
    if (b[0] == 0) return "unspecified"; /* all of 0.0.0.0/8 (RFC 1122 section 3.2.1.3) */
    if (b[0] == 127) return "loopback";
    if (b[0] == 169 && b[1] == 254) return "link-local";
    if (b[0] >= 224 && b[0] < 240) return "multicast";
    return b[0] == 255 && b[1] == 255 && b[2] == 255 && b[3] == 255 ? "broadcast" : NULL;
}

const char *addr_special_kind(const struct addr *a)
{
    /* IPv4 addresses in the last four bytes: RFC 4291 section 2.5.5.1, RFC 6052, RFC 8215, and RFC
     * 2765 section 2.1. */
    static const uint8_t prefixes[][12] = {{0},
                                           {0x00, 0x64, 0xff, 0x9b},
                                           {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01},
                                           {[8] = 0xff, [9] = 0xff}};
    uint8_t b[16] = {0};
    if (addr_bytes(a, b) == 4) return special_v4(b);
    if (addr_is_unspecified(a)) return "unspecified";
    if (addr_is_loopback(a)) return "loopback";
    if (b[0] == 0xff) return "multicast";
    if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) return "link-local";
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (memcmp(b, prefixes[i], sizeof prefixes[i]) == 0) return special_v4(b + 12);
    return b[0] == 0x20 && b[1] == 0x02 ? special_v4(b + 2) : NULL;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
    uint8_t x[16], y[16];
    uint8_t n = addr_bytes(a, x);
    return n == addr_bytes(b, y) && memcmp(x, y, n) == 0;
}

static size_t format_v4(const uint8_t b[4], char *out)
{
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0) out[n++] = '.';
        n += text_decimal(b[i], out + n);
    }
    return n;
}

static size_t format_ip(const struct addr *a, char *out)
{
    uint8_t b[16];
    if (a->length == 0) return (size_t)(stpcpy(out, "-") - out);
    if (addr_bytes(a, b) == 4) return format_v4(b, out);
    if (!inet_ntop(AF_INET6, b, out, INET6_ADDRSTRLEN)) *out = '\0';
    return strlen(out);
}

void addr_format_ip(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
    format_ip(a, out);
}

void addr_format(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
    char *ip = out + 1; /* room for a bracket */
    size_t n = format_ip(a, ip);
    bool v6 = memchr(ip, ':', n) != NULL;
    if (v6) {
        out[0] = '[';
        ip[n++] = ']';
        n++;
    } else {
        memmove(out, ip, n);
    }
    out[n++] = ':';
    text_decimal(addr_port(a), out + n);
}

bool cidr_from_text(const char *s, struct cidr *out)
{
    char ip[ADDR_TEXT_SIZE];
    struct addr a;
    const char *slash = strchr(s, '/');
    size_t n = slash ? (size_t)(slash - s) : strlen(s);
    if (n >= sizeof ip) return false;
    memcpy(ip, s, n);
    ip[n] = '\0';
    if (!addr_from_ip(ip, 0, &a)) return false;
    out->family_size = addr_bytes(&a, out->bytes);
    uint64_t bits = (uint64_t)out->family_size * 8, given;
    if (slash) {
        /* The prefix length of a mapped IPv4 range counts the bits of the IPv6 form. */
        uint64_t mapped = a.sa.sa_family == AF_INET6 && out->family_size == 4 ? 96 : 0;
        if (!units_count(slash + 1, bits + mapped, &given) || given < mapped) return false;
        bits = given - mapped;
    }
    out->bits = (uint8_t)bits;
    return true;
}

bool cidr_contains(const struct cidr *range, const struct addr *a)
{
    uint8_t b[16];
    if (addr_bytes(a, b) != range->family_size) return false;
    uint8_t whole = range->bits / 8, rest = range->bits % 8;
    if (memcmp(b, range->bytes, whole) != 0) return false;
    if (!rest) return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return ((b[whole] ^ range->bytes[whole]) & mask) == 0;
}
