#include "policy/offer.h"

#include "policy/policy.h"
#include "policy/wire.h"

#include <string.h>

enum {
    GROUP_X25519 = 0x001d,
    /* Some load balancers hang on a hello of 256 to 511 bytes (RFC 7685 section 1). */
    PADDED_FROM = 256,
    PADDED_TO = 512,
    PARTS_LIMIT = 8192,
};

/* Running out of room sets `failed`. */
struct hello_writer {
    uint8_t bytes[PARTS_LIMIT];
    size_t n;
    bool failed;
};

static void put(struct hello_writer *w, const void *p, size_t n)
{
    if (n > sizeof w->bytes - w->n) {
        w->failed = true;
        return;
    }
    if (n > 0) memcpy(w->bytes + w->n, p, n);
    w->n += n;
}

static void put_number(struct hello_writer *w, size_t v, size_t width)
{
    uint8_t bytes[4];
    for (size_t i = 0; i < width; i++) bytes[i] = (uint8_t)(v >> (8 * (width - 1 - i)));
    put(w, bytes, width);
}

/* Leaves room for a length, which end() fills in. Returns the position after it. */
static size_t begin(struct hello_writer *w, size_t width)
{
    put_number(w, 0, width);
    return w->n;
}

static void end(struct hello_writer *w, size_t start, size_t width)
{
    if (w->failed) return;
    size_t n = w->n - start;
    for (size_t i = 0; i < width; i++)
        w->bytes[start - width + i] = (uint8_t)(n >> (8 * (width - 1 - i)));
}

static void put_list(struct hello_writer *w, const uint16_t *values, size_t n)
{
    size_t start = begin(w, 2);
    for (size_t i = 0; i < n; i++) put_number(w, values[i], 2);
    end(w, start, 2);
}

static size_t begin_extension(struct hello_writer *w, unsigned type)
{
    put_number(w, type, 2);
    return begin(w, 2);
}

static void put_extension(struct hello_writer *w, unsigned type, const void *p, size_t n)
{
    size_t start = begin_extension(w, type);
    put(w, p, n);
    end(w, start, 2);
}

/* RFC 6066 section 3. */
static void put_server_name(struct hello_writer *w, const char *name)
{
    size_t start = begin_extension(w, EXTENSION_SERVER_NAME), list = begin(w, 2);
    put_number(w, 0, 1); /* host_name */
    size_t host = begin(w, 2);
    put(w, name, strlen(name));
    end(w, host, 2);
    end(w, list, 2);
    end(w, start, 2);
}

static void put_groups(struct hello_writer *w, const struct offer *o)
{
    uint16_t usual[8];
    size_t n = 0, start = begin_extension(w, EXTENSION_GROUPS);
    for (size_t i = 0; i < GROUP_COUNT && i < COUNT_OF(usual); i++) usual[n++] = group_at(i);
    if (o->group_count)
        put_list(w, o->groups, o->group_count);
    else
        put_list(w, usual, n);
    end(w, start, 2);
}

/* By default schemes that every server can use, the policy's first and SHA-1 last: a server that
 * signs with SHA-1 then has nothing better. */
static void put_schemes(struct hello_writer *w, const struct offer *o)
{
    static const uint16_t usual[] = {0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401,
                                     0x0501, 0x0601, 0x0807, 0x0402, 0x0203, 0x0201, 0x0202};
    size_t start = begin_extension(w, EXTENSION_SIGNATURE_ALGORITHMS);
    if (o->scheme_count)
        put_list(w, o->schemes, o->scheme_count);
    else
        put_list(w, usual, COUNT_OF(usual));
    end(w, start, 2);
    if (o->scheme_count == 0) return;
    /* The question is about the server's own signature, not those in its chain. */
    start = begin_extension(w, EXTENSION_SIGNATURE_ALGORITHMS_CERT);
    put_list(w, usual, COUNT_OF(usual));
    end(w, start, 2);
}

static void put_alpn(struct hello_writer *w, const char *protocol)
{
    size_t start = begin_extension(w, EXTENSION_ALPN), list = begin(w, 2), name = begin(w, 1);
    put(w, protocol, strlen(protocol));
    end(w, name, 1);
    end(w, list, 2);
    end(w, start, 2);
}

/* RFC 8446 section 4.2: one version, and a share for x25519: any 32 bytes are a valid one. */
static void put_tls13(struct hello_writer *w, const uint8_t share[32])
{
    static const uint8_t versions[] = {2, TLS_1_3 >> 8, TLS_1_3 & 0xff}, psk_modes[] = {1, 1};
    put_extension(w, EXTENSION_SUPPORTED_VERSIONS, versions, sizeof versions);
    put_extension(w, EXTENSION_PSK_MODES, psk_modes, sizeof psk_modes);
    size_t start = begin_extension(w, EXTENSION_KEY_SHARE), list = begin(w, 2);
    put_number(w, GROUP_X25519, 2);
    size_t key = begin(w, 2);
    put(w, share, 32);
    end(w, key, 2);
    end(w, list, 2);
    end(w, start, 2);
}

static void put_extensions(struct hello_writer *w, const struct offer *o, const uint8_t share[32],
                           size_t message_start)
{
    static const uint8_t points[] = {1, 0}, ocsp[] = {1, 0, 0, 0, 0}, renegotiation[] = {0};
    if (o->version < TLS_1_0 || (o->bare && !o->server_name)) return;
    size_t start = begin(w, 2);
    if (o->server_name) put_server_name(w, o->server_name);
    if (!o->bare) {
        put_extension(w, EXTENSION_RENEGOTIATION, renegotiation, sizeof renegotiation);
        put_groups(w, o);
        put_extension(w, EXTENSION_POINT_FORMATS, points, sizeof points);
        if (!o->without_tickets) put_extension(w, EXTENSION_SESSION_TICKET, NULL, 0);
        put_extension(w, EXTENSION_EXTENDED_MASTER_SECRET, NULL, 0);
        put_extension(w, EXTENSION_ENCRYPT_THEN_MAC, NULL, 0);
        put_extension(w, EXTENSION_STATUS_REQUEST, ocsp, sizeof ocsp);
        if (o->alpn) put_alpn(w, o->alpn);
        if (o->version >= TLS_1_2) put_schemes(w, o);
        if (o->version >= TLS_1_3) put_tls13(w, share);
        size_t n = w->n - message_start;
        static const uint8_t zeros[PADDED_TO] = {0};
        if (n >= PADDED_FROM && n < PADDED_TO)
            put_extension(w, EXTENSION_PADDING, zeros, n + 4 < PADDED_TO ? PADDED_TO - n - 4 : 0);
    }
    end(w, start, 2);
}

bool offer_write(const struct offer *o, const uint8_t random[OFFER_RANDOM], struct buf *out)
{
    struct hello_writer w = {.n = 0};
    bool old = o->version <= SSL_3_0, tls13 = o->version >= TLS_1_3;
    put_number(&w, RECORD_HANDSHAKE, 1);
    put_number(&w, old ? SSL_3_0 : TLS_1_0, 2);
    size_t record = begin(&w, 2), message_start = w.n;
    put_number(&w, MESSAGE_CLIENT_HELLO, 1);
    size_t message = begin(&w, 3);
    put_number(&w, tls13 ? TLS_1_2 : o->version, 2);
    put(&w, random, 32);
    /* A session ID only where middleboxes want one (RFC 8446 appendix D.4). */
    put_number(&w, tls13 ? 32 : 0, 1);
    if (tls13) put(&w, random + 32, 32);
    size_t list = begin(&w, 2);
    for (size_t i = 0; i < o->suite_count; i++) put_number(&w, o->suites[i], 2);
    if (o->bare || old) put_number(&w, SCSV_RENEGOTIATION, 2);
    if (o->fallback) put_number(&w, SCSV_FALLBACK, 2);
    end(&w, list, 2);
    if (o->compression) put(&w, (const uint8_t[]){2, 1, 0}, 3);
    if (!o->compression) put(&w, (const uint8_t[]){1, 0}, 2);
    put_extensions(&w, o, random + 32, message_start);
    end(&w, message, 3);
    end(&w, record, 2);
    return !w.failed && buf_append(out, w.bytes, w.n);
}

bool offer_write_sslv2(const uint8_t random[OFFER_RANDOM], struct buf *out)
{
    static const uint8_t head[] = {1, 0, 2, 0, 21, 0, 0, 0, 16},
                         kinds[] = {1,    0, 0x80, 2,    0, 0x80, 3,    0, 0x80, 4,   0,
                                    0x80, 5, 0,    0x80, 6, 0,    0x40, 7, 0,    0xc0};
    struct hello_writer w = {.n = 0};
    put_number(&w, 0x8000 | (sizeof head + sizeof kinds + 16), 2);
    put(&w, head, sizeof head);
    put(&w, kinds, sizeof kinds);
    put(&w, random, 16);
    return buf_append(out, w.bytes, w.n);
}
