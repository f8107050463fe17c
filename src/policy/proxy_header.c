#include "policy/proxy_header.h"

#include "base/reader.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNATURE_SIZE = 12, LINE_LIMIT = 107, BEGIN_SIZE = 5 };
static const uint8_t signature[SIGNATURE_SIZE] = {'\r', '\n', '\r', '\n', '\0', '\r',
                                                  '\n', 'Q',  'U',  'I',  'T',  '\n'};
static const char line_begins[] = "PROXY ";

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21, TCP_IPV4 = 0x11, TCP_IPV6 = 0x21 };
enum {
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CIPHER = 0x23,
    CLIENT_SSL = 0x01,
    CRC_SIZE = 4,
};

static enum proxy_header_status bad(const char **why, const char *sentence)
{
    *why = sentence;
    return PROXY_HEADER_BAD;
}

/* ---- version 1: a line of text -------------------------------------------------------------- */

/* 0 to 65535, without leading zeros. */
static bool read_port(const char *s, uint16_t *out)
{
    size_t n = strlen(s);
    if (n == 0 || n > 5 || strspn(s, "0123456789") != n || (s[0] == '0' && n > 1)) return false;
    long port = strtol(s, NULL, 10);
    *out = (uint16_t)port;
    return port <= UINT16_MAX;
}

static bool read_address(const char *ip, const char *port_text, int family, struct addr *out)
{
    uint8_t bytes[sizeof(struct in6_addr)];
    uint16_t port;
    if (inet_pton(family, ip, bytes) != 1 || !read_port(port_text, &port)) return false;
    *out = addr_from_bytes(bytes, family == AF_INET ? 4 : 16, port);
    return true;
}

/* line: what stands between "PROXY " and the end of the line; cut into words. */
static bool read_words(char *line, struct proxy_header *out)
{
    enum { WORDS = 5 };
    char *words[WORDS];
    if (strcmp(line, "UNKNOWN") == 0 || strncmp(line, "UNKNOWN ", 8) == 0) return true;
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = line;
        line += strcspn(line, " ");
        if ((*line == '\0') != (i == WORDS - 1)) return false;
        *line++ = '\0';
    }
    bool v4 = strcmp(words[0], "TCP4") == 0;
    if (!v4 && strcmp(words[0], "TCP6") != 0) return false;
    int family = v4 ? AF_INET : AF_INET6;
    return read_address(words[1], words[3], family, &out->source) &&
           read_address(words[2], words[4], family, &out->destination);
}

static enum proxy_header_status parse_line(const uint8_t *p, size_t n, size_t *used,
                                           struct proxy_header *out, const char **why)
{
    size_t most = n < LINE_LIMIT ? n : LINE_LIMIT;
    const uint8_t *end = memchr(p, '\n', most);
    if (!end)
        return n < LINE_LIMIT ? PROXY_HEADER_MORE : bad(why, "Its line has no end in 107 bytes.");
    size_t size = (size_t)(end - p) + 1, begun = sizeof line_begins - 1;
    char line[LINE_LIMIT + 1];
    if (end[-1] != '\r' || memchr(p, '\0', size))
        return bad(why, "Its line does not end with CRLF, or has a NUL.");
    memcpy(line, p + begun, size - begun - 2);
    line[size - begun - 2] = '\0';
    if (!read_words(line, out))
        return bad(why, "Its line is not of the form TCP4 or TCP6, two addresses, two ports.");
    *used = size;
    return PROXY_HEADER_OK;
}

/* ---- version 2: binary ---------------------------------------------------------------------- */

/* CRC-32C (RFC 3720 appendix B.4), bit by bit: it is rare and short. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return crc;
}

/* Of the whole header, with the checksum's own four bytes counted as zeros. */
static bool checksum_is_right(struct span whole, const uint8_t *at)
{
    static const uint8_t zeros[CRC_SIZE];
    size_t before = (size_t)(at - whole.p);
    uint32_t crc = crc32c(UINT32_MAX, whole.p, before);
    crc = crc32c(crc, zeros, CRC_SIZE);
    crc = ~crc32c(crc, at + CRC_SIZE, whole.n - before - CRC_SIZE);
    struct reader r = reader_of((struct span){at, CRC_SIZE});
    return reader_number(&r, CRC_SIZE) == crc;
}

static bool check_tlvs(struct reader *r, struct span whole, const char **why)
{
    while (r->left > 0) {
        uint8_t type = reader_u8(r);
        struct span value = reader_vector(r, 2);
        if (r->failed) {
            *why = "Its last TLV is longer than the header.";
            return false;
        }
        if (type == TLV_CRC32C && (value.n != CRC_SIZE || !checksum_is_right(whole, value.p))) {
            *why = "Its checksum is wrong.";
            return false;
        }
    }
    return true;
}

static bool read_addresses(struct reader *r, size_t size, struct proxy_header *out)
{
    struct span source = reader_bytes(r, size), destination = reader_bytes(r, size);
    uint16_t from = reader_u16(r), to = reader_u16(r);
    if (r->failed || !source.p || !destination.p) return false;
    out->source = addr_from_bytes(source.p, size, from);
    out->destination = addr_from_bytes(destination.p, size, to);
    return true;
}

static enum proxy_header_status read_body(struct span whole, uint8_t command, uint8_t family,
                                          struct reader *r, struct proxy_header *out,
                                          const char **why)
{
    if (command == COMMAND_LOCAL) return PROXY_HEADER_OK;
    if (command != COMMAND_PROXY) return bad(why, "Its version or command is unknown.");
    if (family != TCP_IPV4 && family != TCP_IPV6) return PROXY_HEADER_OK;
    if (!read_addresses(r, family == TCP_IPV4 ? 4 : 16, out))
        return bad(why, "It is too short for its addresses.");
    return check_tlvs(r, whole, why) ? PROXY_HEADER_OK : PROXY_HEADER_BAD;
}

static enum proxy_header_status parse_binary(const uint8_t *p, size_t n, size_t *used,
                                             struct proxy_header *out, const char **why)
{
    struct reader r = reader_of((struct span){p, n});
    (void)reader_bytes(&r, SIGNATURE_SIZE);
    uint8_t command = reader_u8(&r), family = reader_u8(&r);
    size_t left = reader_u16(&r);
    if (r.failed) return PROXY_HEADER_MORE;
    size_t size = SIGNATURE_SIZE + 4 + left;
    if (size > PROXY_HEADER_LIMIT) return bad(why, "It is longer than 16 KiB.");
    if (r.left < left) return PROXY_HEADER_MORE;
    r.left = left;
    enum proxy_header_status status =
        read_body((struct span){p, size}, command, family, &r, out, why);
    if (status == PROXY_HEADER_OK) *used = size;
    return status;
}

enum proxy_header_status proxy_header_parse(const uint8_t *p, size_t n, size_t *used,
                                            struct proxy_header *out, const char **why)
{
    size_t line = sizeof line_begins - 1;
    *out = (struct proxy_header){0};
    if (n == 0) return PROXY_HEADER_MORE;
    if (memcmp(p, line_begins, n < line ? n : line) == 0)
        return n < line ? PROXY_HEADER_MORE : parse_line(p, n, used, out, why);
    if (memcmp(p, signature, n < SIGNATURE_SIZE ? n : SIGNATURE_SIZE) == 0)
        return n < SIGNATURE_SIZE ? PROXY_HEADER_MORE : parse_binary(p, n, used, out, why);
    return bad(why, "The sender, which proxy_protocol_from names, began without it.");
}

bool proxy_header_begins(const uint8_t *p, size_t n)
{
    return n >= BEGIN_SIZE &&
           (memcmp(p, line_begins, BEGIN_SIZE) == 0 || memcmp(p, signature, BEGIN_SIZE) == 0);
}

bool proxy_header_may_begin(const uint8_t *p, size_t n)
{
    return n < BEGIN_SIZE &&
           (n == 0 || memcmp(p, line_begins, n) == 0 || memcmp(p, signature, n) == 0);
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool both_are_ipv4(const struct proxy_header *h)
{
    uint8_t bytes[16];
    return addr_bytes(&h->source, bytes) == 4 && addr_bytes(&h->destination, bytes) == 4;
}

/* The address's bytes, of IPv4 in an IPv6 header as a mapped one. */
static void address_bytes(const struct addr *a, bool v4, uint8_t out[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t bytes[16];
    uint8_t size = addr_bytes(a, bytes);
    if (size == 4 && !v4) {
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + sizeof mapped, bytes, 4);
    } else {
        memcpy(out, bytes, size);
    }
}

size_t proxy_header_write_v1(const struct proxy_header *h, char out[PROXY_HEADER_V1_SIZE])
{
    bool v4 = both_are_ipv4(h);
    uint8_t source[16], destination[16];
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    address_bytes(&h->source, v4, source);
    address_bytes(&h->destination, v4, destination);
    inet_ntop(v4 ? AF_INET : AF_INET6, source, from, sizeof from);
    inet_ntop(v4 ? AF_INET : AF_INET6, destination, to, sizeof to);
    return (size_t)snprintf(out, PROXY_HEADER_V1_SIZE, "%sTCP%c %s %s %u %u\r\n", line_begins,
                            v4 ? '4' : '6', from, to, addr_port(&h->source),
                            addr_port(&h->destination));
}

static void put(uint8_t **at, const void *p, size_t n)
{
    memcpy(*at, p, n);
    *at += n;
}

static void put_number(uint8_t **at, size_t v, size_t width)
{
    while (width-- > 0) *(*at)++ = (uint8_t)(v >> (8 * width));
}

static void put_tlv(uint8_t **at, uint8_t type, const char *value)
{
    put_number(at, type, 1);
    put_number(at, strlen(value), 2);
    put(at, value, strlen(value));
}

size_t proxy_header_write_v2(const struct proxy_header *h, const char *server_name,
                             const char *version, const char *cipher,
                             uint8_t out[PROXY_HEADER_V2_SIZE])
{
    enum { TLV_HEADER = 3, SSL_FIXED = 5 };
    bool v4 = both_are_ipv4(h);
    size_t size = v4 ? 4 : 16;
    uint8_t source[16], destination[16], *at = out;
    address_bytes(&h->source, v4, source);
    address_bytes(&h->destination, v4, destination);
    put(&at, signature, sizeof signature);
    put_number(&at, COMMAND_PROXY, 1);
    put_number(&at, v4 ? TCP_IPV4 : TCP_IPV6, 1);
    uint8_t *length = at;
    put_number(&at, 0, 2);
    put(&at, source, size);
    put(&at, destination, size);
    put_number(&at, addr_port(&h->source), 2);
    put_number(&at, addr_port(&h->destination), 2);
    if (server_name[0]) put_tlv(&at, TLV_AUTHORITY, server_name);
    if (!cipher) {
        put_number(&length, (size_t)(at - length) - 2, 2);
        return (size_t)(at - out);
    }
    put_number(&at, TLV_SSL, 1);
    put_number(&at, SSL_FIXED + 2 * TLV_HEADER + strlen(version) + strlen(cipher), 2);
    put_number(&at, CLIENT_SSL, 1);
    put_number(&at, 0, 4); /* as HAProxy does for a client without a certificate */
    put_tlv(&at, TLV_SSL_VERSION, version);
    put_tlv(&at, TLV_SSL_CIPHER, cipher);
    put_number(&length, (size_t)(at - length) - 2, 2);
    return (size_t)(at - out);
}
