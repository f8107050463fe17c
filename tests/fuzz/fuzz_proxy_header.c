/* Headers of the PROXY protocol. What is taken can be written and reads back as the same. */
#include "fuzz.h"

#include "policy/proxy_header.h"

static enum proxy_header_status parse(const uint8_t *p, size_t n, size_t *used,
                                      struct proxy_header *h)
{
    const char *why = NULL;
    uint8_t *copy = fuzz_copy(p, n);
    enum proxy_header_status status = proxy_header_parse(copy, n, used, h, &why);
    free(copy);
    CHECK((status == PROXY_HEADER_BAD) == (why != NULL));
    CHECK(status != PROXY_HEADER_OK || (*used > 0 && *used <= n && *used <= PROXY_HEADER_LIMIT));
    CHECK((h->source.length == 0) == (h->destination.length == 0) || status == PROXY_HEADER_BAD);
    return status;
}

/* A final status for a prefix is the status of the whole. */
static void check_growth(const uint8_t *p, size_t n, enum proxy_header_status whole,
                         size_t whole_used)
{
    for (size_t k = 0; k < n && k < 200; k++) {
        struct proxy_header h;
        size_t used = 0;
        enum proxy_header_status status = parse(p, k, &used, &h);
        if (status == PROXY_HEADER_MORE) continue;
        CHECK(status == whole);
        CHECK(status != PROXY_HEADER_OK || used == whole_used);
        return;
    }
}

static void check_same(const struct proxy_header *a, const struct proxy_header *b)
{
    CHECK(addr_same_ip(&a->source, &b->source) && addr_port(&a->source) == addr_port(&b->source));
    CHECK(addr_same_ip(&a->destination, &b->destination));
    CHECK(addr_port(&a->destination) == addr_port(&b->destination));
}

static void check_written(const struct proxy_header *h)
{
    char line[PROXY_HEADER_V1_SIZE];
    uint8_t binary[PROXY_HEADER_V2_SIZE];
    struct proxy_header again;
    size_t used, n = proxy_header_write_v1(h, line);
    CHECK(parse((const uint8_t *)line, n, &used, &again) == PROXY_HEADER_OK && used == n);
    check_same(h, &again);
    n = proxy_header_write_v2(h, "gate.example", "TLSv1.2", "ECDHE-RSA-AES128-SHA256", binary);
    CHECK(parse(binary, n, &used, &again) == PROXY_HEADER_OK && used == n);
    check_same(h, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h;
    size_t used = 0;
    enum proxy_header_status status = parse(data, size, &used, &h);
    check_growth(data, size, status, used);
    if (status == PROXY_HEADER_OK && h.source.length) check_written(&h);
    return 0;
}
