#include "pki/pkcs12.h"

#include "pki/der.h"
#include "pki/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DER_BMP_STRING = 0x1e,
    BAG_OVERHEAD = 256, /* more than one certificate's bag adds */
};

static const uint8_t oid_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1};
static const uint8_t oid_cert_bag[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1, 3};
static const uint8_t oid_x509[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 22, 1};
static const uint8_t oid_friendly_name[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 20};
/* 2.16.840.1.113894.746875.1.1: Java trusts only certificates whose bag has it. */
static const uint8_t oid_trusted_key_usage[] = {0x60, 0x86, 0x48, 1,    0x86, 0xf9,
                                                0x66, 0xad, 0xca, 0x7b, 1,    1};
static const uint8_t oid_any_usage[] = {0x55, 0x1d, 0x25, 0};

struct store {
    struct der der;
    unsigned count;
};

/* Attribute ::= SEQUENCE { attrId, SET { value } }, both already written after it. */
static void end_attribute(struct der *d, const uint8_t *oid, size_t n, size_t end)
{
    der_wrap(d, DER_SET, end);
    der_element(d, DER_OID, oid, n);
    der_wrap(d, DER_SEQUENCE, end);
}

static void put_attributes(struct der *d, unsigned number)
{
    char name[16];
    uint8_t bmp[32];
    size_t end = d->at, n = (size_t)snprintf(name, sizeof name, "ca%u", number);
    for (size_t i = 0; i < n; i++) {
        bmp[2 * i] = 0;
        bmp[2 * i + 1] = (uint8_t)name[i];
    }
    size_t one = d->at;
    der_element(d, DER_OID, oid_any_usage, sizeof oid_any_usage);
    end_attribute(d, oid_trusted_key_usage, sizeof oid_trusted_key_usage, one);
    one = d->at;
    der_element(d, DER_BMP_STRING, bmp, 2 * n);
    end_attribute(d, oid_friendly_name, sizeof oid_friendly_name, one);
    der_wrap(d, DER_SET, end);
}

/* SafeBag ::= SEQUENCE { bagId, [0] CertBag, attributes } (section 4.2), from back to front. */
static bool put_bag(void *arg, struct span certificate)
{
    struct store *s = arg;
    struct der *d = &s->der;
    size_t end = d->at;
    put_attributes(d, s->count++);
    size_t bag = d->at;
    der_element(d, DER_OCTET_STRING, certificate.p, certificate.n);
    der_wrap(d, DER_CONTEXT_0, bag);
    der_element(d, DER_OID, oid_x509, sizeof oid_x509);
    der_wrap(d, DER_SEQUENCE, bag);
    der_wrap(d, DER_CONTEXT_0, bag);
    der_element(d, DER_OID, oid_cert_bag, sizeof oid_cert_bag);
    der_wrap(d, DER_SEQUENCE, end);
    return true;
}

/* ContentInfo ::= SEQUENCE { data, [0] OCTET STRING }, around all that was written. */
static void wrap_data(struct der *d, size_t end)
{
    der_wrap(d, DER_OCTET_STRING, end);
    der_wrap(d, DER_CONTEXT_0, end);
    der_element(d, DER_OID, oid_data, sizeof oid_data);
    der_wrap(d, DER_SEQUENCE, end);
}

bool pkcs12_trust_store(const struct text *pem, struct text *out)
{
    size_t certificates = 1;
    for (const char *p = text_string(pem); (p = strstr(p, "-----BEGIN")) != NULL; p++)
        certificates++;
    size_t size = pem->size + certificates * BAG_OVERHEAD;
    uint8_t *buffer = malloc(size);
    if (!buffer) return false;
    struct store s = {.der = der_of(buffer, size)};
    struct der *d = &s.der;
    size_t end = d->at;
    bool ok = pem_each(text_string(pem), pem->size, PEM_CERTIFICATE, put_bag, &s);
    der_wrap(d, DER_SEQUENCE, end); /* SafeContents */
    wrap_data(d, end);
    der_wrap(d, DER_SEQUENCE, end); /* AuthenticatedSafe */
    wrap_data(d, end);
    der_element(d, DER_INTEGER, (const uint8_t[]){3}, 1);
    der_wrap(d, DER_SEQUENCE, end);
    struct span result = der_result(d);
    ok = ok && !d->failed && s.count > 0;
    if (ok) text_add_bytes(out, result.p, result.n);
    free(buffer);
    return ok && !out->failed;
}
