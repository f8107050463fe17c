/* Session tickets for our own clients (RFC 5077): how they are sealed, and what they are bound to.
 * A ticket opens only with the configuration, the listener, the identity and the suite (of a new
 * handshake with the same hello) that it was made for, and for TICKET_LIFETIME_S: resuming does not
 * renew it, so no master secret lives longer. A key seals for a ticket's lifetime, opens for
 * another one, and is then wiped. Plain data: the owner of a key wipes it. Knows no session and no
 * connection. */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TICKET_LIFETIME_S = 3600,
    TICKET_NAME = 16,
    TICKET_IV = 16, /* 12 bytes for the cipher, then the time of sealing */
    TICKET_TAG = 16,
    TICKET_BINDING = 32,
    /* The library fails a handshake with a ticket larger than its own can be, and clients send such
     * tickets from the real origin: they get a context without tickets. Ours have 187 bytes. */
    TICKET_LARGEST = 200,
};

struct ticket_key {
    uint8_t name[TICKET_NAME];
    uint8_t key[32];
};

/* One worker's keys. */
struct ticket_keys {
    struct ticket_key current, previous;
    bool has_previous;
};

/* How one handshake's ticket is sealed, and what it is bound to; the keys are borrowed. */
struct ticket_scope {
    const struct ticket_keys *keys;
    uint8_t binding[TICKET_BINDING];
};

WARN_UNUSED bool ticket_key_generate(struct ticket_key *out);
/* `next` becomes the current key and the current one the previous; the former previous one is
 * overwritten. */
void ticket_keys_rotate(struct ticket_keys *keys, const struct ticket_key *next);

/* Binds to the configuration's generation, the listener, the identity and the suite that a full
 * handshake would agree on. */
WARN_UNUSED bool ticket_scope_init(struct ticket_scope *scope, const struct ticket_keys *keys,
                                   struct span generation, const char *listener,
                                   const char *identity, const char *suite);

/* In place: n bytes become ciphertext; name, iv and tag are written. now: steady seconds. */
WARN_UNUSED bool ticket_seal(const struct ticket_scope *scope, uint32_t now,
                             uint8_t name[TICKET_NAME], uint8_t iv[TICKET_IV],
                             uint8_t tag[TICKET_TAG], uint8_t *p, size_t n);
/* In place. False when the ticket is not ours, not for this scope, or too old. */
WARN_UNUSED bool ticket_open(const struct ticket_scope *scope, uint32_t now,
                             const uint8_t name[TICKET_NAME], const uint8_t iv[TICKET_IV],
                             const uint8_t tag[TICKET_TAG], uint8_t *p, size_t n);

#endif
