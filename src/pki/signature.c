#include "pki/signature.h"

#include "pki/wolfcrypt.h"

#include <string.h>

/* id-sha256, 384, 512 are 2.16.840.1.101.3.4.2.{1,2,3}. */
static enum wc_HashType hash_of_digest(struct span oid)
{
    static const uint8_t prefix[] = {0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2};
    if (oid.n != sizeof prefix + 1 || memcmp(oid.p, prefix, sizeof prefix) != 0)
        return WC_HASH_TYPE_NONE;
    switch (oid.p[sizeof prefix]) {
    case 1:
        return WC_HASH_TYPE_SHA256;
    case 2:
        return WC_HASH_TYPE_SHA384;
    case 3:
        return WC_HASH_TYPE_SHA512;
    default:
        return WC_HASH_TYPE_NONE;
    }
}

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

/* RSASSA-PSS-params (RFC 8017 appendix A.2.3): the hash; MGF1 uses the same one and the
 * salt is as long as the digest in all that is in use, and the check below fails otherwise. */
static enum wc_HashType hash_of_pss(struct reader parameters)
{
    struct der_item sequence, tagged, algorithm, oid;
    if (!der_expect(&parameters, 0x30, &sequence)) return WC_HASH_TYPE_NONE;
    struct reader r = reader_of(sequence.content);
    if (!der_expect(&r, 0xa0, &tagged)) return WC_HASH_TYPE_NONE;
    r = reader_of(tagged.content);
    if (!der_expect(&r, 0x30, &algorithm)) return WC_HASH_TYPE_NONE;
    r = reader_of(algorithm.content);
    return der_expect(&r, 0x06, &oid) ? hash_of_digest(oid.content) : WC_HASH_TYPE_NONE;
}

static int mgf_of(enum wc_HashType hash)
{
    return hash == WC_HASH_TYPE_SHA256   ? WC_MGF1SHA256
           : hash == WC_HASH_TYPE_SHA384 ? WC_MGF1SHA384
                                         : WC_MGF1SHA512;
}

static bool verify_pss(struct span data, enum wc_HashType hash, struct span signature, RsaKey *key)
{
    uint8_t digest[64], opened[POLICY_RSA_BITS_CEILING / 8];
    int n = wc_HashGetDigestSize(hash);
    if (n <= 0 || wc_Hash(hash, data.p, (word32)data.n, digest, (word32)n) != 0) return false;
    return wc_RsaPSS_VerifyCheck((byte *)signature.p, (word32)signature.n, opened, sizeof opened,
                                 digest, (word32)n, hash, mgf_of(hash), key) > 0;
}

static bool verify_rsa(struct span data, struct reader algorithm, struct span oid,
                       struct span signature, struct span spki)
{
    word32 index = 0;
    RsaKey key;
    bool pss = oid.n > 0 && oid.p[oid.n - 1] == 10;
    enum wc_HashType hash = pss ? hash_of_pss(algorithm) : hash_of_signature(oid, false);
    if (hash == WC_HASH_TYPE_NONE || wc_InitRsaKey(&key, NULL) != 0) return false;
    bool ok = wc_RsaPublicKeyDecode(spki.p, &index, &key, (word32)spki.n) == 0;
    if (pss)
        ok = ok && verify_pss(data, hash, signature, &key);
    else
        ok = ok && wc_SignatureVerify(hash, WC_SIGNATURE_TYPE_RSA_W_ENC, data.p, (word32)data.n,
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
    /* Only what has passed this is looked at by its last byte. */
    if (der_signature_strength(algorithm) != CERT_SIGNATURE_STRONG || !der_expect(&r, 0x06, &oid))
        return false;
    bool ecdsa_oid = oid.content.n == 8;
    if (signer->key == CERT_KEY_EC)
        return ecdsa_oid && verify_ecdsa(data, oid.content, signature, signer->spki);
    return signer->key == CERT_KEY_RSA && !ecdsa_oid &&
           verify_rsa(data, r, oid.content, signature, signer->spki);
}
