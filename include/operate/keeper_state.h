/* What the keeper tells the proxy for an operator, as text. */
#ifndef OPERATE_KEEPER_STATE_H
#define OPERATE_KEEPER_STATE_H

#include "base/text.h"

struct keeper_state {
    unsigned long started;                    /* Unix time of the keeper's start */
    unsigned long loaded;                     /* of the configuration in use */
    unsigned long loads, rejections;          /* since the start */
    unsigned long proxy_starts, clerk_starts; /* likewise */
};

void keeper_state_put(const struct keeper_state *s, struct text *out);
/* What cannot be read stays zero. */
void keeper_state_read(const char *text, struct keeper_state *out);

#endif
