#include "policy/socks.h"

#include <stdio.h>
#include <string.h>

enum {
    VERSION = 5,
    LOGIN_VERSION = 1,
    COMMAND_CONNECT = 1,
    ADDRESS_IPV4 = 1,
    ADDRESS_NAME = 3,
    ADDRESS_IPV6 = 4,
    FIXED_SIZE = 4, /* of a request, before its address */
    PORT_SIZE = 2,
};

enum socks_status socks_parse_methods(const uint8_t *p, size_t n, size_t *used, bool *without,
                                      bool *login)
{
    if (n > 0 && p[0] != VERSION) return SOCKS_BAD;
    if (n < 2 || n - 2 < p[1]) return SOCKS_MORE;
    *used = 2 + (size_t)p[1];
    *without = memchr(p + 2, SOCKS_WITHOUT, p[1]) != NULL;
    *login = memchr(p + 2, SOCKS_LOGIN, p[1]) != NULL;
    return SOCKS_OK;
}

enum socks_status socks_parse_login(const uint8_t *p, size_t n, size_t *used, struct span *user,
                                    struct span *password)
{
    struct reader r = reader_of((struct span){p, n});
    if (n > 0 && p[0] != LOGIN_VERSION) return SOCKS_BAD;
    (void)reader_u8(&r);
    *user = reader_vector(&r, 1);
    *password = reader_vector(&r, 1);
    *used = n - r.left;
    return r.failed ? SOCKS_MORE : SOCKS_OK;
}

static bool read_address(const uint8_t *p, size_t size, uint16_t port, struct target *t)
{
    struct addr a = addr_from_bytes(p, size, port);
    char text[ADDR_TEXT_SIZE];
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

void socks_write_choice(enum socks_method method, uint8_t out[SOCKS_CHOICE_SIZE])
{
    out[0] = VERSION;
    out[1] = (uint8_t)method;
}

void socks_write_login_answer(bool accepted, uint8_t out[SOCKS_CHOICE_SIZE])
{
    out[0] = LOGIN_VERSION;
    out[1] = accepted ? 0 : 1;
}

void socks_write_reply(enum socks_reply reply, uint8_t out[SOCKS_REPLY_SIZE])
{
    memset(out, 0, SOCKS_REPLY_SIZE);
    out[0] = VERSION;
    out[1] = (uint8_t)reply;
    out[3] = ADDRESS_IPV4;
}

/* ---- the client's side ---------------------------------------------------------------------- */

size_t socks_write_methods(bool with_login, uint8_t out[SOCKS_METHODS_SIZE])
{
    size_t n = 0;
    out[n++] = VERSION;
    out[n++] = with_login ? 2 : 1;
    out[n++] = SOCKS_WITHOUT;
    if (with_login) out[n++] = SOCKS_LOGIN;
    return n;
}

/* With its length in front. */
static size_t put_text(uint8_t *out, const char *s)
{
    size_t n = 0;
    for (; n < UINT8_MAX && s[n]; n++) out[1 + n] = (uint8_t)s[n];
    out[0] = (uint8_t)n;
    return 1 + n;
}

size_t socks_write_login(const char *user, const char *password, uint8_t out[SOCKS_LOGIN_SIZE])
{
    size_t n = 0;
    out[n++] = LOGIN_VERSION;
    n += put_text(out + n, user);
    return n + put_text(out + n, password);
}

size_t socks_write_request(const struct target *t, uint8_t out[SOCKS_REQUEST_SIZE])
{
    struct addr a;
    size_t n = 0;
    out[n++] = VERSION;
    out[n++] = COMMAND_CONNECT;
    out[n++] = 0;
    if (t->is_ip && addr_from_ip(t->host, 0, &a)) {
        uint8_t bytes[16];
        size_t size = addr_bytes(&a, bytes);
        out[n++] = size == 4 ? ADDRESS_IPV4 : ADDRESS_IPV6;
        memcpy(out + n, bytes, size);
        n += size;
    } else {
        out[n++] = ADDRESS_NAME;
        n += put_text(out + n, t->host);
    }
    out[n++] = (uint8_t)(t->port >> 8);
    out[n++] = (uint8_t)t->port;
    return n;
}

static enum socks_status parse_pair(const uint8_t *p, size_t n, uint8_t version, size_t *used)
{
    if (n > 0 && p[0] != version) return SOCKS_BAD;
    *used = 2;
    return n < 2 ? SOCKS_MORE : SOCKS_OK;
}

enum socks_status socks_parse_choice(const uint8_t *p, size_t n, size_t *used, uint8_t *method)
{
    enum socks_status status = parse_pair(p, n, VERSION, used);
    if (status == SOCKS_OK) *method = p[1];
    return status;
}

enum socks_status socks_parse_login_answer(const uint8_t *p, size_t n, size_t *used, bool *accepted)
{
    enum socks_status status = parse_pair(p, n, LOGIN_VERSION, used);
    if (status == SOCKS_OK) *accepted = p[1] == 0;
    return status;
}

enum socks_status socks_parse_reply(const uint8_t *p, size_t n, size_t *used, uint8_t *reply)
{
    size_t at, size;
    if (n > 0 && p[0] != VERSION) return SOCKS_BAD;
    if (n < 2) return SOCKS_MORE;
    *reply = p[1];
    *used = n;
    if (*reply != SOCKS_SUCCEEDED) return SOCKS_OK; /* nothing that follows matters */
    if (n < FIXED_SIZE) return SOCKS_MORE;
    enum socks_status status = find_address(p, n, &at, &size);
    if (status != SOCKS_OK) return status;
    *used = at + size + PORT_SIZE;
    return n < *used ? SOCKS_MORE : SOCKS_OK;
}

const char *socks_reply_name(uint8_t reply)
{
    static const char *const names[] = {
        [SOCKS_SUCCEEDED] = "succeeded",
        [SOCKS_FAILURE] = "general failure",
        [SOCKS_NOT_ALLOWED] = "not allowed by its rules",
        [SOCKS_NETWORK_UNREACHABLE] = "network unreachable",
        [SOCKS_HOST_UNREACHABLE] = "host unreachable",
        [SOCKS_REFUSED] = "connection refused",
        [SOCKS_TTL_EXPIRED] = "TTL expired",
        [SOCKS_COMMAND_NOT_SUPPORTED] = "command not supported",
        [SOCKS_ADDRESS_NOT_SUPPORTED] = "address type not supported",
    };
    return reply < COUNT_OF(names) ? names[reply] : NULL;
}
