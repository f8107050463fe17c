#include "policy/server_hello.h"

enum { RANDOM_SIZE = 32 };

enum server_hello_status server_hello_read(struct span body, struct server_hello *out)
{
    struct reader r = reader_of(body);
    *out = (struct server_hello){0};
    out->version = reader_u16(&r);
    out->random = reader_bytes(&r, RANDOM_SIZE);
    out->session_id = reader_vector(&r, 1);
    out->suite = reader_u16(&r);
    out->compression = reader_u8(&r);
    if (r.failed) return SERVER_HELLO_CUT;
    if (r.left > 0) out->extensions = reader_of(reader_vector(&r, 2));
    out->extensions.failed = r.failed;
    return reader_done(&r) ? SERVER_HELLO_OK : SERVER_HELLO_TRAILING;
}

bool server_hello_extension(struct server_hello *h, uint16_t *type, struct span *body)
{
    if (h->extensions.left == 0) return false;
    *type = reader_u16(&h->extensions);
    *body = reader_vector(&h->extensions, 2);
    return !h->extensions.failed;
}
