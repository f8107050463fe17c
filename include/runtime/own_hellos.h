/* The hellos that this process has sent and that are not answered yet, by their random: one that
 * arrives at a listener has come through this process before. Shared by all workers; a mark belongs
 * to its connection, which ends it in one of two ways. */
#ifndef RUNTIME_OWN_HELLOS_H
#define RUNTIME_OWN_HELLOS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

struct own_hellos;
struct own_hello;

enum { HELLO_RANDOM_SIZE = 32, OWN_HELLO_LASTS_S = 5 };

WARN_UNUSED struct own_hellos *own_hellos_new(void);
/* Frees all marks. */
void own_hellos_free(struct own_hellos *o);
/* random: HELLO_RANDOM_SIZE bytes. passes: how often it has come through this process. NULL when
 * out of memory: then it is not known again. */
WARN_UNUSED struct own_hello *own_hellos_mark(struct own_hellos *o, const uint8_t *random,
                                              unsigned passes);
/* It is answered. No effect for NULL. */
void own_hellos_answered(struct own_hellos *o, struct own_hello *mark);
/* Its connection has ended without an answer: it is known for OWN_HELLO_LASTS_S more seconds.
 * now_ns: steady. No effect for NULL. */
void own_hellos_abandon(struct own_hellos *o, struct own_hello *mark, int64_t now_ns);
/* The most passes of a hello with this random; 0: it is none of ours. */
unsigned own_hellos_passes(struct own_hellos *o, const uint8_t *random, int64_t now_ns);

#endif
