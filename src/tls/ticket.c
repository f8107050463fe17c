#include "tls/ticket.h"

#include "pki/keys.h"
#include "pki/wolfcrypt.h"

#include <string.h>

enum { NONCE = 12, AAD = TICKET_NAME + TICKET_IV + TICKET_BINDING };

bool ticket_key_generate(struct ticket_key *out)
{
    return random_bytes(out->name, sizeof out->name) && random_bytes(out->key, sizeof out->key);
}

static bool hash_text(wc_Sha256 *sha, const char *s)
{
    return wc_Sha256Update(sha, (const byte *)s, (word32)strlen(s) + 1) == 0;
}

bool ticket_key_name(struct ticket_key *key)
{
    wc_Sha256 sha;
    uint8_t digest[WC_SHA256_DIGEST_SIZE];
    if (wc_InitSha256(&sha) != 0) return false;
    bool ok = hash_text(&sha, "suitegate ticket key name") &&
              wc_Sha256Update(&sha, key->key, sizeof key->key) == 0 &&
              wc_Sha256Final(&sha, digest) == 0;
    wc_Sha256Free(&sha);
    if (ok) memcpy(key->name, digest, TICKET_NAME);
    return ok;
}

void ticket_keys_rotate(struct ticket_keys *keys, const struct ticket_key *next)
{
    if (keys->n == 2) keys->items[0] = keys->items[--keys->n];
    keys->items[keys->n++] = *next;
}

const struct ticket_key *ticket_keys_sealing(const struct ticket_keys *keys, time_t now)
{
    const struct ticket_key *newest = NULL;
    for (size_t i = 0; i < keys->n; i++)
        if (keys->items[i].from <= now) newest = &keys->items[i];
    return newest && now - newest->from < TICKET_KEY_LIFETIME_S ? newest : NULL;
}

static const struct ticket_key *find(const struct ticket_keys *keys, const uint8_t *name)
{
    for (size_t i = 0; keys && i < keys->n; i++)
        if (memcmp(keys->items[i].name, name, TICKET_NAME) == 0) return &keys->items[i];
    return NULL;
}

/* The generation has a fixed size and the listener's name no NUL: no two scopes give the same
 * bytes. */
bool ticket_scope_init(struct ticket_scope *scope, const struct ticket_keys *own,
                       const struct ticket_keys *shared, time_t now,
                       const struct ticket_binding *binding)
{
    wc_Sha256 sha;
    const struct span *generation = &binding->generation;
    const struct ticket_key *seals = shared ? ticket_keys_sealing(shared, now) : NULL;
    if (own->n == 0 || wc_InitSha256(&sha) != 0) return false;
    scope->own = own;
    scope->shared = shared;
    scope->seals = seals ? seals : &own->items[own->n - 1];
    bool ok = wc_Sha256Update(&sha, generation->p, (word32)generation->n) == 0 &&
              hash_text(&sha, binding->listener) && hash_text(&sha, binding->identity) &&
              hash_text(&sha, binding->suite) && wc_Sha256Final(&sha, scope->binding) == 0;
    wc_Sha256Free(&sha);
    return ok;
}

static void associated_data(const struct ticket_scope *scope, const uint8_t *name,
                            const uint8_t *iv, uint8_t out[AAD])
{
    memcpy(out, name, TICKET_NAME);
    memcpy(out + TICKET_NAME, iv, TICKET_IV);
    memcpy(out + TICKET_NAME + TICKET_IV, scope->binding, TICKET_BINDING);
}

static bool with_key(const struct ticket_key *key, Aes *aes)
{
    if (wc_AesInit(aes, NULL, INVALID_DEVID) != 0) return false;
    if (wc_AesGcmSetKey(aes, key->key, sizeof key->key) == 0) return true;
    wc_AesFree(aes);
    return false;
}

bool ticket_seal(const struct ticket_scope *scope, uint32_t now, uint8_t name[TICKET_NAME],
                 uint8_t iv[TICKET_IV], uint8_t tag[TICKET_TAG], uint8_t *p, size_t n)
{
    Aes aes;
    uint8_t aad[AAD];
    const struct ticket_key *key = scope->seals;
    if (!random_bytes(iv, NONCE) || !with_key(key, &aes)) return false;
    for (int i = 0; i < TICKET_IV - NONCE; i++) iv[TICKET_IV - 1 - i] = (uint8_t)(now >> 8 * i);
    memcpy(name, key->name, TICKET_NAME);
    associated_data(scope, name, iv, aad);
    bool ok = wc_AesGcmEncrypt(&aes, p, p, (word32)n, iv, NONCE, tag, TICKET_TAG, aad, AAD) == 0;
    wc_AesFree(&aes);
    return ok;
}

bool ticket_open(const struct ticket_scope *scope, uint32_t now, const uint8_t name[TICKET_NAME],
                 const uint8_t iv[TICKET_IV], const uint8_t tag[TICKET_TAG], uint8_t *p, size_t n)
{
    Aes aes;
    uint8_t aad[AAD];
    struct reader behind_nonce = {.p = iv + NONCE, .left = TICKET_IV - NONCE};
    uint32_t sealed = (uint32_t)reader_u16(&behind_nonce) << 16;
    sealed |= reader_u16(&behind_nonce);
    const struct ticket_key *key = find(scope->shared, name);
    if (!key) key = find(scope->own, name);
    /* The time is authenticated too: a forged one does not open. */
    if (!key || now + TICKET_SKEW_S - sealed >= TICKET_LIFETIME_S + TICKET_SKEW_S) return false;
    if (!with_key(key, &aes)) return false;
    associated_data(scope, name, iv, aad);
    bool ok = wc_AesGcmDecrypt(&aes, p, p, (word32)n, iv, NONCE, tag, TICKET_TAG, aad, AAD) == 0;
    wc_AesFree(&aes);
    return ok;
}
