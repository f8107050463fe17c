#include "runtime/leaf_keys.h"

enum { RSA_BITS = 2048 };

void leaf_keys_init(struct leaf_keys *k)
{
    *k = (struct leaf_keys){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void leaf_keys_fini(struct leaf_keys *k)
{
    for (int i = 0; i < KEY_TYPES; i++) key_fini(&k->keys[i]);
    pthread_mutex_destroy(&k->lock);
}

const struct private_key *leaf_keys_get(struct leaf_keys *k, enum key_type type)
{
    struct private_key *key = &k->keys[type];
    pthread_mutex_lock(&k->lock);
    bool ok = key->der || key_generate(type, RSA_BITS, key);
    if (!ok) key_fini(key); /* of an attempt that failed */
    pthread_mutex_unlock(&k->lock);
    return ok ? key : NULL;
}
