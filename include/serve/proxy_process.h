/* A proxy (serve/proxy.h) as a process of its own: starts it and gives it orders. For the keeper's
 * main thread and the default loop. */
#ifndef SERVE_PROXY_PROCESS_H
#define SERVE_PROXY_PROCESS_H

#include "audit/receipt.h"
#include "base/attr.h"
#include "serve/sockets.h"

#include <ev.h>

struct proxy_process;

/* How one ended. */
struct proxy_end {
    bool orderly; /* as it was told to, with these counts */
    unsigned long silent, lost;
    char how[64]; /* a sentence */
};

/* What it tells. */
struct proxy_events {
    void (*loaded)(void *arg);
    void (*refused)(void *arg, const char *faults);
    void (*used)(void *arg);
    void (*missed)(void *arg, unsigned channel);           /* it has no clerk */
    void (*drained)(void *arg);                            /* it accepts no more */
    void (*ended)(void *arg, const struct proxy_end *end); /* may free it */
    void *arg;
};

/* Starts it. NULL with a sentence in errors. */
WARN_UNUSED struct proxy_process *
proxy_process_new(struct ev_loop *loop, const struct proxy_events *events, struct text *errors);
/* Kills it if it has not ended. No effect for NULL. */
void proxy_process_free(struct proxy_process *p);

pid_t proxy_process_pid(const struct proxy_process *p);
/* The name of its channel's records. */
void proxy_process_name(const struct proxy_process *p, unsigned channel, char out[RECEIPT_SENDER]);

/* Orders. One that cannot be sent ends it. */

/* Takes fd: a worker's socket for signatures (serve/signers.h). */
void proxy_process_give_signer(struct proxy_process *p, unsigned worker, int fd);
/* Takes fd: of names_seal(). From then on these count. */
void proxy_process_give_names(struct proxy_process *p, int fd);
/* files: the snapshot; it stays the caller's. serial: of the configuration. `loaded` or `refused`
 * follows. */
void proxy_process_load(struct proxy_process *p, const char *config_file, uint32_t serial,
                        int files, const struct sockets *sockets);
/* For an operator: texts of operate/keeper_state.h and audit/log_state.h. */
void proxy_process_tell_state(struct proxy_process *p, const char *keeper, const char *clerk);
/* The status is written into this pipe, which stays the caller's; form: "json" or "text". */
void proxy_process_show(struct proxy_process *p, const char *form, int fd);
/* `used` follows. */
void proxy_process_use(struct proxy_process *p);
void proxy_process_forget(struct proxy_process *p);
/* Takes fd: a recorder's socket (audit/recorder.h). */
void proxy_process_connect(struct proxy_process *p, unsigned channel, int fd);
/* sockets: what waits in the queues of those that are kept is left there; all: of all of them. */
void proxy_process_drain(struct proxy_process *p, const struct sockets *sockets, bool all);
/* Ends all its connections. One that does not end then is killed. */
void proxy_process_close(struct proxy_process *p);

#endif
