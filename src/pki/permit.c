#include "pki/permit.h"

#include "pki/der.h"

#include <string.h>

enum { BASE_DNS = 0x82, BASE_IP = 0x87, IP_LIMIT = 16 };

static void put_subtree(struct der *d, uint8_t form, const void *p, size_t n)
{
    size_t end = d->at;
    der_element(d, form, p, n);
    der_wrap(d, DER_SEQUENCE, end);
}

/* The address, then its mask. */
static void put_range(struct der *d, const struct cidr *range)
{
    uint8_t bytes[2 * IP_LIMIT] = {0};
    size_t size = range->family_size;
    for (unsigned i = 0; i < range->bits; i++) bytes[size + i / 8] |= (uint8_t)(0x80 >> i % 8);
    for (size_t i = 0; i < size; i++) bytes[i] = range->bytes[i] & bytes[size + i];
    put_subtree(d, BASE_IP, bytes, 2 * size);
}

/* What the patterns have. */
struct forms {
    bool names, ipv4, ipv6;
};

/* A form that no subtree permits would be free. */
static void put_excluded(struct der *d, const struct forms *permitted)
{
    static const uint8_t zeros[2 * IP_LIMIT];
    bool addresses = permitted->ipv4 || permitted->ipv6;
    size_t end = d->at;
    if (permitted->names && addresses) return;
    if (!addresses) put_subtree(d, BASE_IP, zeros, 2 * 16);
    if (!addresses) put_subtree(d, BASE_IP, zeros, 2 * 4);
    if (!permitted->names) put_subtree(d, BASE_DNS, zeros, 0);
    der_wrap(d, DER_CONTEXT_1, end);
}

/* IPv4 and IPv6 are one form, but two for GnuTLS. Java fails where all of one are excluded and an
 * address is of the other: so the unspecified address, which no server has, is permitted. */
static void put_other_addresses(struct der *d, const struct forms *permitted)
{
    const struct cidr ipv4 = {.family_size = 4, .bits = 32},
                      ipv6 = {.family_size = 16, .bits = 128};
    if (permitted->ipv4 && !permitted->ipv6) put_range(d, &ipv6);
    if (permitted->ipv6 && !permitted->ipv4) put_range(d, &ipv4);
}

bool permit_encode(const struct pattern *patterns, size_t n, uint8_t buffer[PERMIT_LIMIT],
                   struct span *out)
{
    struct der d = der_of(buffer, PERMIT_LIMIT);
    struct forms permitted = {.names = false};
    for (size_t i = 0; i < n; i++) {
        if (patterns[i].any || patterns[i].port_count > 0) return false;
        if (patterns[i].host[0])
            permitted.names = true;
        else if (patterns[i].range.family_size == 4)
            permitted.ipv4 = true;
        else
            permitted.ipv6 = true;
    }
    put_excluded(&d, &permitted);
    size_t end = d.at;
    put_other_addresses(&d, &permitted);
    for (size_t i = n; i-- > 0;)
        if (patterns[i].host[0])
            put_subtree(&d, BASE_DNS, patterns[i].host, strlen(patterns[i].host));
        else
            put_range(&d, &patterns[i].range);
    der_wrap(&d, DER_CONTEXT_0, end);
    *out = der_result(&d);
    return out->n > 0;
}
