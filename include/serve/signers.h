/* Signs for a proxy with the private keys, which only the keeper has: for a digest with a
 * listener's or an identity's key, and leaves by the local CA, which it makes itself
 * (runtime/sign_order.h). It decides nothing else, whoever asks. Each worker of the proxy has a
 * thread here, with keys decoded for it. */
#ifndef SERVE_SIGNERS_H
#define SERVE_SIGNERS_H

#include "base/attr.h"
#include "runtime/loaded_config.h"

struct signers;

WARN_UNUSED struct signers *signers_new(void);
/* Ends the threads. No effect for NULL. */
void signers_free(struct signers *s);

/* From now on orders may be for this configuration, by its serial; it is held. No longer for it;
 * only for it. */
void signers_add(struct signers *s, struct loaded_config *loaded);
void signers_forget(struct signers *s, const struct loaded_config *loaded);
void signers_keep(struct signers *s, const struct loaded_config *loaded);

/* Starts a thread. Its proxy's end of the socket, for the caller; -1 with errno. */
WARN_UNUSED int signers_start(struct signers *s);
/* After the proxy's end, before signers_start() for the next one: its threads end. */
void signers_stop(struct signers *s);

#endif
