#include "pki/keys.h"

#include "base/secret.h"
#include "pki/registers.h"
#include "pki/wolfcrypt.h"

#include <stdlib.h>
#include <string.h>

enum { DER_LIMIT = 4096, EC_KEY_BYTES = 32, SPKI_LIMIT = 800 };

static _Thread_local WC_RNG thread_rng;
static _Thread_local bool thread_rng_ready;

WC_RNG *random_thread(void)
{
    if (!thread_rng_ready) thread_rng_ready = wc_InitRng(&thread_rng) == 0;
    return thread_rng_ready ? &thread_rng : NULL;
}

void random_thread_fini(void)
{
    if (thread_rng_ready) wc_FreeRng(&thread_rng);
    thread_rng_ready = false;
}

bool random_bytes(void *out, size_t n)
{
    WC_RNG *rng = random_thread();
    return rng && wc_RNG_GenerateBlock(rng, out, (word32)n) == 0;
}

bool digest_sha256(const void *p, size_t n, uint8_t out[32])
{
    registers_clean();
    return wc_Sha256Hash(p ? p : (const uint8_t *)"", (word32)n, out) == 0;
}

bool digest_sha256_two(struct span first, struct span second, uint8_t out[32])
{
    wc_Sha256 sha;
    registers_clean();
    if (wc_InitSha256(&sha) != 0) return false;
    bool ok = wc_Sha256Update(&sha, first.p, (word32)first.n) == 0 &&
              wc_Sha256Update(&sha, second.p, (word32)second.n) == 0 &&
              wc_Sha256Final(&sha, out) == 0;
    wc_Sha256Free(&sha);
    return ok;
}

bool decoded_key_init(struct decoded_key *out, const struct private_key *key)
{
    word32 index = 0;
    out->type = key->type;
    if (key->type == KEY_ECDSA) {
        if (wc_ecc_init(&out->ecc) != 0) return false;
        if (wc_EccPrivateKeyDecode(key->der, &index, &out->ecc, (word32)key->size) == 0 &&
            wc_ecc_make_pub(&out->ecc, NULL) == 0)
            return true;
    } else {
        if (wc_InitRsaKey(&out->rsa, NULL) != 0) return false;
        if (wc_RsaPrivateKeyDecode(key->der, &index, &out->rsa, (word32)key->size) == 0 &&
            wc_RsaSetRNG(&out->rsa, random_thread()) == 0)
            return true;
    }
    decoded_key_fini(out);
    return false;
}

void decoded_key_fini(struct decoded_key *key)
{
    if (key->type == KEY_ECDSA)
        wc_ecc_free(&key->ecc);
    else
        wc_FreeRsaKey(&key->rsa);
}

static bool note_spki(struct private_key *out, struct decoded_key *decoded)
{
    uint8_t spki[SPKI_LIMIT];
    int size = out->type == KEY_ECDSA ? wc_EccPublicKeyToDer(&decoded->ecc, spki, SPKI_LIMIT, 1)
                                      : wc_RsaKeyToPublicDer(&decoded->rsa, spki, SPKI_LIMIT);
    out->spki = size > 0 ? malloc((size_t)size) : NULL;
    if (!out->spki) return false;
    out->spki_size = (size_t)size;
    memcpy(out->spki, spki, out->spki_size);
    return true;
}

static bool key_set(struct private_key *out, enum key_type type, const uint8_t *der, int size)
{
    *out = (struct private_key){.type = type};
    if (size <= 0) return false;
    out->size = (size_t)size;
    out->der = secret_new(out->size);
    if (!out->der) return false;
    memcpy(out->der, der, out->size);
    return true;
}

bool key_generate(enum key_type type, unsigned rsa_bits, struct private_key *out)
{
    struct decoded_key key = {.type = type};
    WC_RNG *rng = random_thread();
    uint8_t der[DER_LIMIT];
    int size = -1;
    *out = (struct private_key){0};
    if (!rng) return false;
    if (type == KEY_ECDSA) {
        if (wc_ecc_init(&key.ecc) != 0) return false;
        if (wc_ecc_make_key(rng, EC_KEY_BYTES, &key.ecc) == 0)
            size = wc_EccKeyToDer(&key.ecc, der, sizeof der);
    } else {
        if (wc_InitRsaKey(&key.rsa, NULL) != 0) return false;
        if (wc_MakeRsaKey(&key.rsa, (int)rsa_bits, WC_RSA_EXPONENT, rng) == 0)
            size = wc_RsaKeyToDer(&key.rsa, der, sizeof der);
    }
    bool ok = key_set(out, type, der, size) && note_spki(out, &key);
    if (!ok) key_fini(out);
    explicit_bzero(der, sizeof der);
    decoded_key_fini(&key);
    return ok;
}

static bool key_decode(enum key_type type, const uint8_t *der, int size, struct private_key *out)
{
    struct private_key key;
    struct decoded_key decoded;
    if (!key_set(&key, type, der, size)) return false;
    bool ok = decoded_key_init(&decoded, &key);
    if (ok) {
        ok = note_spki(&key, &decoded);
        decoded_key_fini(&decoded);
    }
    if (ok)
        *out = key;
    else
        key_fini(&key);
    return ok;
}

bool key_from_pem(const char *pem, size_t n, struct private_key *out)
{
    uint8_t der[DER_LIMIT];
    *out = (struct private_key){0};
    /* Skip a leading EC PARAMETERS block, which some tools write. */
    const char *parameters = memmem(pem, n, "-----END EC PARAMETERS-----", 27);
    if (parameters) {
        n -= (size_t)(parameters + 27 - pem);
        pem = parameters + 27;
    }
    int size = wc_KeyPemToDer((const uint8_t *)pem, (int)n, der, sizeof der, NULL);
    bool ok = key_decode(KEY_ECDSA, der, size, out) || key_decode(KEY_RSA, der, size, out);
    explicit_bzero(der, sizeof der);
    return ok;
}

static bool decode_public(struct decoded_key *key, struct span der)
{
    enum { EC_BITS = 256, BYTE = 8 };
    word32 index = 0;
    if (key->type == KEY_ECDSA)
        return wc_EccPublicKeyDecode(der.p, &index, &key->ecc, (word32)der.n) == 0 &&
               wc_ecc_size(&key->ecc) * BYTE >= EC_BITS;
    return wc_RsaPublicKeyDecode(der.p, &index, &key->rsa, (word32)der.n) == 0 &&
           wc_RsaEncryptSize(&key->rsa) * BYTE >= POLICY_RSA_BITS_FLOOR;
}

bool key_public_from_der(enum key_type type, struct span der, struct private_key *out)
{
    struct decoded_key key = {.type = type};
    *out = (struct private_key){.type = type};
    if (type == KEY_ECDSA ? wc_ecc_init(&key.ecc) != 0 : wc_InitRsaKey(&key.rsa, NULL) != 0)
        return false;
    bool ok = decode_public(&key, der) && note_spki(out, &key);
    decoded_key_fini(&key);
    return ok;
}

static bool take_public(void *arg, struct span der)
{
    struct private_key *out = arg;
    return !out->spki &&
           (key_public_from_der(KEY_ECDSA, der, out) || key_public_from_der(KEY_RSA, der, out));
}

bool key_public_from_pem(const char *pem, size_t n, struct private_key *out)
{
    *out = (struct private_key){0};
    bool ok = pem_each(pem, n, PEM_PUBLIC_KEY, take_public, out) && out->spki;
    if (!ok) key_fini(out);
    return ok;
}

static bool add_pem(const uint8_t *der, size_t n, int type, struct text *out)
{
    size_t room = n * 2 + 256;
    uint8_t *pem = malloc(room);
    int size = pem ? wc_DerToPem(der, (word32)n, pem, (word32)room, type) : -1;
    if (size > 0) text_add_bytes(out, pem, (size_t)size);
    if (pem) explicit_bzero(pem, room);
    free(pem);
    return size > 0 && !out->failed;
}

bool key_to_pem(const struct private_key *key, struct text *out)
{
    return add_pem(key->der, key->size,
                   key->type == KEY_ECDSA ? ECC_PRIVATEKEY_TYPE : PRIVATEKEY_TYPE, out);
}

bool pem_add_certificate(struct span der, struct text *out)
{
    return add_pem(der.p, der.n, CERT_TYPE, out);
}

bool pem_add_public_key(struct span spki, struct text *out)
{
    return add_pem(spki.p, spki.n, PUBLICKEY_TYPE, out);
}

static bool add_certificate(void *arg, struct span der)
{
    return pem_add_certificate(der, arg);
}

static bool add_crl(void *arg, struct span der)
{
    return add_pem(der.p, der.n, CRL_TYPE, arg);
}

static bool add_public(void *arg, struct span der)
{
    return pem_add_public_key(der, arg);
}

bool pem_without_keys(const char *pem, size_t n, struct text *out)
{
    return pem_each(pem, n, PEM_CERTIFICATE, add_certificate, out) &&
           pem_each(pem, n, PEM_CRL, add_crl, out) &&
           pem_each(pem, n, PEM_PUBLIC_KEY, add_public, out) && !out->failed;
}

bool base64_encode(struct span bytes, struct text *out)
{
    word32 size = (word32)(bytes.n * 4 / 3 + 8);
    size_t before = out->size;
    char *place = text_extend(out, size);
    if (!place || Base64_Encode_NoNl(bytes.p, (word32)bytes.n, (byte *)place, &size) != 0)
        return false;
    out->size = before + size;
    out->data[out->size] = '\0';
    return true;
}

bool base64_decode(const char *p, size_t n, uint8_t *out, size_t room, size_t *size)
{
    word32 got = (word32)room;
    if (Base64_Decode((const byte *)p, (word32)n, out, &got) != 0) return false;
    *size = got;
    return true;
}

void key_fini(struct private_key *key)
{
    secret_free(key->der, key->size);
    free(key->spki);
    *key = (struct private_key){0};
}

struct span key_spki(const struct private_key *key)
{
    return (struct span){key->spki, key->spki_size};
}

struct pem_form {
    const char *begin, *end;
    int type;
};

bool pem_each(const char *pem, size_t n, enum pem_kind kind,
              bool (*each)(void *arg, struct span der), void *arg)
{
    static const struct pem_form forms[] = {
        [PEM_CERTIFICATE] = {"-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", CERT_TYPE},
        [PEM_CRL] = {"-----BEGIN X509 CRL-----", "-----END X509 CRL-----", CRL_TYPE},
        [PEM_PUBLIC_KEY] = {"-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----",
                            PUBLICKEY_TYPE},
    };
    const char *begin = forms[kind].begin, *end = forms[kind].end;
    const char *at = pem, *stop = pem + n;
    bool ok = true;
    while (ok && (at = memmem(at, (size_t)(stop - at), begin, strlen(begin)))) {
        const char *close = memmem(at, (size_t)(stop - at), end, strlen(end));
        if (!close) return false;
        close += strlen(end);
        /* The decoder needs a line end. */
        size_t size = (size_t)(close - at);
        struct text block = {0};
        text_add_bytes(&block, at, size);
        text_add(&block, "\n");
        DerBuffer *der = NULL;
        ok = !block.failed &&
             wc_PemToDer((const uint8_t *)block.data, (long)block.size, forms[kind].type, &der,
                         NULL, NULL, NULL) == 0 &&
             each(arg, (struct span){der->buffer, der->length});
        wc_FreeDer(&der);
        text_fini(&block);
        at = close;
    }
    return ok;
}
