/* Certificates for new names: the keeper signs one at a time for each worker, so that its
 * signatures for known names do not wait long. Connections wait here for theirs. Belongs to the
 * worker's thread. */
#ifndef RUNTIME_MINTS_H
#define RUNTIME_MINTS_H

#include "runtime/runtime.h"
#include "runtime/signer.h"

/* One that waits, embedded in its owner; zeroed. */
struct mint_wait {
    struct mint_wait *next, **link; /* link NULL: it does not wait */
    char name[LEAF_NAME_SIZE];
    bool failed; /* its certificate could not be made */
    void (*run)(void *owner);
    void *owner;
};

/* Embedded in its owner; mints_init(). */
struct mints {
    struct mint_wait *first, **end;
    /* The one that is being made. */
    struct signing signing;
    struct runtime *runtime; /* held; NULL: none is made */
    char name[LEAF_NAME_SIZE], identity[HELLO_NAME_SIZE], second_name[HELLO_NAME_SIZE];
    struct leaf_request leaf;
};

void mints_init(struct mints *m);
/* May one be begun now? */
bool mints_free(const struct mints *m);
/* Begins it. False when it cannot be. */
WARN_UNUSED bool mints_begin(struct mints *m, struct signer *signer, struct runtime *runtime,
                             const struct leaf_request *leaf);
/* Waits until this leaf is there, or could not be made, or another one may be begun: `run` is then
 * called, once. No effect for one that waits already. */
void mints_await(struct mints *m, struct mint_wait *w, const struct leaf_request *leaf);
void mints_leave(struct mints *m, struct mint_wait *w);

#endif
