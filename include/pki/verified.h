/* Remembers good signatures, so that the certificates an upstream sends at every handshake are
 * verified once. A signature is good for its key and data, and is remembered by the SHA-256 of all
 * three; dates, names, CRLs and trust are checked every time. Bounded: a newer one replaces an
 * older one. One thread; the caller embeds it zeroed. */
#ifndef PKI_VERIFIED_H
#define PKI_VERIFIED_H

#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>
#include <stdint.h>

enum { VERIFIED_DIGEST = 32, VERIFIED_SETS = 64, VERIFIED_WAYS = 4 };

struct verified {
    uint8_t digests[VERIFIED_SETS][VERIFIED_WAYS][VERIFIED_DIGEST];
    uint8_t oldest[VERIFIED_SETS];
};

/* The digest of a key, the data it signed and the signature. False when out of memory. */
WARN_UNUSED bool verified_digest(struct span key, struct span data, struct span signature,
                                 uint8_t out[VERIFIED_DIGEST]);
WARN_UNUSED bool verified_before(const struct verified *v, const uint8_t digest[VERIFIED_DIGEST]);
void verified_note(struct verified *v, const uint8_t digest[VERIFIED_DIGEST]);

#endif
