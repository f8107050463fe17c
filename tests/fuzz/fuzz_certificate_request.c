/* A server's CertificateRequest, without its header. What is read lies within the message, and its
 * lists fill it. */
#include "fuzz.h"

#include "pki/name.h"
#include "policy/certificate_request.h"

static void check_within(struct span part, struct span whole)
{
    CHECK(part.n == 0 || (part.p >= whole.p && part.n <= whole.n &&
                          (size_t)(part.p - whole.p) <= whole.n - part.n));
}

/* Each name is not empty, and with their lengths they fill the list. */
static void check_authorities(struct span list)
{
    struct reader names = reader_of(list);
    size_t sum = 0;
    for (struct span name; (name = certificate_request_next(&names)).n > 0;) {
        struct text out = {0};
        uint32_t hash;
        check_within(name, list);
        sum += 2 + name.n;
        name_format(name, &out);
        CHECK(!out.failed && strlen(text_string(&out)) == out.size);
        CHECK(name_equal(name, name));
        if (name_hash(name, &hash)) CHECK(name_is_within(name, name));
        text_fini(&out);
    }
    CHECK(reader_done(&names) && sum == list.n);
    CHECK(certificate_request_next(&names).n == 0);
}

/* By the registry's numbers. */
static bool takes(const struct certificate_request *r, enum key_type key)
{
    static const uint16_t rsa[] = {0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806},
                          ecdsa[] = {0x0403, 0x0503, 0x0603};
    bool is_rsa = key == KEY_RSA, type = false, scheme = false;
    for (size_t i = 0; i < r->types.n; i++) type = type || r->types.p[i] == (is_rsa ? 1 : 64);
    for (size_t i = 0; i < (is_rsa ? sizeof rsa : sizeof ecdsa) / sizeof *rsa; i++)
        scheme = scheme || span_has_u16(r->schemes, (is_rsa ? rsa : ecdsa)[i]);
    return type && scheme;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct certificate_request r;
    uint8_t *copy = fuzz_copy(data, size);
    struct span body = {copy, size};
    if (certificate_request_read(body, &r)) {
        check_within(r.types, body);
        check_within(r.schemes, body);
        check_within(r.authorities, body);
        CHECK(1 + r.types.n + 2 + r.schemes.n + 2 + r.authorities.n == size);
        CHECK(r.schemes.n % 2 == 0);
        check_authorities(r.authorities);
        for (int key = 0; key < KEY_TYPES; key++)
            CHECK(certificate_request_takes(&r, (enum key_type)key) ==
                  takes(&r, (enum key_type)key));
    }
    free(copy);
    return 0;
}
