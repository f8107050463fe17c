/* What a worker asks its keeper, which has the private keys (serve/signers.h), and the answer: one
 * packet each, over a socket per worker. Both ends are the same program; the keeper trusts no byte
 * of an order. */
#ifndef RUNTIME_SIGN_ORDER_H
#define RUNTIME_SIGN_ORDER_H

#include "pki/ca.h"
#include "pki/signing.h"
#include "policy/hello.h"

enum { SIGN_SPKI = 512, SIGN_CHAIN = 65536 };

/* Whose key: a listener's own one, an identity's, or the CA's that signs leaves with such a key. */
enum sign_what { SIGN_FOR_LISTENER, SIGN_FOR_IDENTITY, SIGN_LEAF };

struct sign_order {
    uint32_t id;     /* the answer has it, too */
    uint32_t serial; /* of the configuration (serve/proxy_order.h) */
    uint32_t what;   /* enum sign_what */
    uint32_t index;  /* of the listener, of the identity */
    uint32_t key;    /* enum key_type */
    uint8_t pss, size;
    uint8_t digest[SIGNING_DIGEST]; /* as struct signing_request */
    /* Only a leaf's order has the rest. */
    uint8_t is_ip;
    char identity[HELLO_NAME_SIZE];
    char also[HELLO_NAME_SIZE]; /* "" for none */
    uint32_t spki_size;
    uint8_t spki[SIGN_SPKI];
};
#define SIGN_ORDER_SHORT offsetof(struct sign_order, is_ip)

struct sign_answer {
    uint32_t id;
    uint32_t size;            /* 0: refused, or it failed */
    struct lifetime lifetime; /* of a leaf */
    char bytes[SIGN_CHAIN];   /* the signature, or the leaf's chain as PEM */
};
#define SIGN_ANSWER_HEAD offsetof(struct sign_answer, bytes)

#endif
