/* An upgrade: the keeper starts the program's file as it is by now as the next keeper, with copies
 * of its sockets (serve/inherited.h), and both agree over a post (upgrade_order.h) on who has the
 * clerk and who serves. For the keepers' main threads. */
#ifndef SERVE_UPGRADE_H
#define SERVE_UPGRADE_H

#include "base/attr.h"
#include "base/text.h"
#include "serve/sockets.h"

#include <ev.h>

/* ---- the keeper that is there ---- */

struct upgrade;

/* In this order, unless it fails. failed: it has ended, or is to be; why:
 * sentences. Each may free it. */
struct upgrade_events {
    void (*checked)(void *arg);   /* its configuration and keys are good: upgrade_go() follows */
    void (*recording)(void *arg); /* it has a clerk */
    void (*serving)(void *arg, const char *version);
    void (*failed)(void *arg, const char *why);
    void *arg;
};

struct upgrade_with {
    const char *config_file;
    const struct sockets *sockets;
    const struct loaded_config *loaded; /* with the listeners' names */
    int control;                        /* -1: none */
};

/* Starts it. NULL with a sentence in errors. */
WARN_UNUSED struct upgrade *upgrade_new(struct ev_loop *loop, const struct upgrade_with *with,
                                        const struct upgrade_events *events, struct text *errors);
/* This keeper's clerk is gone: it may start its own. */
void upgrade_go(struct upgrade *u);
pid_t upgrade_process(const struct upgrade *u);
/* Ends one that does not serve yet. No effect for NULL. */
void upgrade_free(struct upgrade *u);

/* ---- the next one ---- */

/* Its post to the former one; -1 when that is gone. False when that one has given up. */
WARN_UNUSED bool successor_checked(int post); /* waits until it may have a clerk */
void successor_recording(int post);
void successor_serving(int post);
void successor_refused(int post, const struct text *why);

#endif
