#include "policy/socks.h"

#include <stdio.h>
#include <string.h>

enum {
    VERSION = 5,
    METHOD_NONE = 0,
    METHOD_REFUSED = 0xff,
    COMMAND_CONNECT = 1,
    ADDRESS_IPV4 = 1,
    ADDRESS_NAME = 3,
    ADDRESS_IPV6 = 4,
    FIXED_SIZE = 4, /* of a request, before its address */
    PORT_SIZE = 2,
};

enum socks_status socks_parse_methods(const uint8_t *p, size_t n, size_t *used, bool *without)
{
    if (n > 0 && p[0] != VERSION) return SOCKS_BAD;
    if (n < 2 || n - 2 < p[1]) return SOCKS_MORE;
    *used = 2 + (size_t)p[1];
    *without = memchr(p + 2, METHOD_NONE, p[1]) != NULL;
    return SOCKS_OK;
}

static bool read_address(const uint8_t *p, size_t size, uint16_t port, struct target *t)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct addr a;
    char text[ADDR_TEXT_SIZE];
    if (size == sizeof v4.sin_addr) {
        memcpy(&v4.sin_addr, p, size);
        a = addr_from_sockaddr((struct sockaddr *)&v4, sizeof v4);
    } else {
        memcpy(&v6.sin6_addr, p, size);
        a = addr_from_sockaddr((struct sockaddr *)&v6, sizeof v6);
    }
    addr_format(&a, text);
    return target_from_text(text, strlen(text), t);
}

static bool read_name(const uint8_t *p, size_t size, uint16_t port, struct target *t)
{
    char text[UINT8_MAX + sizeof ":65535"];
    if (size == 0 || memchr(p, '\0', size)) return false;
    memcpy(text, p, size);
    int n = snprintf(text + size, sizeof text - size, ":%u", port);
    return target_from_text(text, size + (size_t)n, t);
}

static enum socks_status bad(enum socks_reply *reply, enum socks_reply answer, const char **why,
                             const char *sentence)
{
    *reply = answer;
    *why = sentence;
    return SOCKS_BAD;
}

/* The size of the address and where it begins; SOCKS_MORE before its length has come. */
static enum socks_status find_address(const uint8_t *p, size_t n, size_t *at, size_t *size)
{
    *at = FIXED_SIZE;
    switch (p[3]) {
    case ADDRESS_IPV4:
        *size = 4;
        return SOCKS_OK;
    case ADDRESS_IPV6:
        *size = 16;
        return SOCKS_OK;
    case ADDRESS_NAME:
        if (n <= FIXED_SIZE) return SOCKS_MORE;
        *at = FIXED_SIZE + 1;
        *size = p[FIXED_SIZE];
        return SOCKS_OK;
    default:
        return SOCKS_BAD;
    }
}

enum socks_status socks_parse_request(const uint8_t *p, size_t n, size_t *used, struct target *t,
                                      enum socks_reply *reply, const char **why)
{
    size_t at, size;
    *t = (struct target){0};
    if (n > 0 && p[0] != VERSION)
        return bad(reply, SOCKS_FAILURE, why, "The request is not of SOCKS version 5.");
    if (n < FIXED_SIZE) return SOCKS_MORE;
    enum socks_status status = find_address(p, n, &at, &size);
    if (status == SOCKS_BAD)
        return bad(reply, SOCKS_ADDRESS_NOT_SUPPORTED, why,
                   "The destination is neither a name nor an address of IPv4 or IPv6.");
    if (status == SOCKS_MORE || n < at + size + PORT_SIZE) return SOCKS_MORE;
    uint16_t port = (uint16_t)(p[at + size] << 8 | p[at + size + 1]);
    bool ok = p[3] == ADDRESS_NAME ? read_name(p + at, size, port, t)
                                   : read_address(p + at, size, port, t);
    if (p[1] != COMMAND_CONNECT)
        return bad(reply, SOCKS_COMMAND_NOT_SUPPORTED, why,
                   "It asks for another command than CONNECT.");
    if (!ok)
        return bad(reply, SOCKS_FAILURE, why,
                   "The destination is not a valid name or address with a port from 1 to 65535.");
    *used = at + size + PORT_SIZE;
    return SOCKS_OK;
}

void socks_write_choice(bool accepted, uint8_t out[SOCKS_CHOICE_SIZE])
{
    out[0] = VERSION;
    out[1] = accepted ? METHOD_NONE : METHOD_REFUSED;
}

void socks_write_reply(enum socks_reply reply, uint8_t out[SOCKS_REPLY_SIZE])
{
    memset(out, 0, SOCKS_REPLY_SIZE);
    out[0] = VERSION;
    out[1] = (uint8_t)reply;
    out[3] = ADDRESS_IPV4;
}
