#include "pki/signing.h"

#include "base/secret.h"
#include "pki/wolfcrypt.h"

#include <string.h>

struct signing_key {
    struct decoded_key key;  /* with a token only its type */
    struct token_key *token; /* NULL: the key is here */
};

static const struct {
    uint8_t size;
    int oid;
    enum wc_HashType hash;
    int mgf;
} hashes[] = {
    {32, SHA256h, WC_HASH_TYPE_SHA256, WC_MGF1SHA256},
    {48, SHA384h, WC_HASH_TYPE_SHA384, WC_MGF1SHA384},
    {64, SHA512h, WC_HASH_TYPE_SHA512, WC_MGF1SHA512},
};

enum { INFO_LIMIT = SIGNING_DIGEST + 32 };

struct signing_key *signing_key_new(const struct private_key *key)
{
    if (!key->der) return NULL;
    struct signing_key *k = secret_new(sizeof *k);
    if (k && decoded_key_init(&k->key, key)) return k;
    secret_free(k, sizeof *k);
    return NULL;
}

struct signing_key *signing_key_of_token(struct token_key *token)
{
    struct signing_key *k = secret_new(sizeof *k);
    if (!k) return NULL;
    k->key.type = token_key_type(token);
    k->token = token_key_hold(token);
    return k;
}

void signing_key_free(struct signing_key *k)
{
    if (!k) return;
    if (!k->token) decoded_key_fini(&k->key);
    token_key_release(k->token);
    secret_free(k, sizeof *k);
}

enum key_type signing_key_type(const struct signing_key *k)
{
    return k->key.type;
}

/* A fault of the computation would tell the key (Boneh, DeMillo and Lipton 1997): nothing that does
 * not verify leaves. */
static size_t sign_pkcs1(RsaKey *key, const struct signing_request *r, int oid, WC_RNG *rng,
                         uint8_t *out)
{
    uint8_t info[INFO_LIMIT], check[SIGNING_SIZE];
    word32 size = wc_EncodeSignature(info, r->digest, r->size, oid);
    int n = size > 0 ? wc_RsaSSL_Sign(info, size, out, SIGNING_SIZE, key, rng) : -1;
    if (n <= 0) return 0;
    bool good = wc_RsaSSL_Verify(out, (word32)n, check, sizeof check, key) == (int)size &&
                memcmp(check, info, size) == 0;
    return good ? (size_t)n : 0;
}

static size_t sign_pss(RsaKey *key, const struct signing_request *r, enum wc_HashType hash, int mgf,
                       WC_RNG *rng, uint8_t *out)
{
    uint8_t check[SIGNING_SIZE];
    int n = wc_RsaPSS_Sign(r->digest, r->size, out, SIGNING_SIZE, hash, mgf, key, rng);
    if (n <= 0) return 0;
    bool good = wc_RsaPSS_VerifyCheck(out, (word32)n, check, sizeof check, r->digest, r->size, hash,
                                      mgf, key) > 0;
    return good ? (size_t)n : 0;
}

static size_t sign_in_token(struct token_key *key, const struct signing_request *r, int oid,
                            uint8_t out[SIGNING_SIZE])
{
    uint8_t info[INFO_LIMIT], raw[TOKEN_SIGNATURE];
    word32 size = SIGNING_SIZE;
    if (token_key_type(key) == KEY_RSA) {
        word32 n = r->pss ? 0 : wc_EncodeSignature(info, r->digest, r->size, oid);
        return n > 0 ? token_key_sign(key, (struct span){info, n}, out) : 0;
    }
    word32 half = (word32)token_key_sign(key, (struct span){r->digest, r->size}, raw) / 2;
    bool ok = half > 0 && wc_ecc_rs_raw_to_sig(raw, half, raw + half, half, out, &size) == 0;
    return ok ? size : 0;
}

size_t signing_key_sign(struct signing_key *k, const struct signing_request *r,
                        uint8_t out[SIGNING_SIZE])
{
    WC_RNG *rng = random_thread();
    word32 size = SIGNING_SIZE;
    if (!rng || r->key != k->key.type) return 0;
    for (size_t i = 0; i < COUNT_OF(hashes); i++) {
        if (hashes[i].size != r->size) continue;
        if (k->token) return sign_in_token(k->token, r, hashes[i].oid, out);
        if (k->key.type == KEY_RSA && r->pss)
            return sign_pss(&k->key.rsa, r, hashes[i].hash, hashes[i].mgf, rng, out);
        if (k->key.type == KEY_RSA) return sign_pkcs1(&k->key.rsa, r, hashes[i].oid, rng, out);
        return wc_ecc_sign_hash(r->digest, r->size, out, &size, rng, &k->key.ecc) == 0 ? size : 0;
    }
    return 0;
}

bool signing_read_digest_info(const uint8_t *p, size_t n, struct signing_request *out)
{
    uint8_t info[INFO_LIMIT];
    for (size_t i = 0; i < COUNT_OF(hashes); i++) {
        size_t size = hashes[i].size;
        if (n <= size) continue;
        const uint8_t *digest = p + n - size;
        if (wc_EncodeSignature(info, digest, (word32)size, hashes[i].oid) != n ||
            memcmp(info, p, n) != 0)
            continue;
        out->size = (uint8_t)size;
        memcpy(out->digest, digest, size);
        return true;
    }
    return false;
}
