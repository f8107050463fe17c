/* The keys of minted leaves: one of each type for the whole process, generated when first needed
 * (an RSA key takes some 35 ms, and most clients never ask for one). */
#ifndef RUNTIME_LEAF_KEYS_H
#define RUNTIME_LEAF_KEYS_H

#include "pki/keys.h"

#include <pthread.h>

struct leaf_keys {
    pthread_mutex_t lock;
    struct private_key keys[KEY_TYPES];
};

void leaf_keys_init(struct leaf_keys *k);
/* After every user has ended. */
void leaf_keys_fini(struct leaf_keys *k);
/* From any thread; valid until leaf_keys_fini(). NULL when the generator or memory failed; the next
 * call tries again. */
WARN_UNUSED const struct private_key *leaf_keys_get(struct leaf_keys *k, enum key_type type);

#endif
