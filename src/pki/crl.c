#include "pki/crl.h"

#include "pki/keys.h"
#include "pki/name.h"
#include "pki/signature.h"

#include <stdlib.h>
#include <string.h>

enum crl_trust { TRUST_UNCHECKED, TRUST_GOOD, TRUST_BAD };

struct crl {
    uint8_t *der;
    struct span tbs, issuer, signature, algorithm;
    struct span *serials; /* sorted, without leading zeros */
    size_t count;
    time_t this_update, next_update;
    bool partial;             /* has a critical extension: can revoke, but never clear */
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

/* Is one of the extensions critical (RFC 5280 section 4.2)? */
static bool any_critical(struct span content)
{
    struct reader r = reader_of(content);
    struct der_item extension, id, next;
    while (r.left > 0) {
        if (!der_expect(&r, 0x30, &extension)) return true;
        struct reader e = reader_of(extension.content);
        if (!der_expect(&e, 0x06, &id) || !der_next(&e, &next)) return true;
        if (next.tag == 0x01 && next.content.n == 1 && next.content.p[0]) return true;
    }
    return false;
}

static bool add_serial(struct crl *crl, struct span serial, size_t *room)
{
    if (crl->count == *room) {
        *room = *room ? *room * 2 : 64;
        struct span *more = realloc(crl->serials, *room * sizeof *more);
        if (!more) return false;
        crl->serials = more;
    }
    crl->serials[crl->count++] = trim(serial);
    return true;
}

static bool read_revoked(struct span content, struct crl *crl)
{
    struct reader r = reader_of(content);
    struct der_item entry, serial, date, extensions;
    size_t room = 0;
    while (r.left > 0) {
        if (!der_expect(&r, 0x30, &entry)) return false;
        struct reader e = reader_of(entry.content);
        if (!der_expect(&e, 0x02, &serial) || !der_next(&e, &date)) return false;
        /* A critical entry extension names another issuer (section 5.3.3). */
        bool foreign =
            e.left > 0 && (!der_expect(&e, 0x30, &extensions) || any_critical(extensions.content));
        crl->partial = crl->partial || foreign;
        if (!foreign && !add_serial(crl, serial.content, &room)) return false;
    }
    if (crl->count) qsort(crl->serials, crl->count, sizeof *crl->serials, compare_serials);
    return true;
}

/* TBSCertList. A list without nextUpdate is refused: it could be stale. */
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
    if (r.left > 0 && r.p[0] == 0x30 && (!der_next(&r, &item) || !read_revoked(item.content, crl)))
        return false;
    if (r.left == 0) return true;
    /* Deltas, shards and lists for CAs only have a critical extension (section 5.2). */
    if (!der_expect(&r, 0xa0, &item)) return false;
    struct reader outer = reader_of(item.content);
    if (!der_expect(&outer, 0x30, &item)) return false;
    crl->partial = crl->partial || any_critical(item.content);
    return true;
}

static bool read_crl(struct crl *crl, struct span der)
{
    struct reader r = reader_of(der);
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
    return read_crl(crl, (struct span){crl->der, der.n});
}

bool crl_times(struct span der, time_t *this_update, time_t *next_update)
{
    struct crl crl = {0};
    bool ok = read_crl(&crl, der);
    *this_update = crl.this_update;
    *next_update = crl.next_update;
    free(crl.serials);
    return ok;
}

bool crl_is_of(struct span der, const struct cert *issuer)
{
    struct crl crl = {0};
    bool ok = read_crl(&crl, der) && name_equal(crl.issuer, issuer->subject) &&
              issuer->can_sign_crls &&
              signature_valid(crl.tbs, crl.algorithm, crl.signature, issuer);
    free(crl.serials);
    return ok;
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

/* The signature is checked once per list and key. */
static bool believed(struct crl *crl, const struct cert *issuer)
{
    uint8_t digest[32];
    if (!digest_sha256(issuer->spki.p, issuer->spki.n, digest)) return false;
    if (crl->trust == TRUST_UNCHECKED || memcmp(digest, crl->checked_with, sizeof digest) != 0) {
        memcpy(crl->checked_with, digest, sizeof digest);
        bool good = issuer->can_sign_crls &&
                    signature_valid(crl->tbs, crl->algorithm, crl->signature, issuer);
        crl->trust = good ? TRUST_GOOD : TRUST_BAD;
    }
    return crl->trust == TRUST_GOOD;
}

static bool lists(const struct crl *crl, struct span serial)
{
    return crl->count &&
           bsearch(&serial, crl->serials, crl->count, sizeof *crl->serials, compare_serials);
}

enum crl_answer crl_check(struct crl_set *set, const struct cert *c, const struct cert *issuer,
                          time_t now, time_t *until)
{
    bool asked = false;
    time_t known_until = 0;
    for (size_t i = 0; set && i < set->n; i++) {
        struct crl *crl = &set->items[i];
        if (!name_equal(crl->issuer, c->issuer)) continue;
        asked = true;
        if (now < crl->this_update || now > crl->next_update || !believed(crl, issuer)) continue;
        if (lists(crl, c->serial)) return CRL_REVOKED;
        if (!crl->partial && crl->next_update > known_until) known_until = crl->next_update;
    }
    if (!asked) return CRL_PASS;
    if (known_until && known_until < *until) *until = known_until;
    return known_until ? CRL_PASS : CRL_UNKNOWN;
}

void crl_each_issuer(const struct crl_set *set, void (*each)(void *arg, struct span issuer),
                     void *arg)
{
    for (size_t i = 0; set && i < set->n; i++) each(arg, set->items[i].issuer);
}

time_t crl_first_expiry(const struct crl_set *set)
{
    time_t first = 0;
    for (size_t i = 0; set && i < set->n; i++)
        if (!first || set->items[i].next_update < first) first = set->items[i].next_update;
    return first;
}
