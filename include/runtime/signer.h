/* A worker's way to the private keys: asks the keeper for signatures and leaves, and calls back
 * with the answers. Belongs to its loop's thread. */
#ifndef RUNTIME_SIGNER_H
#define RUNTIME_SIGNER_H

#include "base/attr.h"
#include "runtime/sign_order.h"

#include <ev.h>

struct signer;

/* A question, embedded in who asks; zeroed. */
struct signing {
    struct signing *next, **link; /* link NULL: not asked, or answered */
    uint32_t id;
    /* answer NULL: there is none. */
    void (*answered)(struct signing *s, const struct sign_answer *answer);
};

/* Takes fd (-1: nothing can be signed). NULL when out of memory. */
WARN_UNUSED struct signer *signer_new(struct ev_loop *loop, int fd);
/* After all who ask. No effect for NULL. */
void signer_free(struct signer *s);

/* Sets the order's id. False when it cannot be asked. */
WARN_UNUSED bool signer_ask(struct signer *s, struct signing *question, struct sign_order *order,
                            void (*answered)(struct signing *s, const struct sign_answer *answer));
/* Is an answer awaited? */
bool signing_waits(const struct signing *question);
/* Who asked is gone, or no longer interested. */
void signing_forget(struct signing *question);

#endif
