/* Shared by the unit tests: bytes from hexadecimal text and from data/, and a builder of
 * ClientHellos and records. Test code only; running out of room or memory aborts. */
#ifndef UNIT_HELPER_H
#define UNIT_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNUSED __attribute__((unused))
#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

struct blob {
    uint8_t p[200000];
    size_t n;
};

UNUSED static void blob_bytes(struct blob *b, const void *p, size_t n)
{
    if (b->n + n > sizeof b->p) abort();
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

UNUSED static void blob_number(struct blob *b, uint32_t v, size_t width)
{
    for (size_t i = width; i > 0; i--) {
        uint8_t byte = (uint8_t)(v >> (8 * (i - 1)));
        blob_bytes(b, &byte, 1);
    }
}

/* Appends hexadecimal digits; skips all other characters. */
UNUSED static void blob_hex(struct blob *b, const char *hex)
{
    static const char digits[] = "0123456789abcdef";
    int high = -1;
    for (; *hex; hex++) {
        const char *at = strchr(digits, *hex | 0x20);
        if (!at) continue;
        int value = (int)(at - digits);
        if (high >= 0) blob_number(b, (uint32_t)(high << 4 | value), 1);
        high = high >= 0 ? -1 : value;
    }
}

/* Leaves room for a length of `width` bytes; blob_close() writes it. */
UNUSED static size_t blob_open(struct blob *b, size_t width)
{
    blob_number(b, 0, width);
    return b->n;
}

UNUSED static void blob_close(struct blob *b, size_t opened, size_t width)
{
    size_t n = b->n - opened;
    for (size_t i = 0; i < width; i++) b->p[opened - 1 - i] = (uint8_t)(n >> (8 * i));
}

/* tests/unit/data/<name>.hex, without its comment lines. */
UNUSED static void blob_file(struct blob *b, const char *name)
{
    char path[256], line[4096];
    snprintf(path, sizeof path, "tests/unit/data/%s.hex", name);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s: cannot be read; run from the project's top", path);
    while (fgets(line, sizeof line, f))
        if (line[0] != '#') blob_hex(b, line);
    fclose(f);
}

/* A copy of exactly n bytes on the heap, so that the sanitizer sees a read past its end. */
UNUSED static uint8_t *exact(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) abort();
    if (n) memcpy(copy, p, n);
    return copy;
}

/* A ClientHello: lists as hexadecimal text, NULL for no extension. */
struct hello_spec {
    uint16_t version;
    const char *suites, *compression, *versions, *groups, *schemes, *points, *alpn;
    const char *renegotiation; /* renegotiated_connection */
    const char *name;
    const char *more; /* further whole extensions */
    bool no_extensions;
};

UNUSED static void blob_list(struct blob *b, uint16_t type, size_t width, const char *hex)
{
    if (!hex) return;
    blob_number(b, type, 2);
    size_t body = blob_open(b, 2), list = blob_open(b, width);
    blob_hex(b, hex);
    blob_close(b, list, width);
    blob_close(b, body, 2);
}

/* The handshake message. */
UNUSED static void blob_hello(struct blob *b, const struct hello_spec *s)
{
    b->n = 0;
    blob_number(b, 1, 1);
    size_t message = blob_open(b, 3);
    blob_number(b, s->version, 2);
    for (unsigned i = 0; i < 32; i++) blob_number(b, 0x40 + i, 1);
    blob_number(b, 0, 1);
    size_t list = blob_open(b, 2);
    blob_hex(b, s->suites);
    blob_close(b, list, 2);
    list = blob_open(b, 1);
    blob_hex(b, s->compression ? s->compression : "00");
    blob_close(b, list, 1);
    if (!s->no_extensions) {
        size_t all = blob_open(b, 2);
        if (s->name) {
            blob_number(b, 0, 2);
            size_t body = blob_open(b, 2), names = blob_open(b, 2);
            blob_number(b, 0, 1);
            size_t name = blob_open(b, 2);
            blob_bytes(b, s->name, strlen(s->name));
            blob_close(b, name, 2);
            blob_close(b, names, 2);
            blob_close(b, body, 2);
        }
        blob_list(b, 43, 1, s->versions);
        blob_list(b, 10, 2, s->groups);
        blob_list(b, 13, 2, s->schemes);
        blob_list(b, 11, 1, s->points);
        blob_list(b, 16, 2, s->alpn);
        blob_list(b, 0xff01, 1, s->renegotiation);
        if (s->more) blob_hex(b, s->more);
        blob_close(b, all, 2);
    }
    blob_close(b, message, 3);
}

/* Message bytes as records of one type, at most `size` bytes in each. */
UNUSED static void blob_records(struct blob *out, uint8_t type, uint16_t version, const uint8_t *p,
                                size_t n, size_t size)
{
    for (size_t i = 0; i < n; i += size) {
        size_t take = n - i < size ? n - i : size;
        blob_number(out, type, 1);
        blob_number(out, version, 2);
        blob_number(out, (uint32_t)take, 2);
        blob_bytes(out, p + i, take);
    }
}

#endif
