/* Signatures that are made elsewhere: the library's callback notes what is to be signed, and the
 * handshake stops. Once the owner has given the signature, the handshake goes on: the library makes
 * the same message again, asks for the same signature and gets it. */
#include "io.h"
#include "session_impl.h"

#include <stdlib.h>
#include <string.h>

/* What the handshake may be told. */
static int refuse(struct session *s)
{
    s->violation = ALERT_INTERNAL_ERROR;
    return BAD_FUNC_ARG;
}

static bool is_same(const struct signing_request *a, const struct signing_request *b)
{
    return a->key == b->key && a->pss == b->pss && a->size == b->size &&
           memcmp(a->digest, b->digest, b->size) == 0;
}

static int sign(WOLFSSL *ssl, const struct signing_request *request, unsigned char *out,
                word32 *out_size)
{
    struct session *s = wolfSSL_GetIOReadCtx(ssl);
    struct signature *have = s->handshake->signature;
    if (!have) {
        have = s->handshake->signature = calloc(1, sizeof *have);
        if (!have) {
            s->short_of_memory = true;
            return MEMORY_E;
        }
    }
    if (!have->given) {
        have->request = *request;
        return WC_PENDING_E;
    }
    if (!is_same(&have->request, request) || have->size == 0 || have->size > *out_size)
        return refuse(s);
    memcpy(out, have->bytes, have->size);
    *out_size = (word32)have->size;
    return 0;
}

static int sign_digest(WOLFSSL *ssl, enum key_type key, bool pss, const unsigned char *digest,
                       unsigned size, unsigned char *out, word32 *out_size)
{
    struct signing_request r = {.key = key, .pss = pss, .size = (uint8_t)size};
    if (size > sizeof r.digest) return refuse(wolfSSL_GetIOReadCtx(ssl));
    memcpy(r.digest, digest, size);
    return sign(ssl, &r, out, out_size);
}

int session_ecdsa_callback(WOLFSSL *ssl, const unsigned char *in, unsigned size, unsigned char *out,
                           word32 *out_size, const unsigned char *key, unsigned key_size,
                           void *context)
{
    (void)key;
    (void)key_size;
    (void)context;
    return sign_digest(ssl, KEY_ECDSA, false, in, size, out, out_size);
}

int session_rsa_callback(WOLFSSL *ssl, const unsigned char *in, unsigned size, unsigned char *out,
                         word32 *out_size, const unsigned char *key, unsigned key_size,
                         void *context)
{
    struct signing_request r = {.key = KEY_RSA};
    (void)key;
    (void)key_size;
    (void)context;
    if (!signing_read_digest_info(in, size, &r)) return refuse(wolfSSL_GetIOReadCtx(ssl));
    return sign(ssl, &r, out, out_size);
}

/* The hash and the mask function are those of the digest's size (RFC 8446 section 4.2.3). */
int session_pss_callback(WOLFSSL *ssl, const unsigned char *in, unsigned size, unsigned char *out,
                         unsigned *out_size, int hash, int mgf, const unsigned char *key,
                         unsigned key_size, void *context)
{
    (void)hash;
    (void)mgf;
    (void)key;
    (void)key_size;
    (void)context;
    return sign_digest(ssl, KEY_RSA, true, in, size, out, out_size);
}

/* The library would check its own RSA signature for faults of the computation: 0, that is done. */
int session_rsa_check_callback(WOLFSSL *ssl, unsigned char *signature, unsigned size,
                               unsigned char **out, const unsigned char *key, unsigned key_size,
                               void *context)
{
    (void)ssl;
    (void)signature;
    (void)size;
    (void)out;
    (void)key;
    (void)key_size;
    (void)context;
    return 0;
}

int session_pss_check_callback(WOLFSSL *ssl, unsigned char *signature, unsigned size,
                               unsigned char **out, int hash, int mgf, const unsigned char *key,
                               unsigned key_size, void *context)
{
    (void)hash;
    (void)mgf;
    return session_rsa_check_callback(ssl, signature, size, out, key, key_size, context);
}

const struct signing_request *session_wanted_signature(const struct session *s)
{
    return &s->handshake->signature->request;
}

void session_give_signature(struct session *s, const uint8_t *p, size_t n)
{
    struct signature *have = s->handshake ? s->handshake->signature : NULL;
    if (!have || n > sizeof have->bytes) return;
    if (n > 0) memcpy(have->bytes, p, n);
    have->size = n;
    have->given = true;
}
