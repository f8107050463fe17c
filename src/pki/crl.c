#include "pki/crl.h"

#include "pki/keys.h"
#include "pki/wolfcrypt.h"

#include <stdlib.h>
#include <string.h>

enum crl_trust { TRUST_UNCHECKED, TRUST_GOOD, TRUST_BAD };

struct crl {
    uint8_t *der;
    struct span tbs, issuer, signature, algorithm;
    struct span *serials; /* sorted, leading zeros taken off */
    size_t count;
    time_t this_update, next_update;
    uint8_t checked_with[32]; /* SHA-256 of the key that `trust` is about */
    enum crl_trust trust;
};

struct crl_set {
    struct crl *items;
    size_t n;
};

static int compare_serials(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return memcmp(x->p, y->p, x->n);
}

static struct span trim(struct span s)
{
    while (s.n > 1 && s.p[0] == 0) s = (struct span){s.p + 1, s.n - 1};
    return s;
}

static bool read_revoked(struct span content, struct crl *crl)
{
    struct reader r = reader_of(content);
    struct der_item entry, serial;
    size_t room = 0;
    while (r.left > 0) {
        if (!der_expect(&r, 0x30, &entry)) return false;
        struct reader e = reader_of(entry.content);
        if (!der_expect(&e, 0x02, &serial)) return false;
        if (crl->count == room) {
            room = room ? room * 2 : 64;
            struct span *more = realloc(crl->serials, room * sizeof *more);
            if (!more) return false;
            crl->serials = more;
        }
        crl->serials[crl->count++] = trim(serial.content);
    }
    if (crl->count) qsort(crl->serials, crl->count, sizeof *crl->serials, compare_serials);
    return true;
}

/* TBSCertList; a list without nextUpdate never says when it is stale and is refused. */
static bool read_tbs(struct span content, struct crl *crl)
{
    struct reader r = reader_of(content);
    struct der_item item, issuer, this_update, next_update;
    if (!der_next(&r, &item)) return false;
    if (item.tag == 0x02 && !der_next(&r, &item)) return false; /* version */
    if (item.tag != 0x30 || !der_expect(&r, 0x30, &issuer) || !der_next(&r, &this_update) ||
        !der_next(&r, &next_update) || !der_time(&this_update, &crl->this_update) ||
        !der_time(&next_update, &crl->next_update))
        return false;
    crl->issuer = issuer.whole;
    if (r.left > 0 && r.p[0] == 0x30) return der_next(&r, &item) && read_revoked(item.content, crl);
    return true;
}

static bool read_crl(struct crl *crl, size_t n)
{
    struct reader r = reader_of((struct span){crl->der, n});
    struct der_item list, tbs, algorithm, signature;
    if (!der_expect(&r, 0x30, &list)) return false;
    struct reader inner = reader_of(list.content);
    if (!der_expect(&inner, 0x30, &tbs) || !der_expect(&inner, 0x30, &algorithm) ||
        !der_expect(&inner, 0x03, &signature) || signature.content.n < 2)
        return false;
    crl->tbs = tbs.whole;
    crl->algorithm = algorithm.content;
    crl->signature = (struct span){signature.content.p + 1, signature.content.n - 1};
    return read_tbs(tbs.content, crl);
}

static bool add_crl(void *arg, struct span der)
{
    struct crl_set *set = arg;
    struct crl *more = realloc(set->items, (set->n + 1) * sizeof *more);
    if (!more) return false;
    set->items = more;
    struct crl *crl = &more[set->n++];
    *crl = (struct crl){.der = malloc(der.n)};
    if (!crl->der) return false;
    memcpy(crl->der, der.p, der.n);
    return read_crl(crl, der.n);
}

struct crl_set *crl_set_new(const struct text *pem, const char *name, struct text *errors)
{
    struct crl_set *set = calloc(1, sizeof *set);
    if (set && pem_each(text_string(pem), pem->size, PEM_CRL, add_crl, set) && set->n > 0)
        return set;
    text_printf(errors, "%s holds no CRL that can be read (PEM with nextUpdate is expected)\n",
                name);
    crl_set_free(set);
    return NULL;
}

void crl_set_free(struct crl_set *set)
{
    if (!set) return;
    for (size_t i = 0; i < set->n; i++) {
        free(set->items[i].serials);
        free(set->items[i].der);
    }
    free(set->items);
    free(set);
}

/* The hash of a signature algorithm by the last byte of its OID, which the strength check
 * has already limited to the RSA PKCS #1 and ECDSA families. */
static enum wc_HashType hash_of(struct span algorithm, bool ecdsa)
{
    struct reader r = reader_of(algorithm);
    struct der_item oid;
    if (!der_expect(&r, 0x06, &oid) || oid.content.n == 0) return WC_HASH_TYPE_NONE;
    switch (oid.content.p[oid.content.n - 1] + (ecdsa ? 9 : 0)) {
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

static bool verify(const struct crl *crl, const struct cert *issuer)
{
    struct span spki = issuer->spki;
    word32 index = 0;
    bool ecdsa = issuer->key == CERT_KEY_EC, ok = false;
    enum wc_HashType hash = hash_of(crl->algorithm, ecdsa);
    if (der_signature_strength(crl->algorithm) != CERT_SIGNATURE_STRONG ||
        hash == WC_HASH_TYPE_NONE || !issuer->can_sign_crls)
        return false;
    union {
        ecc_key ecc;
        RsaKey rsa;
    } key;
    if (ecdsa) {
        if (wc_ecc_init(&key.ecc) != 0) return false;
        ok = wc_EccPublicKeyDecode(spki.p, &index, &key.ecc, (word32)spki.n) == 0 &&
             wc_SignatureVerify(hash, WC_SIGNATURE_TYPE_ECC, crl->tbs.p, (word32)crl->tbs.n,
                                crl->signature.p, (word32)crl->signature.n, &key.ecc,
                                sizeof key.ecc) == 0;
        wc_ecc_free(&key.ecc);
        return ok;
    }
    if (wc_InitRsaKey(&key.rsa, NULL) != 0) return false;
    ok = wc_RsaPublicKeyDecode(spki.p, &index, &key.rsa, (word32)spki.n) == 0 &&
         wc_SignatureVerify(hash, WC_SIGNATURE_TYPE_RSA_W_ENC, crl->tbs.p, (word32)crl->tbs.n,
                            crl->signature.p, (word32)crl->signature.n, &key.rsa,
                            sizeof key.rsa) == 0;
    wc_FreeRsaKey(&key.rsa);
    return ok;
}

/* The signature is checked once a list and key. */
static bool believed(struct crl *crl, const struct cert *issuer)
{
    uint8_t digest[32];
    if (!digest_sha256(issuer->spki.p, issuer->spki.n, digest)) return false;
    if (crl->trust == TRUST_UNCHECKED || memcmp(digest, crl->checked_with, sizeof digest) != 0) {
        memcpy(crl->checked_with, digest, sizeof digest);
        crl->trust = verify(crl, issuer) ? TRUST_GOOD : TRUST_BAD;
    }
    return crl->trust == TRUST_GOOD;
}

enum crl_answer crl_check(struct crl_set *set, const struct cert *c, const struct cert *issuer,
                          time_t now)
{
    bool asked = false, known = false;
    for (size_t i = 0; set && i < set->n; i++) {
        struct crl *crl = &set->items[i];
        if (!span_equal(crl->issuer, c->issuer)) continue;
        asked = true;
        if (now < crl->this_update || now > crl->next_update || !believed(crl, issuer)) continue;
        known = true;
        if (crl->count &&
            bsearch(&c->serial, crl->serials, crl->count, sizeof *crl->serials, compare_serials))
            return CRL_REVOKED;
    }
    return asked && !known ? CRL_UNKNOWN : CRL_PASS;
}

time_t crl_first_expiry(const struct crl_set *set)
{
    time_t first = 0;
    for (size_t i = 0; set && i < set->n; i++)
        if (!first || set->items[i].next_update < first) first = set->items[i].next_update;
    return first;
}
