#include "policy/hello.h"

#include "base/text.h"
#include "policy/wire.h"

#include <string.h>

void hello_reader_fini(struct hello_reader *r)
{
    buf_fini(&r->message);
}

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

/* What the first bytes are; HELLO_COMPLETE: a TLS handshake record. */
static enum hello_status classify(const uint8_t *h, size_t n)
{
    if (h[0] == RECORD_HANDSHAKE) {
        if (n < 2) return HELLO_MORE;
        return h[1] == VERSION_MAJOR ? HELLO_COMPLETE : HELLO_MALFORMED;
    }
    /* Other TLS records cannot open a connection. */
    if (record_type_is_known(h[0]) && n >= 2 && h[1] == VERSION_MAJOR) return HELLO_MALFORMED;
    if (is_upper(h[0])) {
        for (size_t i = 1; i < n; i++)
            if (!is_upper(h[i])) return i >= 3 && h[i] == ' ' ? HELLO_HTTP : HELLO_NOT_TLS;
        return n == RECORD_HEADER ? HELLO_HTTP : HELLO_MORE;
    }
    /* 15-bit length, then CLIENT-HELLO, then the version offered. */
    if (h[0] & 0x80) {
        if (n < RECORD_HEADER) return HELLO_MORE;
        bool version = (h[3] == 0 && h[4] == 2) || h[3] == VERSION_MAJOR;
        return h[2] == MESSAGE_CLIENT_HELLO && version ? HELLO_SSLV2 : HELLO_NOT_TLS;
    }
    if (record_type_is_known(h[0]) && n < 2) return HELLO_MORE;
    return HELLO_NOT_TLS;
}

static enum hello_status malformed(struct hello_reader *r, uint8_t alert)
{
    r->alert = alert;
    return HELLO_MALFORMED;
}

/* One record header is complete: may its fragment be read? */
static enum hello_status check_record(struct hello_reader *r)
{
    const uint8_t *header = r->records.header;
    size_t length = record_length(header);
    if (header[0] != RECORD_HANDSHAKE) return malformed(r, ALERT_UNEXPECTED_MESSAGE);
    if (header[1] != VERSION_MAJOR) return malformed(r, ALERT_DECODE_ERROR);
    if (length > RECORD_PLAIN_LIMIT) return malformed(r, ALERT_RECORD_OVERFLOW);
    /* Zero-length handshake fragments are not allowed (RFC 5246 section 6.2.1). */
    return length == 0 ? malformed(r, ALERT_DECODE_ERROR) : HELLO_MORE;
}

/* Length of the whole message, from its header; 0 while the header is incomplete. */
static size_t message_size(const struct hello_reader *r)
{
    const uint8_t *m = buf_head(&r->message);
    if (buf_size(&r->message) < MESSAGE_HEADER) return 0;
    return MESSAGE_HEADER + message_length(m);
}

static enum hello_status check_message(struct hello_reader *r)
{
    if (buf_size(&r->message) > 0 && buf_head(&r->message)[0] != MESSAGE_CLIENT_HELLO)
        return malformed(r, ALERT_UNEXPECTED_MESSAGE);
    size_t size = message_size(r);
    if (size > r->limit) return HELLO_TOO_LARGE;
    if (!size || buf_size(&r->message) < size) return HELLO_MORE;
    /* A client sends nothing after its hello before the server answers. */
    if (buf_size(&r->message) > size || r->records.left > 0)
        return malformed(r, ALERT_UNEXPECTED_MESSAGE);
    return HELLO_COMPLETE;
}

/* Checks a record's header, also an incomplete one: the connection's first bytes show what it
 * is. */
static enum hello_status check_header(struct hello_reader *r)
{
    const struct records *records = &r->records;
    for (size_t n = 1; n <= records->header_size && buf_size(&r->message) == 0; n++) {
        enum hello_status kind = classify(records->header, n);
        if (kind == HELLO_MALFORMED)
            return malformed(r, records->header[0] == RECORD_HANDSHAKE ? ALERT_DECODE_ERROR
                                                                       : ALERT_UNEXPECTED_MESSAGE);
        if (kind != HELLO_COMPLETE && kind != HELLO_MORE) return kind;
    }
    return records->header_size == RECORD_HEADER ? check_record(r) : HELLO_MORE;
}

static enum hello_status take_fragment(struct hello_reader *r, struct span fragment)
{
    if (!buf_append(&r->message, fragment.p, fragment.n)) return HELLO_NO_MEMORY;
    return check_message(r);
}

enum hello_status hello_reader_feed(struct hello_reader *r, const uint8_t *p, size_t n,
                                    size_t *used)
{
    enum hello_status status = HELLO_MORE;
    struct span in = {p, n}, fragment;
    while (in.n > 0 && status == HELLO_MORE)
        status = records_next(&r->records, &in, &fragment) == RECORDS_FRAGMENT
                     ? take_fragment(r, fragment)
                     : check_header(r);
    *used = n - in.n;
    return status;
}

/* 0x7f000001 as the last label: many resolvers take such a name for an IPv4 address (inet_aton). */
static bool is_hexadecimal(const char *label, size_t n)
{
    if (n < 2 || label[0] != '0' || (label[1] | 0x20) != 'x') return false;
    for (size_t i = 2; i < n; i++)
        if (!((label[i] >= '0' && label[i] <= '9') ||
              ((label[i] | 0x20) >= 'a' && (label[i] | 0x20) <= 'f')))
            return false;
    return true;
}

bool hello_name_is_valid(const char *name, size_t n)
{
    if (n == 0 || n > 253) return false;
    size_t label = 0;
    bool letters = false; /* in the last label: an all-digit one is an IPv4 address */
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (c == '.') {
            if (label == 0 || name[i - 1] == '-') return false;
            label = 0;
            letters = false;
            continue;
        }
        if (!alpha && !(c >= '0' && c <= '9') && c != '-') return false;
        if (c == '-' && label == 0) return false;
        if (++label > 63) return false;
        letters = letters || alpha || c == '-';
    }
    return label > 0 && letters && name[n - 1] != '-' && !is_hexadecimal(name + n - label, label);
}

/* RFC 6066 section 3: a list of names, of which only host_name is known. */
static bool parse_server_name(struct reader body, struct hello *h)
{
    struct reader list = reader_of(reader_vector(&body, 2));
    if (!reader_done(&body) || list.left == 0) return false;
    bool seen = false;
    while (list.left > 0) {
        uint8_t type = reader_u8(&list);
        struct span name = reader_vector(&list, 2);
        if (list.failed) return false;
        if (type != 0) continue;
        if (seen) return false;
        seen = true;
        size_t n = name.n;
        if (n > 1 && name.p[n - 1] == '.') n--;
        if (n == 0 || n >= sizeof h->server_name) return false;
        for (size_t i = 0; i < n; i++)
            if (name.p[i] <= ' ' || name.p[i] > '~') return false;
        memcpy(h->server_name, name.p, n);
        h->server_name[n] = '\0';
        text_lower(h->server_name);
        h->server_name_usable = hello_name_is_valid(h->server_name, n);
    }
    return true;
}

/* A vector that fills the whole extension; `unit` divides its size and it is not empty. */
static bool whole_vector(struct reader body, size_t width, size_t unit, struct span *out)
{
    *out = reader_vector(&body, width);
    return reader_done(&body) && out->n > 0 && out->n % unit == 0;
}

struct span hello_alpn_next(struct reader *r)
{
    if (r->left == 0) return (struct span){0};
    return reader_vector(r, 1);
}

static bool parse_alpn(struct reader body, struct hello *h)
{
    if (!whole_vector(body, 2, 1, &h->alpn)) return false;
    struct reader names = reader_of(h->alpn);
    while (names.left > 0)
        if (hello_alpn_next(&names).n == 0) return false;
    return !names.failed;
}

static bool parse_extension(uint16_t type, struct span s, struct hello *h)
{
    struct reader body = reader_of(s);
    switch (type) {
    case 0:
        return parse_server_name(body, h);
    case 10:
        h->has_groups = true;
        return whole_vector(body, 2, 2, &h->groups);
    case 11:
        h->has_point_formats = true;
        return whole_vector(body, 1, 1, &h->point_formats);
    case 13:
        h->has_schemes = true;
        return whole_vector(body, 2, 2, &h->schemes);
    case 16:
        return parse_alpn(body, h);
    case 22: /* encrypt_then_mac (RFC 7366) is empty */
        return s.n == 0;
    case 23: /* RFC 7627 section 5.1 */
        h->extended_master_secret = true;
        return s.n == 0;
    case 35:
        h->has_session_ticket = true;
        h->session_ticket = s;
        return true;
    case 43:
        h->has_versions = true;
        return whole_vector(body, 1, 2, &h->supported_versions);
    case 0xff01:
        h->has_renegotiation = true;
        h->renegotiation = reader_vector(&body, 1);
        return reader_done(&body);
    default:
        return true;
    }
}

/* Is this type among the first n bytes, which are whole extensions? */
static bool has_extension(struct span extensions, size_t n, uint16_t type)
{
    struct reader r = reader_of((struct span){extensions.p, n});
    while (r.left > 0) {
        uint16_t earlier = reader_u16(&r);
        reader_vector(&r, 2);
        if (earlier == type) return true;
    }
    return false;
}

bool hello_offers_extension(const struct hello *h, uint16_t type)
{
    return has_extension(h->extensions, h->extensions.n, type);
}

bool hello_offers_secure_renegotiation(const struct hello *h)
{
    return h->has_renegotiation || span_has_u16(h->cipher_suites, SCSV_RENEGOTIATION);
}

enum { SUITES_LIMIT = 2048 };    /* the TLS library's limit; no client sends as many */
enum { EXTENSIONS_LIMIT = 128 }; /* more than any client sends; bounds the search above */

/* Is there another one after the first 128? */
static bool too_many_extensions(struct span extensions)
{
    struct reader r = reader_of(extensions);
    for (unsigned i = 0; i < EXTENSIONS_LIMIT; i++) {
        reader_u16(&r);
        reader_vector(&r, 2);
    }
    return r.left > 0;
}

static uint8_t parse_extensions(struct hello *h)
{
    struct reader r = reader_of(h->extensions);
    while (r.left > 0) {
        size_t before = h->extensions.n - r.left;
        uint16_t type = reader_u16(&r);
        struct span body = reader_vector(&r, 2);
        if (r.failed) return ALERT_DECODE_ERROR;
        /* No type may occur twice (RFC 5246 section 7.4.1.4), GREASE included. */
        if (has_extension(h->extensions, before, type)) return ALERT_ILLEGAL_PARAMETER;
        if (!parse_extension(type, body, h)) return ALERT_DECODE_ERROR;
        h->grease = h->grease || is_grease(type);
    }
    return 0;
}

static void note_versions(struct hello *h)
{
    h->highest_version = h->legacy_version;
    if (!h->has_versions) return;
    h->highest_version = 0;
    for (size_t i = 0; i < h->supported_versions.n / 2; i++) {
        uint16_t v = span_u16(h->supported_versions, i);
        if (is_grease(v))
            h->grease = true;
        else if (v > h->highest_version)
            h->highest_version = v;
    }
}

static void note_suites(struct hello *h)
{
    for (size_t i = 0; i < h->cipher_suites.n / 2; i++) {
        uint16_t id = span_u16(h->cipher_suites, i);
        h->fallback_scsv = h->fallback_scsv || id == SCSV_FALLBACK;
        h->grease = h->grease || is_grease(id);
    }
    for (size_t i = 0; i < h->groups.n / 2; i++)
        h->grease = h->grease || is_grease(span_u16(h->groups, i));
}

/* An unknown higher version is answered with TLS 1.2 (RFC 5246 appendix E.1), and the transcript
 * needs it unchanged. The TLS library compares the minor number alone: it would take 4.0 to 4.2 and
 * the like, which no client sends, for older versions. */
static bool version_readable(uint16_t version)
{
    return version >> 8 <= 3 || (version & 0xff) >= (TLS_1_2 & 0xff);
}

enum hello_status hello_parse(struct span message, struct hello *h, uint8_t *alert)
{
    *h = (struct hello){.message = message};
    *alert = ALERT_DECODE_ERROR;
    struct reader r = reader_of(message);
    uint8_t type = reader_u8(&r);
    struct reader body = reader_of(reader_bytes(&r, reader_u24(&r)));
    if (type != MESSAGE_CLIENT_HELLO || !reader_done(&r)) return HELLO_MALFORMED;
    h->legacy_version = reader_u16(&body);
    h->random = reader_bytes(&body, 32);
    h->session_id = reader_vector(&body, 1);
    h->cipher_suites = reader_vector(&body, 2);
    h->compression = reader_vector(&body, 1);
    if (body.failed || h->session_id.n > 32 || h->cipher_suites.n == 0 ||
        h->cipher_suites.n % 2 != 0 || h->compression.n == 0)
        return HELLO_MALFORMED;
    if (!version_readable(h->legacy_version)) {
        *alert = ALERT_PROTOCOL_VERSION;
        return HELLO_MALFORMED;
    }
    if (h->cipher_suites.n / 2 > SUITES_LIMIT) return HELLO_TOO_MANY_SUITES;
    if (body.left > 0) {
        h->extensions = reader_vector(&body, 2);
        if (!reader_done(&body)) return HELLO_MALFORMED;
    }
    if (too_many_extensions(h->extensions)) return HELLO_TOO_MANY_EXTENSIONS;
    uint8_t fault = parse_extensions(h);
    if (fault) {
        *alert = fault;
        return HELLO_MALFORMED;
    }
    note_versions(h);
    note_suites(h);
    return HELLO_COMPLETE;
}
