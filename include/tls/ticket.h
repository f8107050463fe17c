/* Session tickets for our own clients (RFC 5077): how they are sealed, and what they are bound to.
 * A ticket opens only with the configuration, the listener, the identity and the suite (of a new
 * handshake with the same hello) that it was made for, and for TICKET_LIFETIME_S: resuming does not
 * renew it, so no master secret lives longer. A worker's own key seals for a ticket's lifetime,
 * opens for another one, and is then wiped. Keys that several instances share say from when on they
 * seal. All times are the wall clock's, so that another instance can open a ticket; one whose clock
 * is TICKET_SKEW_S ahead may have sealed it. Plain data: the owner of a key wipes it. Knows no
 * session and no connection. */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum {
    TICKET_LIFETIME_S = 3600,
    TICKET_SKEW_S = 60,
    /* Whoever gets hold of a key can read every session that it has sealed: a shared one that
     * nobody replaces seals no more after a week. */
    TICKET_KEY_LIFETIME_S = 7 * 86400,
    TICKET_KEYS = 16, /* the most in a set */
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
    time_t from; /* when it begins to seal; a worker's own: 0 */
};

/* A set of keys, oldest first. */
struct ticket_keys {
    struct ticket_key items[TICKET_KEYS];
    size_t n;
};

/* How one handshake's ticket is sealed, and what it is bound to; the keys are borrowed. */
struct ticket_scope {
    const struct ticket_keys *own, *shared; /* own: NULL in a scope without tickets */
    const struct ticket_key *seals;
    uint8_t binding[TICKET_BINDING];
};

WARN_UNUSED bool ticket_key_generate(struct ticket_key *out);
/* Sets the name that follows from the key: instances that have the same keys name them alike. */
WARN_UNUSED bool ticket_key_name(struct ticket_key *key);
/* For a worker's own keys: `next` seals from now on, and the former one opens; the one before that
 * is overwritten. */
void ticket_keys_rotate(struct ticket_keys *keys, const struct ticket_key *next);
/* Which of a shared set seals now: the newest that has begun, if it is not too old; else NULL. */
const struct ticket_key *ticket_keys_sealing(const struct ticket_keys *keys, time_t now);

/* What a ticket is bound to, besides the suite that a full handshake would agree on. */
struct ticket_binding {
    struct span generation; /* of the configuration: of a fixed size */
    const char *listener, *identity, *suite;
};

/* Tickets are sealed with a shared key, or with an own one if none of those seals now; both kinds
 * open. shared: may be NULL. */
WARN_UNUSED bool ticket_scope_init(struct ticket_scope *scope, const struct ticket_keys *own,
                                   const struct ticket_keys *shared, time_t now,
                                   const struct ticket_binding *binding);

/* In place: n bytes become ciphertext; name, iv and tag are written. now: seconds since 1970,
 * modulo 2^32. */
WARN_UNUSED bool ticket_seal(const struct ticket_scope *scope, uint32_t now,
                             uint8_t name[TICKET_NAME], uint8_t iv[TICKET_IV],
                             uint8_t tag[TICKET_TAG], uint8_t *p, size_t n);
/* In place. False when the ticket is not ours, not for this scope, or too old. */
WARN_UNUSED bool ticket_open(const struct ticket_scope *scope, uint32_t now,
                             const uint8_t name[TICKET_NAME], const uint8_t iv[TICKET_IV],
                             const uint8_t tag[TICKET_TAG], uint8_t *p, size_t n);

#endif
