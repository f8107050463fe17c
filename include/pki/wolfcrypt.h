/* wolfCrypt's headers in the one order that works, with our warnings off for them. */
#ifndef PKI_WOLFCRYPT_H
#define PKI_WOLFCRYPT_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <wolfssl/options.h>

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/signature.h>
#pragma GCC diagnostic pop

#include "policy/policy.h"

/* The calling thread's generator, or NULL when it cannot be seeded. */
WC_RNG *random_thread(void);

/* A decoded key of either type; decoded_key_fini() frees it. */
struct decoded_key {
    enum key_type type;
    union {
        ecc_key ecc;
        RsaKey rsa;
    };
};
struct private_key;
bool decoded_key_init(struct decoded_key *out, const struct private_key *key);
void decoded_key_fini(struct decoded_key *key);

#endif
