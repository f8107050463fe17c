#include "policy/certificate_request.h"

enum { TYPE_RSA_SIGN = 1, TYPE_ECDSA_SIGN = 64 }; /* RFC 8422 section 5.5 */

bool certificate_request_read(struct span body, struct certificate_request *out)
{
    struct reader r = reader_of(body);
    out->types = reader_vector(&r, 1);
    out->schemes = reader_vector(&r, 2);
    out->authorities = reader_vector(&r, 2);
    bool ok = reader_done(&r) && out->schemes.n % 2 == 0;
    struct reader names = reader_of(out->authorities);
    while (ok && names.left > 0) ok = reader_vector(&names, 2).n > 0 && !names.failed;
    return ok;
}

static bool has_type(struct span types, uint8_t wanted)
{
    for (size_t i = 0; i < types.n; i++)
        if (types.p[i] == wanted) return true;
    return false;
}

bool certificate_request_has_scheme(const struct certificate_request *r, enum key_type key)
{
    for (size_t i = 0; i < r->schemes.n / 2; i++) {
        const struct scheme *s = scheme_by_id(span_u16(r->schemes, i));
        if (s && s->verdict == SCHEME_ALLOWED && s->key == key) return true;
    }
    return false;
}

bool certificate_request_takes(const struct certificate_request *r, enum key_type key)
{
    return has_type(r->types, key == KEY_ECDSA ? TYPE_ECDSA_SIGN : TYPE_RSA_SIGN) &&
           certificate_request_has_scheme(r, key);
}

struct span certificate_request_next(struct reader *authorities)
{
    return authorities->left > 0 ? reader_vector(authorities, 2) : (struct span){0};
}
