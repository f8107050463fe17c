#include "policy/reply.h"

#include "policy/policy.h"
#include "policy/server_hello.h"

#include <string.h>

enum { SSLV2_SERVER_HELLO = 4 };

void reply_init(struct reply *r, bool expects_sslv2)
{
    *r = (struct reply){.alert = -1, .expects_sslv2 = expects_sslv2};
}

void reply_fini(struct reply *r)
{
    buf_fini(&r->message);
    buf_fini(&r->chain);
    buf_fini(&r->exchange);
}

static void give_up(struct reply *r, enum reply_kind kind)
{
    /* Keep what was understood before. */
    if (r->kind == REPLY_NONE) r->kind = kind;
    r->done = true;
}

static void read_alpn(struct reply *r, struct span body)
{
    struct reader in = reader_of(body);
    struct reader list = reader_of(reader_vector(&in, 2));
    struct span name = reader_vector(&list, 1);
    memset(r->alpn, 0, sizeof r->alpn);
    if (!list.failed && name.n > 0) memcpy(r->alpn, name.p, name.n);
}

static void read_extension(struct reply *r, uint16_t type, struct span body)
{
    struct reader in = reader_of(body);
    if (r->extension_count < REPLY_EXTENSIONS) r->extensions[r->extension_count++] = type;
    switch (type) {
    case EXTENSION_ALPN:
        read_alpn(r, body);
        break;
    case EXTENSION_ENCRYPT_THEN_MAC:
        r->encrypt_then_mac = true;
        break;
    case EXTENSION_EXTENDED_MASTER_SECRET:
        r->extended_master_secret = true;
        break;
    case EXTENSION_SESSION_TICKET:
        r->ticket = true;
        break;
    case EXTENSION_SUPPORTED_VERSIONS: /* the version that counts (RFC 8446 section 4.2.1) */
        r->version = reader_u16(&in);
        break;
    case EXTENSION_RENEGOTIATION:
        r->secure_renegotiation = body.n == 1 && body.p[0] == 0;
        break;
    default:
        break;
    }
}

/* The random of a HelloRetryRequest begins like this (RFC 8446 section 4.1.3). */
static bool is_retry(struct span random)
{
    static const uint8_t retry[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11};
    return random.n == 32 && memcmp(random.p, retry, sizeof retry) == 0;
}

static bool is_downgraded(struct span random)
{
    static const uint8_t marker[8] = {'D', 'O', 'W', 'N', 'G', 'R', 'D', 0};
    return random.n == 32 && memcmp(random.p + 24, marker, sizeof marker) == 0;
}

static void read_server_hello(struct reply *r, struct span body)
{
    struct server_hello h;
    uint16_t type;
    struct span extension;
    bool cut = server_hello_read(body, &h) == SERVER_HELLO_CUT;
    r->version = h.version;
    r->retry = is_retry(h.random);
    r->downgraded = is_downgraded(h.random);
    if (h.random.n == sizeof r->random) memcpy(r->random, h.random.p, sizeof r->random);
    r->session_id = h.session_id.n > 0;
    r->suite = h.suite;
    r->compression = h.compression;
    if (cut || r->version >> 8 != VERSION_MAJOR) {
        give_up(r, REPLY_MALFORMED);
        return;
    }
    while (server_hello_extension(&h, &type, &extension)) read_extension(r, type, extension);
    if (h.extensions.failed || r->version >> 8 != VERSION_MAJOR) {
        give_up(r, REPLY_MALFORMED);
        return;
    }
    r->kind = REPLY_HELLO;
    /* What follows in TLS 1.3 is encrypted. */
    r->done = r->version >= TLS_1_3;
}

static void read_certificates(struct reply *r, struct span body)
{
    buf_fini(&r->chain);
    r->certificate_count = 0;
    if (!buf_append(&r->chain, body.p, body.n)) {
        r->chain_cut = true;
        return;
    }
    struct reader in = reader_of((struct span){buf_head(&r->chain), buf_size(&r->chain)});
    struct reader list = reader_of(reader_vector(&in, 3));
    while (list.left > 0 && r->certificate_count < REPLY_CERTIFICATES) {
        struct span der = reader_vector(&list, 3);
        if (!list.failed && der.n > 0) r->certificates[r->certificate_count++] = der;
    }
    r->chain_cut = !reader_done(&in) || list.failed || list.left > 0;
}

/* RFC 8422 section 5.4; it has a scheme since TLS 1.2. */
static void read_key_exchange(struct reply *r, struct span body)
{
    buf_fini(&r->exchange);
    if (!cipher_has_curve(r->suite) || !buf_append(&r->exchange, body.p, body.n)) return;
    struct span kept = {buf_head(&r->exchange), buf_size(&r->exchange)};
    struct reader in = reader_of(kept);
    uint8_t type = reader_u8(&in);
    uint16_t group = reader_u16(&in);
    if (type != NAMED_CURVE || in.failed) return;
    r->group = group;
    reader_vector(&in, 1);
    struct span parameters = {kept.p, kept.n - in.left};
    uint16_t scheme = r->version >= TLS_1_2 && in.left > 0 ? reader_u16(&in) : 0;
    struct span signature = reader_vector(&in, 2);
    if (in.failed) return;
    r->scheme = scheme;
    r->parameters = parameters;
    r->signature = signature;
}

static void read_message(struct reply *r, uint8_t type, struct span body)
{
    if (r->kind != REPLY_HELLO) {
        if (type == MESSAGE_SERVER_HELLO)
            read_server_hello(r, body);
        else if (type != 0) /* a HelloRequest is ignored */
            give_up(r, REPLY_MALFORMED);
        return;
    }
    if (type == MESSAGE_CERTIFICATE) read_certificates(r, body);
    if (type == MESSAGE_SERVER_KEY_EXCHANGE) read_key_exchange(r, body);
    if (type == MESSAGE_CERTIFICATE_REQUEST) r->certificate_request = true;
    if (type == MESSAGE_CERTIFICATE_STATUS) r->staple = true;
    if (type == MESSAGE_SERVER_HELLO_DONE) r->done = true;
}

static void read_handshake(struct reply *r, const uint8_t *p, size_t n)
{
    if (!buf_append(&r->message, p, n)) {
        give_up(r, REPLY_TOO_LARGE);
        return;
    }
    while (!r->done && buf_size(&r->message) >= MESSAGE_HEADER) {
        const uint8_t *m = buf_head(&r->message);
        size_t size = message_length(m);
        if (buf_size(&r->message) < MESSAGE_HEADER + size) return;
        read_message(r, m[0], (struct span){m + MESSAGE_HEADER, size});
        buf_consume(&r->message, MESSAGE_HEADER + size);
    }
}

static void read_alert(struct reply *r, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n && !r->done; i++) {
        r->alert_bytes[r->alert_size++] = p[i];
        if (r->alert_size < sizeof r->alert_bytes) continue;
        r->alert_size = 0;
        /* Warnings, such as unrecognized_name, may precede a ServerHello; close_notify ends the
         * reply. */
        if (r->alert_bytes[0] != ALERT_LEVEL_FATAL && r->alert_bytes[1] != ALERT_CLOSE_NOTIFY)
            continue;
        r->alert = r->alert_bytes[1];
        give_up(r, REPLY_ALERT);
    }
}

static void check_record(struct reply *r)
{
    const uint8_t *header = r->records.header;
    bool tls = record_type_is_known(header[0]) && header[1] == VERSION_MAJOR &&
               r->records.left <= RECORD_LIMIT;
    if (!tls) give_up(r, REPLY_NOT_TLS);
    if (header[0] == RECORD_CHANGE_CIPHER_SPEC || header[0] == RECORD_APPLICATION)
        give_up(r, REPLY_MALFORMED);
}

static void read_records(struct reply *r, struct span in)
{
    struct span fragment;
    while (in.n > 0 && !r->done) {
        switch (records_next(&r->records, &in, &fragment)) {
        case RECORDS_MORE:
            return;
        case RECORDS_HEADER:
            check_record(r);
            break;
        case RECORDS_FRAGMENT:
            if (r->records.header[0] == RECORD_HANDSHAKE)
                read_handshake(r, fragment.p, fragment.n);
            else
                read_alert(r, fragment.p, fragment.n);
        }
    }
}

/* MSG-SERVER-HELLO: type, session-id-hit, certificate type, version, three lengths, then a
 * certificate, cipher kinds of three bytes, a connection id. */
static void read_sslv2(struct reply *r)
{
    struct span all = {buf_head(&r->message), buf_size(&r->message)};
    if (!all.p) return;
    struct reader in = reader_of(all);
    size_t size = (size_t)(reader_u16(&in) & 0x7fff);
    if (in.failed || in.left < size) return;
    in.left = size; /* no further than the record */
    bool hello = reader_u8(&in) == SSLV2_SERVER_HELLO;
    reader_bytes(&in, 2);
    uint16_t version = reader_u16(&in);
    size_t certificate = reader_u16(&in), kinds = reader_u16(&in);
    reader_u16(&in);
    reader_bytes(&in, certificate);
    if (!hello || in.failed || version != SSL_2_0) {
        give_up(r, hello ? REPLY_MALFORMED : REPLY_NOT_TLS);
        return;
    }
    for (; kinds >= 3 && r->kind_count < REPLY_SSLV2_KINDS; kinds -= 3) {
        uint32_t kind = reader_u24(&in);
        if (!in.failed) r->kinds[r->kind_count++] = kind;
    }
    r->version = version;
    r->kind = REPLY_SSLV2;
    r->done = true;
}

static void keep_head(struct reply *r, const uint8_t *p, size_t n)
{
    size_t take = sizeof r->head - r->head_size < n ? sizeof r->head - r->head_size : n;
    memcpy(r->head + r->head_size, p, take);
    r->head_size += take;
}

/* Is the first byte a TLS record's, or an SSL 2.0 length where SSL 2.0 was offered? */
static bool first_byte_fits(struct reply *r)
{
    if (r->expects_sslv2 && r->head[0] & 0x80) return true;
    return record_type_is_known(r->head[0]);
}

void reply_feed(struct reply *r, const uint8_t *p, size_t n)
{
    if (n == 0 || (r->done && r->kind != REPLY_NOT_TLS)) return;
    keep_head(r, p, n);
    r->total += n;
    if (!r->done && r->total > REPLY_LIMIT) {
        r->chain_cut = true;
        give_up(r, REPLY_TOO_LARGE);
    }
    if (!r->done && !first_byte_fits(r)) give_up(r, REPLY_NOT_TLS);
    if (!r->done && r->expects_sslv2 && r->head[0] & 0x80) {
        if (!buf_append(&r->message, p, n)) give_up(r, REPLY_TOO_LARGE);
        read_sslv2(r);
        return;
    }
    read_records(r, (struct span){p, n});
}

const char *reply_alien_name(const struct reply *r)
{
    static const struct {
        const char *begins, *name;
    } known[] = {{"HTTP/", "HTTP"}, {"<", "HTTP"},   {"220", "SMTP or FTP"}, {"421", "SMTP"},
                 {"554", "SMTP"},   {"+OK", "POP3"}, {"* OK", "IMAP"},       {"SSH-", "SSH"},
                 {"RFB ", "VNC"},   {"500", "SMTP"}, {"502", "SMTP"}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        size_t n = strlen(known[i].begins);
        if (n > 0 && r->head_size >= n && memcmp(r->head, known[i].begins, n) == 0)
            return known[i].name;
    }
    return NULL;
}
