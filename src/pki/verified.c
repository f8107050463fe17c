#include "pki/verified.h"

#include "pki/wolfcrypt.h"

#include <string.h>

/* Each part after its length: two different triples never give the same bytes. */
static int add_part(wc_Sha256 *sha, struct span part)
{
    const uint8_t length[] = {(uint8_t)(part.n >> 24), (uint8_t)(part.n >> 16),
                              (uint8_t)(part.n >> 8), (uint8_t)part.n};
    int fault = wc_Sha256Update(sha, length, sizeof length);
    return fault ? fault : wc_Sha256Update(sha, part.p, (word32)part.n);
}

bool verified_digest(struct span key, struct span data, struct span signature,
                     uint8_t out[VERIFIED_DIGEST])
{
    wc_Sha256 sha;
    if (wc_InitSha256(&sha) != 0) return false;
    bool ok = add_part(&sha, key) == 0 && add_part(&sha, data) == 0 &&
              add_part(&sha, signature) == 0 && wc_Sha256Final(&sha, out) == 0;
    wc_Sha256Free(&sha);
    return ok;
}

bool verified_before(const struct verified *v, const uint8_t digest[VERIFIED_DIGEST])
{
    size_t set = digest[0] % VERIFIED_SETS;
    for (size_t way = 0; way < VERIFIED_WAYS; way++)
        if (memcmp(v->digests[set][way], digest, VERIFIED_DIGEST) == 0) return true;
    return false;
}

void verified_note(struct verified *v, const uint8_t digest[VERIFIED_DIGEST])
{
    size_t set = digest[0] % VERIFIED_SETS;
    memcpy(v->digests[set][v->oldest[set]], digest, VERIFIED_DIGEST);
    v->oldest[set] = (uint8_t)((v->oldest[set] + 1) % VERIFIED_WAYS);
}
