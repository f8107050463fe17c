#include "pki/signature.h"

#include "pki/wolfcrypt.h"

/* By the last byte of the OID: ecdsa-with-SHA2 ends in 2, 3, 4 (RFC 5758 section 3.2),
 * sha2WithRSAEncryption in 11, 12, 13 (RFC 8017 appendix A.2.4). */
static enum wc_HashType hash_of_signature(struct span oid, bool ecdsa)
{
    switch (oid.n ? oid.p[oid.n - 1] + (ecdsa ? 9 : 0) : 0) {
    case 11:
        return WC_HASH_TYPE_SHA256;
    case 12:
        return WC_HASH_TYPE_SHA384;
    case 13:
        return WC_HASH_TYPE_SHA512;
    default:
        return WC_HASH_TYPE_NONE;
    }
}

static enum wc_HashType hash_of_bits(unsigned bits)
{
    switch (bits) {
    case 256:
        return WC_HASH_TYPE_SHA256;
    case 384:
        return WC_HASH_TYPE_SHA384;
    case 512:
        return WC_HASH_TYPE_SHA512;
    default:
        return WC_HASH_TYPE_NONE;
    }
}

static int mgf_of(enum wc_HashType hash)
{
    return hash == WC_HASH_TYPE_SHA256   ? WC_MGF1SHA256
           : hash == WC_HASH_TYPE_SHA384 ? WC_MGF1SHA384
                                         : WC_MGF1SHA512;
}

/* Assumes that MGF1 uses the same hash, as all real certificates do; verifying fails otherwise. */
static bool verify_pss(struct span data, struct der_pss pss, struct span signature, RsaKey *key)
{
    uint8_t digest[64], opened[POLICY_RSA_BITS_CEILING / 8];
    enum wc_HashType hash = hash_of_bits(pss.digest_bits);
    int size = wc_HashGetDigestSize(hash), salt = (int)pss.salt;
    if (size <= 0 || wc_Hash(hash, data.p, (word32)data.n, digest, (word32)size) != 0) return false;
    int n = wc_RsaPSS_Verify_ex((byte *)signature.p, (word32)signature.n, opened, sizeof opened,
                                hash, mgf_of(hash), salt, key);
    return n > 0 && wc_RsaPSS_CheckPadding_ex2(digest, (word32)size, opened, (word32)n, hash, salt,
                                               wc_RsaEncryptSize(key) * 8, NULL) == 0;
}

/* RFC 4055 section 1.2: a key for RSA-PSS makes only RSA-PSS signatures, with its own
 * parameters. */
static bool key_allows(const struct cert *signer, bool pss, struct reader algorithm)
{
    if (!signer->pss_only) return true;
    if (!pss || signer->pss_parameters.n == 0) return pss;
    struct der_pss key = der_pss_parameters(reader_of(signer->pss_parameters));
    struct der_pss used = der_pss_parameters(algorithm);
    return used.digest_bits == key.digest_bits && used.salt >= key.salt;
}

static bool verify_rsa(struct span data, struct reader algorithm, struct span oid,
                       struct span signature, const struct cert *signer)
{
    RsaKey key;
    bool pss = oid.n > 0 && oid.p[oid.n - 1] == 10;
    enum wc_HashType hash = pss ? WC_HASH_TYPE_NONE : hash_of_signature(oid, false);
    if (!key_allows(signer, pss, algorithm) || wc_InitRsaKey(&key, NULL) != 0) return false;
    /* Not from the SubjectPublicKeyInfo, whose RSA-PSS parameters the library cannot read. */
    struct span n = signer->modulus, e = signer->exponent;
    bool ok = wc_RsaPublicKeyDecodeRaw(n.p, (word32)n.n, e.p, (word32)e.n, &key) == 0;
    if (pss)
        ok = ok && verify_pss(data, der_pss_parameters(algorithm), signature, &key);
    else
        ok = ok && hash != WC_HASH_TYPE_NONE &&
             wc_SignatureVerify(hash, WC_SIGNATURE_TYPE_RSA_W_ENC, data.p, (word32)data.n,
                                signature.p, (word32)signature.n, &key, sizeof key) == 0;
    wc_FreeRsaKey(&key);
    return ok;
}

static bool verify_ecdsa(struct span data, struct span oid, struct span signature, struct span spki)
{
    word32 index = 0;
    ecc_key key;
    enum wc_HashType hash = hash_of_signature(oid, true);
    if (hash == WC_HASH_TYPE_NONE || wc_ecc_init(&key) != 0) return false;
    bool ok = wc_EccPublicKeyDecode(spki.p, &index, &key, (word32)spki.n) == 0 &&
              wc_SignatureVerify(hash, WC_SIGNATURE_TYPE_ECC, data.p, (word32)data.n, signature.p,
                                 (word32)signature.n, &key, sizeof key) == 0;
    wc_ecc_free(&key);
    return ok;
}

bool signature_valid(struct span data, struct span algorithm, struct span signature,
                     const struct cert *signer)
{
    struct reader r = reader_of(algorithm);
    struct der_item oid;
    /* hash_of_signature(), which reads the last byte only, needs this check first. */
    if (der_signature_strength(algorithm) != CERT_SIGNATURE_STRONG || !der_expect(&r, 0x06, &oid))
        return false;
    bool ecdsa_oid = oid.content.n == 8;
    if (signer->key == CERT_KEY_EC)
        return ecdsa_oid && verify_ecdsa(data, oid.content, signature, signer->spki);
    return signer->key == CERT_KEY_RSA && !ecdsa_oid &&
           verify_rsa(data, r, oid.content, signature, signer);
}

/* The content of each scheme's AlgorithmIdentifier: RFC 5758 section 3.2, RFC 8017 appendix A.2.4,
 * RFC 4055 section 3.1. */
#define ECDSA_OID 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03
#define RSA_OID 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01
#define HASH(id) 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, id, 5, 0
#define PSS(hash, salt)                                                                       \
    RSA_OID, 0x0a, 0x30, 0x34, 0xa0, 0x0f, HASH(hash), 0xa1, 0x1c, 0x30, 0x1a, RSA_OID, 0x08, \
        HASH(hash), 0xa2, 0x03, 0x02, 0x01, salt

static const struct {
    uint16_t scheme;
    uint8_t size;
    uint8_t algorithm[72];
} scheme_algorithms[] = {
    {0x0403, 10, {ECDSA_OID, 0x02}},     {0x0503, 10, {ECDSA_OID, 0x03}},
    {0x0603, 10, {ECDSA_OID, 0x04}},     {0x0401, 13, {RSA_OID, 0x0b, 5, 0}},
    {0x0501, 13, {RSA_OID, 0x0c, 5, 0}}, {0x0601, 13, {RSA_OID, 0x0d, 5, 0}},
    {0x0804, 65, {PSS(0x01, 0x20)}},     {0x0805, 65, {PSS(0x02, 0x30)}},
    {0x0806, 65, {PSS(0x03, 0x40)}},
};

bool signature_of_scheme_valid(uint16_t scheme, struct span data, struct span signature,
                               const struct cert *signer)
{
    for (size_t i = 0; i < COUNT_OF(scheme_algorithms); i++) {
        struct span algorithm = {scheme_algorithms[i].algorithm, scheme_algorithms[i].size};
        if (scheme_algorithms[i].scheme == scheme)
            return signature_valid(data, algorithm, signature, signer);
    }
    return false;
}

bool signature_make(const struct private_key *key, struct span data, uint8_t out[SIGNATURE_SIZE],
                    size_t *n)
{
    uint8_t digest[32];
    struct decoded_key decoded;
    word32 size = SIGNATURE_SIZE;
    WC_RNG *rng = random_thread();
    if (key->type != KEY_ECDSA || !rng || !digest_sha256(data.p, data.n, digest) ||
        !decoded_key_init(&decoded, key))
        return false;
    bool ok = wc_ecc_sign_hash(digest, sizeof digest, out, &size, rng, &decoded.ecc) == 0;
    decoded_key_fini(&decoded);
    *n = size;
    return ok;
}

bool signature_of_key_valid(struct span spki, struct span data, struct span signature)
{
    uint8_t digest[32];
    word32 index = 0;
    int good = 0;
    ecc_key key;
    if (!digest_sha256(data.p, data.n, digest) || wc_ecc_init(&key) != 0) return false;
    bool ok = wc_EccPublicKeyDecode(spki.p, &index, &key, (word32)spki.n) == 0 &&
              wc_ecc_verify_hash(signature.p, (word32)signature.n, digest, sizeof digest, &good,
                                 &key) == 0;
    wc_ecc_free(&key);
    return ok && good == 1;
}
