#include "tls/ticket.h"

#include "pki/keys.h"
#include "pki/wolfcrypt.h"

#include <string.h>

enum { NONCE = 12, AAD = TICKET_NAME + TICKET_IV + TICKET_BINDING };

bool ticket_key_generate(struct ticket_key *out)
{
    return random_bytes(out->name, sizeof out->name) && random_bytes(out->key, sizeof out->key);
}

void ticket_keys_rotate(struct ticket_keys *keys, const struct ticket_key *next)
{
    keys->previous = keys->current;
    keys->current = *next;
    keys->has_previous = true;
}

/* The generation has a fixed size and the listener's name no NUL: no two scopes give the same
 * bytes. */
bool ticket_scope_init(struct ticket_scope *scope, const struct ticket_keys *keys,
                       struct span generation, const char *listener, const char *identity,
                       const char *suite)
{
    wc_Sha256 sha;
    scope->keys = keys;
    if (wc_InitSha256(&sha) != 0) return false;
    bool ok = wc_Sha256Update(&sha, generation.p, (word32)generation.n) == 0 &&
              wc_Sha256Update(&sha, (const byte *)listener, (word32)strlen(listener) + 1) == 0 &&
              wc_Sha256Update(&sha, (const byte *)identity, (word32)strlen(identity) + 1) == 0 &&
              wc_Sha256Update(&sha, (const byte *)suite, (word32)strlen(suite)) == 0 &&
              wc_Sha256Final(&sha, scope->binding) == 0;
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
    const struct ticket_key *key = &scope->keys->current;
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
    const struct ticket_keys *keys = scope->keys;
    struct reader behind_nonce = {.p = iv + NONCE, .left = TICKET_IV - NONCE};
    uint32_t sealed = (uint32_t)reader_u16(&behind_nonce) << 16;
    sealed |= reader_u16(&behind_nonce);
    bool current = memcmp(name, keys->current.name, TICKET_NAME) == 0;
    bool previous = keys->has_previous && memcmp(name, keys->previous.name, TICKET_NAME) == 0;
    /* The time is authenticated too: a forged one does not open. */
    if ((!current && !previous) || now - sealed >= TICKET_LIFETIME_S) return false;
    if (!with_key(current ? &keys->current : &keys->previous, &aes)) return false;
    associated_data(scope, name, iv, aad);
    bool ok = wc_AesGcmDecrypt(&aes, p, p, (word32)n, iv, NONCE, tag, TICKET_TAG, aad, AAD) == 0;
    wc_AesFree(&aes);
    return ok;
}
