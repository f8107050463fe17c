/* The hellos that this process has sent and whose handshakes are under way, by their random: one
 * that arrives at a listener has gone in a circle. Shared by all workers; a mark belongs to its
 * connection. */
#ifndef RUNTIME_OWN_HELLOS_H
#define RUNTIME_OWN_HELLOS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

struct own_hellos;

/* Embedded; zeroed: not marked. */
struct own_hello {
    uint64_t key;
    struct own_hello *next;
    unsigned passes; /* how often it has come through this process */
    bool marked;
};

enum { HELLO_RANDOM_SIZE = 32 };

WARN_UNUSED struct own_hellos *own_hellos_new(void);
void own_hellos_free(struct own_hellos *o);
/* random: HELLO_RANDOM_SIZE bytes. A mark is moved if it is marked already. */
void own_hellos_mark(struct own_hellos *o, struct own_hello *mark, const uint8_t *random,
                     unsigned passes);
/* No effect if it is not marked. */
void own_hellos_unmark(struct own_hellos *o, struct own_hello *mark);
/* The most passes of a hello with this random; 0: it is none of ours. */
unsigned own_hellos_passes(struct own_hellos *o, const uint8_t *random);

#endif
