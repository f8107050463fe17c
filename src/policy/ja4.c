#include "policy/ja4.h"

#include "policy/wire.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HASH_DIGITS = 12 };

struct list {
    uint16_t *values;
    size_t n;
};

static int ascending(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

static void add_value(struct text *out, const char *separator, uint16_t v)
{
    const uint8_t bytes[] = {(uint8_t)(v >> 8), (uint8_t)v};
    char digits[5];
    text_hex(bytes, sizeof bytes, digits);
    text_add(out, separator);
    text_add_bytes(out, digits, 4);
}

static void join(const struct list *list, struct text *out)
{
    for (size_t i = 0; i < list->n; i++) add_value(out, i ? "," : "", list->values[i]);
}

static bool hash(const struct text *t, ja4_sha256 *sha256, char out[HASH_DIGITS + 1])
{
    uint8_t digest[32];
    if (t->failed || !sha256(text_string(t), t->size, digest)) return false;
    text_hex(digest, HASH_DIGITS / 2, out);
    return true;
}

static bool hash_suites(const struct hello *h, ja4_sha256 *sha256, size_t *count,
                        char out[HASH_DIGITS + 1])
{
    struct text joined = {0};
    struct list list = {malloc(h->cipher_suites.n + 1), 0};
    if (!list.values) return false;
    for (size_t i = 0; i < h->cipher_suites.n / 2; i++) {
        uint16_t id = span_u16(h->cipher_suites, i);
        if (!is_grease(id)) list.values[list.n++] = id;
    }
    qsort(list.values, list.n, sizeof list.values[0], ascending);
    join(&list, &joined);
    *count = list.n;
    bool ok = hash(&joined, sha256, out);
    if (ok && list.n == 0) memset(out, '0', HASH_DIGITS);
    text_fini(&joined);
    free(list.values);
    return ok;
}

static bool hash_extensions(const struct hello *h, ja4_sha256 *sha256, size_t *count,
                            char out[HASH_DIGITS + 1])
{
    struct text joined = {0};
    struct list list = {malloc(h->extensions.n + 1), 0};
    if (!list.values) return false;
    struct reader r = reader_of(h->extensions);
    *count = 0;
    while (r.left > 0) {
        uint16_t type = reader_u16(&r);
        reader_vector(&r, 2);
        if (is_grease(type)) continue;
        ++*count;
        if (type != EXTENSION_SERVER_NAME && type != EXTENSION_ALPN) list.values[list.n++] = type;
    }
    qsort(list.values, list.n, sizeof list.values[0], ascending);
    join(&list, &joined);
    const char *before = "_";
    for (size_t i = 0; i < h->schemes.n / 2; i++) {
        if (is_grease(span_u16(h->schemes, i))) continue;
        add_value(&joined, before, span_u16(h->schemes, i));
        before = ",";
    }
    bool ok = hash(&joined, sha256, out);
    if (ok && *count == 0) memset(out, '0', HASH_DIGITS);
    text_fini(&joined);
    free(list.values);
    return ok;
}

static const char *version_code(uint16_t version)
{
    switch (version) {
    case 0x0304:
        return "13";
    case 0x0303:
        return "12";
    case 0x0302:
        return "11";
    case 0x0301:
        return "10";
    case 0x0300:
        return "s3";
    default:
        return "00";
    }
}

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* First and last character of the first protocol, or of its hexadecimal form. */
static void alpn_code(const struct hello *h, char out[3])
{
    struct reader r = reader_of(h->alpn);
    struct span name = hello_alpn_next(&r);
    memcpy(out, "00", 3);
    if (name.n == 0) return;
    uint8_t first = name.p[0], last = name.p[name.n - 1];
    if (is_alnum(first) && is_alnum(last)) {
        out[0] = (char)first;
        out[1] = (char)last;
        return;
    }
    char hex[3];
    text_hex(&first, 1, hex);
    out[0] = hex[0];
    text_hex(&last, 1, hex);
    out[1] = hex[1];
}

void ja4_format(const struct hello *h, ja4_sha256 *sha256, char out[JA4_SIZE])
{
    char b[HASH_DIGITS + 1], c[HASH_DIGITS + 1], alpn[3];
    size_t suites_n, extensions_n;
    out[0] = '\0';
    if (!hash_suites(h, sha256, &suites_n, b) || !hash_extensions(h, sha256, &extensions_n, c))
        return;
    alpn_code(h, alpn);
    snprintf(out, JA4_SIZE, "t%s%c%02u%02u%s_%s_%s", version_code(h->highest_version),
             h->server_name[0] ? 'd' : 'i', (unsigned)(suites_n > 99 ? 99 : suites_n),
             (unsigned)(extensions_n > 99 ? 99 : extensions_n), alpn, b, c);
}
