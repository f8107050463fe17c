/* Session tickets for our own clients (RFC 5077): what seals them, and what they are bound to.
 * A ticket opens only under the configuration, the listener and the identity that it was made
 * for, and for TICKET_LIFETIME_S: coming back does not renew it, so no master secret lives
 * longer. The library checks its suite, and we do again after the handshake. A key seals for as
 * long as a ticket lives and opens for as long again, then it is gone.
 * Plain data: whoever embeds a key wipes it. Knows no session and no connection. */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TICKET_LIFETIME_S = 3600,
    TICKET_NAME = 16,
    TICKET_IV = 16, /* 12 bytes for the cipher, and when it was sealed */
    TICKET_TAG = 16,
    TICKET_BINDING = 32,
    /* The library fails a handshake whose ticket is larger than its own can be, and clients
     * that come from the real origin bring such: those get a context without tickets. Ours
     * have 187 bytes. */
    TICKET_LARGEST = 200,
};

struct ticket_key {
    uint8_t name[TICKET_NAME];
    uint8_t key[32];
};

/* A worker's. */
struct ticket_keys {
    struct ticket_key current, previous;
    bool has_previous;
};

/* What one handshake's ticket is sealed with and bound to; the keys are borrowed. */
struct ticket_scope {
    const struct ticket_keys *keys;
    uint8_t binding[TICKET_BINDING];
};

WARN_UNUSED bool ticket_key_generate(struct ticket_key *out);
/* The next key seals from now on; the one before the last is wiped. */
void ticket_keys_rotate(struct ticket_keys *keys, const struct ticket_key *next);

/* Binds to the configuration's generation, the listener and the identity. */
WARN_UNUSED bool ticket_scope_init(struct ticket_scope *scope, const struct ticket_keys *keys,
                                   struct span generation, const char *listener,
                                   const char *identity);

/* In place: n bytes become ciphertext; name, iv and tag are written. now: steady seconds. */
WARN_UNUSED bool ticket_seal(const struct ticket_scope *scope, uint32_t now,
                             uint8_t name[TICKET_NAME], uint8_t iv[TICKET_IV],
                             uint8_t tag[TICKET_TAG], uint8_t *p, size_t n);
/* In place. False when it is not ours, not for this scope, or too old. */
WARN_UNUSED bool ticket_open(const struct ticket_scope *scope, uint32_t now,
                             const uint8_t name[TICKET_NAME], const uint8_t iv[TICKET_IV],
                             const uint8_t tag[TICKET_TAG], uint8_t *p, size_t n);

#endif
